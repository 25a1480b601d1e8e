with lines as (
    {{ priced_order_items(is_part=true) }}
),

orders as (
    select *
    from {{ ref('stg_orders') }}
    where
        id is not null
        {{ impact_filter('id') }}
),

users as (
    select *
    from {{ ref('stg_users') }}
)

select
    lines.id as line_id,
    lines.order_id,
    lines.product_id,
    orders.user_id as customer_id,
    orders.order_date,
    orders.status as order_status,
    orders.is_guest,
    orders.is_counted,
    orders.is_completed,
    orders.is_cancelled,
    users.registration_date as customer_registration_date,
    lines.product_name,
    lines.product_category,
    coalesce(lines.is_service, false)::boolean as is_service,
    lines.quantity::number(38,0) as quantity,
    lines.unit_price::number(18,2) as unit_price,
    lines.line_total::number(18,2) as line_total,
    lines.catalog_price::number(18,2) as catalog_price,
    lines.discount_amount::number(18,2) as discount_amount,
    lines.margin_amount::number(18,2) as margin_amount
from lines
inner join orders on lines.order_id = orders.id
left join users on orders.user_id = users.id
