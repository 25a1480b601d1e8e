with changes as (
    {{ distinct_changes('order_items') }}
),

compared as (
    select
        id,
        __op,
        __source_ts_ms,
        quantity,
        row_number() over (partition by id order by {{ history_order() }}) as change_number,
        lag(__op) over (partition by id order by {{ history_order() }}) as previous_op,
        lag(quantity) over (partition by id order by {{ history_order() }}) as previous_quantity,
        lag(unit_price) over (partition by id order by {{ history_order() }}) as previous_unit_price,
        lag(order_id) over (partition by id order by {{ history_order() }}) as previous_order_id,
        lag(product_id) over (partition by id order by {{ history_order() }}) as previous_product_id
    from changes
),

measured as (
    select
        *,
        (previous_quantity - iff(__op = 'd', 0, quantity))::number(38,0) as units
    from compared
    where previous_op <> 'd'
)

select
    id as line_id,
    change_number::number(38,0) as change_number,
    previous_order_id as order_id,
    previous_product_id as product_id,
    __source_ts_ms as returned_at,
    iff(__op = 'd', 'line_deleted', 'line_reduced')::varchar as return_kind,
    units,
    previous_unit_price as unit_price,
    (units * previous_unit_price)::number(18,2) as refund_amount
from measured
where units > 0
