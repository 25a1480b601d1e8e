with order_items as (
    select *
    from {{ ref('base_order_items') }}
    where
        __op <> 'd'
        {{ impact_filter('id') }}
)

select
    id,
    order_id,
    product_id,
    quantity,
    unit_price,
    created_at,
    (quantity * unit_price)::number(18,2) as line_total,
    coalesce(quantity > 0 and unit_price >= 0, false)::boolean as is_valid_item,
    batch_id,
    file_name,
    loaded_at
from order_items
