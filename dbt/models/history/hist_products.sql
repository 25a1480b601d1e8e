with changes as (
    {{ distinct_changes('products') }}
),

-- Of several versions at one moment the last one holds.
versions as (
    select *
    from changes
    qualify row_number() over (partition by id, __source_ts_ms order by {{ change_order_desc() }}) = 1
),

compared as (
    select
        *,
        lag(__op) over (partition by id order by __source_ts_ms) as previous_op,
        lag(price) over (partition by id order by __source_ts_ms) as previous_price,
        lag(stock_quantity) over (partition by id order by __source_ts_ms) as previous_stock
    from versions
),

turns as (
    select
        id,
        __op,
        __source_ts_ms,
        price,
        stock_quantity,
        lead(__source_ts_ms) over (partition by id order by __source_ts_ms) as valid_to
    from compared
    where
        previous_op is null
        or (previous_op = 'd') <> (__op = 'd')
        or (
            __op <> 'd'
            and (previous_price is distinct from price or previous_stock is distinct from stock_quantity)
        )
)

select
    id as product_id,
    __source_ts_ms as valid_from,
    valid_to,
    price,
    stock_quantity::number(38,0) as stock_quantity,
    (valid_to is null)::boolean as is_current
from turns
where __op <> 'd'
