with order_items as (
    select *
    from {{ ref('stg_order_items') }}
),

orders as (
    select *
    from {{ ref('stg_orders') }}
),

products as (
    select *
    from {{ ref('stg_products') }}
),

prices as (
    select *
    from {{ ref('hist_products') }}
),

-- The catalog price is the one that held when the order was placed, by the product's own history.
priced as (
    select
        order_items.*,
        orders.id as known_order_id,
        products.id as known_product_id,
        products.name as product_name,
        products.category as product_category,
        prices.price as catalog_price,
        {{ cost_ratio('products.category') }} as cost_ratio
    from order_items
    left join orders on order_items.order_id = orders.id
    left join products on order_items.product_id = products.id
    left join prices
        on
            order_items.product_id = prices.product_id
            and orders.created_at >= prices.valid_from
            and (prices.valid_to is null or orders.created_at < prices.valid_to)
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
    (quantity * (catalog_price - unit_price))::number(18,2) as discount_amount,
    (line_total - quantity * catalog_price * cost_ratio)::number(18,2) as margin_amount,
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
