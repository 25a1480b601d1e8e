with priced as (
    {{ priced_order_items() }}
)

select
    id,
    order_id,
    product_id,
    quantity,
    unit_price,
    line_total,
    created_at,
    product_name,
    product_category,
    catalog_price,
    discount_amount,
    margin_amount,
    is_valid_item,
    {{ reasons({
        'quantity_not_positive': 'quantity is null or quantity <= 0',
        'negative_price': 'unit_price < 0',
        'no_price': 'unit_price is null',
        'unknown_order': 'known_order_id is null',
        'unknown_product': 'known_product_id is null',
        'future_timestamp': 'created_at > ' ~ as_of(),
    }) }} as validation_errors,
    {{ as_of() }} as processed_at
from priced
