with orders as (
    select *
    from {{ ref('int_order_analytics') }}
    where
        order_date is not null
        {{ impact_filter('order_date') }}
),

-- A step is reached when the history shows it or the status lies beyond it.
stepped as (
    select
        *,
        (processing_at is not null or is_counted)::boolean as is_processed,
        (shipped_at is not null or is_completed)::boolean as is_shipped,
        (delivered_at is not null or status = 'delivered')::boolean as is_delivered
    from orders
),

daily as (
    select
        order_date,
        count(*)::number(38,0) as total_orders,
        count_if(is_guest)::number(38,0) as guest_orders,
        count_if(is_processed)::number(38,0) as reached_processing,
        count_if(is_shipped)::number(38,0) as reached_shipped,
        count_if(is_delivered)::number(38,0) as reached_delivered,
        count_if(is_cancelled)::number(38,0) as cancelled_orders,
        count_if(is_cancelled and is_shipped)::number(38,0) as cancelled_after_shipment,
        count_if(is_guest and is_delivered)::number(38,0) as guest_orders_delivered,
        count(days_to_shipment)::number(38,0) as shipped_with_time,
        coalesce(sum(days_to_shipment), 0)::number(38,0) as shipment_days,
        count(days_to_fulfillment)::number(38,0) as delivered_with_time,
        coalesce(sum(days_to_fulfillment), 0)::number(38,0) as fulfillment_days,
        max(days_to_fulfillment)::number(38,0) as max_days_to_fulfillment
    from stepped
    group by order_date
)

select
    order_date as date,
    total_orders,
    guest_orders,
    reached_processing,
    reached_shipped,
    reached_delivered,
    guest_orders_delivered,
    cancelled_orders,
    cancelled_after_shipment,
    {{ ratio('reached_delivered', 'total_orders', scale=4) }} as delivery_rate,
    {{ ratio('cancelled_orders', 'total_orders', scale=4) }} as cancellation_rate,
    {{ ratio('shipment_days', 'shipped_with_time', scale=2) }} as avg_days_to_shipment,
    {{ ratio('fulfillment_days', 'delivered_with_time', scale=2) }} as avg_days_to_fulfillment,
    max_days_to_fulfillment
from daily
