{{ config(materialized='view') }}

with products as (
    select *
    from {{ ref('stg_products') }}
),

order_items as (
    select *
    from {{ ref('stg_order_items') }}
),

orders as (
    select *
    from {{ ref('stg_orders') }}
    where is_counted
),

sold as (
    select
        order_items.product_id,
        count(distinct orders.id)::number(38,0) as total_orders,
        count(distinct orders.user_id)::number(38,0) as unique_customers,
        sum(order_items.quantity)::number(38,0) as units_sold,
        sum(order_items.line_total)::number(18,2) as total_revenue,
        min(orders.order_date) as first_sale_date,
        max(orders.order_date) as last_sale_date
    from order_items
    inner join orders on order_items.order_id = orders.id
    group by order_items.product_id
),

joined as (
    select
        products.id as product_id,
        products.is_service,
        coalesce(sold.total_orders, 0)::number(38,0) as total_orders,
        coalesce(sold.unique_customers, 0)::number(38,0) as unique_customers,
        coalesce(sold.units_sold, 0)::number(38,0) as units_sold,
        coalesce(sold.total_revenue, 0)::number(18,2) as total_revenue,
        sold.first_sale_date,
        sold.last_sale_date
    from products
    left join sold on products.id = sold.product_id
),

ranked as (
    select
        *,
        rank() over (partition by is_service order by total_orders desc) as order_rank,
        count(*) over (partition by is_service) as products
    from joined
)

select
    product_id,
    total_orders,
    unique_customers,
    units_sold,
    total_revenue,
    first_sale_date,
    last_sale_date,
    iff(is_service, null, order_rank)::number(38,0) as order_rank,
    (
        not is_service and total_orders > 0 and order_rank * 100 <= {{ var('top_products_pct') }} * products
    )::boolean as is_popular
from ranked
