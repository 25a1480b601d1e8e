{#
    Order lines with their product, the catalog price that held when the order was placed (by the product's own history),
    and what follows from it. A table of lines built in parts passes `is_part`, so that only touched lines are priced:
    a restriction outside the joins would price all of them first.
#}
{% macro priced_order_items(is_part=false) %}
with order_items as (
    select *
    from {{ ref('stg_order_items') }}
    {%- if is_part %}
    where
        id is not null
        {{ impact_filter('order_id') }}
    {%- endif %}
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

priced as (
    select
        order_items.*,
        orders.id as known_order_id,
        products.id as known_product_id,
        products.name as product_name,
        products.category as product_category,
        products.is_service,
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
    *,
    (quantity * (catalog_price - unit_price))::number(18,2) as discount_amount,
    (line_total - quantity * catalog_price * cost_ratio)::number(18,2) as margin_amount
from priced
{% endmacro %}
