with products as (
    select *
    from {{ ref('stg_products') }}
),

analytics as (
    select *
    from {{ ref('int_product_analytics') }}
)

select
    products.id,
    products.name,
    products.description,
    products.price,
    products.stock_quantity,
    products.category,
    products.created_at,
    products.updated_at,
    products.price_tier,
    products.is_in_stock,
    coalesce(analytics.is_popular, false)::boolean as is_popular,
    products.has_complete_info,
    {{ reasons({
        'incomplete_info': 'not products.has_complete_info',
        'negative_price': 'products.price < 0',
        'negative_stock': 'products.stock_quantity < 0',
        'future_timestamp': 'products.created_at > ' ~ as_of(),
    }) }} as validation_errors,
    {{ as_of() }} as processed_at
from products
left join analytics on products.id = analytics.product_id
