with products as (
    select *
    from {{ ref('base_products') }}
    where
        __op <> 'd'
        {{ impact_filter('id') }}
)

select
    id,
    name,
    description,
    price,
    stock_quantity,
    category,
    created_at,
    updated_at,
    case
        when price >= {{ var('price_tier_premium_from') }} then 'premium'
        when price >= {{ var('price_tier_mid_range_from') }} then 'mid-range'
        when price is not null then 'budget'
    end::varchar as price_tier,
    coalesce(stock_quantity > 0, false)::boolean as is_in_stock,
    coalesce(category = '{{ var('service_category') }}', false)::boolean as is_service,
    (
        coalesce(trim(name), '') <> '' and coalesce(trim(category), '') <> '' and price is not null
    )::boolean as has_complete_info,
    batch_id,
    file_name,
    loaded_at
from products
