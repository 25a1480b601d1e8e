with users as (
    select *
    from {{ ref('stg_users') }}
    where
        id is not null
        {{ impact_filter('id') }}
),

orders as (
    select *
    from {{ ref('int_order_analytics') }}
    where is_counted
),

order_items as (
    select *
    from {{ ref('stg_order_items') }}
),

products as (
    select *
    from {{ ref('stg_products') }}
),

ordered as (
    select
        orders.customer_id,
        count(*)::number(38,0) as total_orders,
        sum(orders.revenue)::number(18,2) as total_spent,
        min(orders.order_date) as first_order_date,
        max(orders.order_date) as last_order_date,
        count(orders.days_since_previous_order)::number(38,0) as gaps,
        coalesce(sum(orders.days_since_previous_order), 0)::number(38,0) as gap_days,
        sum(orders.items)::number(38,0) as total_items_purchased
    from orders
    inner join users on orders.customer_id = users.id
    group by orders.customer_id
),

bought as (
    select
        orders.customer_id,
        order_items.product_id,
        products.category,
        order_items.quantity,
        order_items.line_total
    from orders
    inner join users on orders.customer_id = users.id
    inner join order_items on orders.order_id = order_items.order_id
    left join products on order_items.product_id = products.id
    where not coalesce(products.is_service, false)
),

varied as (
    select
        customer_id,
        count(distinct product_id)::number(38,0) as unique_products_purchased
    from bought
    group by customer_id
),

per_category as (
    select
        customer_id,
        category,
        sum(quantity) as units,
        sum(line_total) as spent
    from bought
    where category is not null
    group by customer_id, category
),

-- The category with the most units; of equal ones the one with the greater value, then the first by name.
favorites as (
    select
        customer_id,
        category
    from per_category
    qualify row_number() over (partition by customer_id order by units desc, spent desc, category asc) = 1
)

select
    users.id as customer_id,
    coalesce(ordered.total_orders, 0)::number(38,0) as total_orders,
    coalesce(ordered.total_spent, 0)::number(18,2) as total_spent,
    {{ ratio('coalesce(ordered.total_spent, 0)', 'coalesce(ordered.total_orders, 0)', scale=2) }} as avg_order_value,
    ordered.first_order_date,
    ordered.last_order_date,
    iff(
        ordered.gaps > 0,
        {{ ratio('coalesce(ordered.gap_days, 0)', 'coalesce(ordered.gaps, 0)', scale=1) }},
        null
    )::number(18,1) as avg_days_between_orders,
    favorites.category as favorite_category,
    coalesce(varied.unique_products_purchased, 0)::number(38,0) as unique_products_purchased,
    coalesce(ordered.total_items_purchased, 0)::number(38,0) as total_items_purchased
from users
left join ordered on users.id = ordered.customer_id
left join varied on users.id = varied.customer_id
left join favorites on users.id = favorites.customer_id
