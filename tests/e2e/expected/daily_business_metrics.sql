-- What the daily business metrics must be, written by hand from their definitions over the shop's own tables.
with item as (
    select
        i.order_id,
        sum(i.quantity) filter (where p.category <> 'service') as goods
    from shop.order_items as i
    inner join shop.products as p on p.id = i.product_id
    group by i.order_id
),

counted as (
    select
        o.id,
        o.user_id,
        o.total_amount,
        o.created_at::date as day,
        coalesce(item.goods, 0) as goods,
        u.created_at::date = o.created_at::date as is_new
    from shop.orders as o
    left join shop.users as u on u.id = o.user_id
    left join item on item.order_id = o.id
    where o.status not in ('pending', 'cancelled')
),

sold as (
    select
        o.created_at::date as day,
        count(distinct i.product_id) as unique_products
    from shop.order_items as i
    inner join shop.orders as o on o.id = i.order_id
    inner join shop.products as p on p.id = i.product_id
    where o.status not in ('pending', 'cancelled') and p.category <> 'service'
    group by 1
),

every as (
    select
        created_at::date as day,
        count(*) as total_orders,
        count(*) filter (where status in ('shipped', 'delivered')) as completed_orders,
        count(*) filter (where status = 'cancelled') as cancelled_orders
    from shop.orders
    group by 1
),

summed as (
    select
        day,
        count(*) as orders,
        count(distinct user_id) filter (where is_new) as new_customers,
        count(distinct user_id) filter (where not is_new) as returning_customers,
        count(distinct user_id) as active_customers,
        sum(total_amount) as revenue,
        coalesce(sum(total_amount) filter (where is_new), 0) as revenue_new,
        coalesce(sum(total_amount) filter (where not is_new), 0) as revenue_returning,
        coalesce(sum(total_amount) filter (where user_id is null), 0) as revenue_guests,
        sum(goods) as items
    from counted
    group by day
)

select
    e.day as date,
    coalesce(s.new_customers, 0) as new_customers,
    coalesce(s.returning_customers, 0) as returning_customers,
    coalesce(s.active_customers, 0) as total_active_customers,
    e.total_orders,
    e.completed_orders,
    e.cancelled_orders,
    round(coalesce(s.revenue / s.orders, 0), 2) as avg_order_value,
    coalesce(s.revenue, 0) as total_revenue,
    coalesce(s.revenue_new, 0) as revenue_from_new_customers,
    coalesce(s.revenue_returning, 0) as revenue_from_returning_customers,
    coalesce(s.revenue_guests, 0) as revenue_from_guests,
    coalesce(s.items, 0) as total_items_sold,
    coalesce(d.unique_products, 0) as unique_products_sold,
    round(coalesce(s.new_customers::numeric / nullif(s.active_customers, 0), 0), 4) as customer_acquisition_rate,
    round(e.completed_orders::numeric / e.total_orders, 4) as order_completion_rate,
    round(coalesce(s.items::numeric / s.orders, 0), 2) as average_items_per_order
from every as e
left join summed as s on s.day = e.day
left join sold as d on d.day = e.day
order by e.day
