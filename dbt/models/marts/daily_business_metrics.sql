with orders as (
    select *
    from {{ ref('stg_orders') }}
    where
        order_date is not null
        {{ impact_filter('order_date') }}
),

users as (
    select *
    from {{ ref('stg_users') }}
),

order_items as (
    select *
    from {{ ref('stg_order_items') }}
),

products as (
    select *
    from {{ ref('stg_products') }}
),

-- One row per order: its customer is new when registered on the day of the order, otherwise returning.
classified_orders as (
    select
        orders.order_date,
        orders.user_id,
        orders.is_guest,
        orders.is_counted,
        orders.is_completed,
        orders.is_cancelled,
        orders.is_counted and not orders.is_guest and users.registration_date is not distinct from orders.order_date
            as is_by_new_customer,
        orders.is_counted and not orders.is_guest and users.registration_date is distinct from orders.order_date
            as is_by_returning_customer,
        iff(orders.is_counted, coalesce(orders.total_amount, 0), 0)::number(18,2) as revenue
    from orders
    left join users on orders.user_id = users.id
),

daily_orders as (
    select
        order_date,
        count(*)::number(38,0) as total_orders,
        count_if(is_counted)::number(38,0) as counted_orders,
        count_if(is_completed)::number(38,0) as completed_orders,
        count_if(is_cancelled)::number(38,0) as cancelled_orders,
        count(distinct iff(is_counted, user_id, null))::number(38,0) as total_active_customers,
        count(distinct iff(is_by_new_customer, user_id, null))::number(38,0) as new_customers,
        count(distinct iff(is_by_returning_customer, user_id, null))::number(38,0) as returning_customers,
        sum(revenue)::number(18,2) as total_revenue,
        sum(iff(is_by_new_customer, revenue, 0))::number(18,2) as revenue_from_new_customers,
        sum(iff(is_by_returning_customer, revenue, 0))::number(18,2) as revenue_from_returning_customers,
        sum(iff(is_guest, revenue, 0))::number(18,2) as revenue_from_guests
    from classified_orders
    group by order_date
),

-- Lines of counted orders by the order's date, without services. Nothing of the order itself is summed here.
daily_items as (
    select
        orders.order_date,
        sum(order_items.quantity)::number(38,0) as total_items_sold,
        count(distinct order_items.product_id)::number(38,0) as unique_products_sold
    from orders
    inner join order_items on orders.id = order_items.order_id
    left join products on order_items.product_id = products.id
    where orders.is_counted and not coalesce(products.is_service, false)
    group by orders.order_date
),

joined as (
    select
        daily_orders.*,
        coalesce(daily_items.total_items_sold, 0)::number(38,0) as total_items_sold,
        coalesce(daily_items.unique_products_sold, 0)::number(38,0) as unique_products_sold
    from daily_orders
    left join daily_items on daily_orders.order_date = daily_items.order_date
),

final as (
    select
        order_date as date,
        new_customers,
        returning_customers,
        total_active_customers,
        total_orders,
        completed_orders,
        cancelled_orders,
        {{ ratio('total_revenue', 'counted_orders', scale=2) }} as avg_order_value,
        total_revenue,
        revenue_from_new_customers,
        revenue_from_returning_customers,
        revenue_from_guests,
        total_items_sold,
        unique_products_sold,
        {{ ratio('new_customers', 'total_active_customers', scale=4) }} as customer_acquisition_rate,
        {{ ratio('completed_orders', 'total_orders', scale=4) }} as order_completion_rate,
        {{ ratio('total_items_sold', 'counted_orders', scale=2) }} as average_items_per_order
    from joined
)

select *
from final
