with orders as (
    select *
    from {{ ref('stg_orders') }}
    where
        id is not null
        {{ impact_filter('user_id', order_column='id') }}
),

order_items as (
    select *
    from {{ ref('stg_order_items') }}
),

products as (
    select *
    from {{ ref('stg_products') }}
),

statuses as (
    select *
    from {{ ref('hist_order_status') }}
),

-- One row per order, so that joining it does not multiply orders.
lines as (
    select
        order_items.order_id,
        count(*)::number(38,0) as line_count,
        sum(iff(coalesce(products.is_service, false), 0, order_items.quantity))::number(38,0) as items,
        sum(order_items.line_total)::number(18,2) as lines_total
    from order_items
    inner join orders on order_items.order_id = orders.id
    left join products on order_items.product_id = products.id
    group by order_items.order_id
),

-- First entry into each status; a snapshot does not tell when its status was entered.
entries as (
    select
        statuses.order_id,
        min(iff(statuses.status = 'processing', statuses.entered_at, null)) as processing_at,
        min(iff(statuses.status = 'shipped', statuses.entered_at, null)) as shipped_at,
        min(iff(statuses.status = 'delivered', statuses.entered_at, null)) as delivered_at,
        min(iff(statuses.status in ({{ statuses('cancelled_statuses') }}), statuses.entered_at, null)) as cancelled_at
    from statuses
    inner join orders on statuses.order_id = orders.id
    where statuses.is_observed
    group by statuses.order_id
),

-- What the customer did before, over the customer's whole history; guests have none.
sequenced as (
    select
        id,
        sum(iff(is_counted, 1, 0)) over (
            partition by user_id order by created_at, id rows between unbounded preceding and 1 preceding
        ) as earlier_orders,
        max(iff(is_counted, order_date, null)) over (
            partition by user_id order by created_at, id rows between unbounded preceding and 1 preceding
        ) as previous_order_date,
        min(iff(is_counted, order_date, null)) over (partition by user_id) as first_order_date
    from orders
    where user_id is not null
)

select
    orders.id as order_id,
    orders.user_id as customer_id,
    orders.status,
    orders.order_date,
    orders.updated_at,
    orders.is_guest,
    orders.is_counted,
    orders.is_completed,
    orders.is_cancelled,
    iff(orders.is_counted, coalesce(orders.total_amount, 0), 0)::number(18,2) as revenue,
    coalesce(lines.line_count, 0)::number(38,0) as line_count,
    coalesce(lines.items, 0)::number(38,0) as items,
    coalesce(lines.lines_total, 0)::number(18,2) as lines_total,
    sequenced.first_order_date,
    iff(orders.is_guest, null, coalesce(sequenced.earlier_orders, 0))::number(38,0) as earlier_orders,
    coalesce(sequenced.earlier_orders > 0, false)::boolean as is_repeat_customer,
    sequenced.previous_order_date,
    datediff('day', sequenced.previous_order_date, orders.order_date)::number(38,0) as days_since_previous_order,
    entries.processing_at,
    entries.shipped_at,
    entries.delivered_at,
    entries.cancelled_at,
    datediff('day', orders.order_date, entries.shipped_at::date)::number(38,0) as days_to_shipment,
    iff(
        orders.is_completed, datediff('day', orders.order_date, entries.delivered_at::date), null
    )::number(38,0) as days_to_fulfillment
from orders
left join lines on orders.id = lines.order_id
left join entries on orders.id = entries.order_id
left join sequenced on orders.id = sequenced.id
