with orders as (
    select *
    from {{ ref('stg_orders') }}
),

analytics as (
    select *
    from {{ ref('int_order_analytics') }}
),

users as (
    select *
    from {{ ref('stg_users') }}
)

select
    orders.id,
    orders.user_id,
    orders.status,
    orders.total_amount,
    orders.shipping_address,
    orders.created_at,
    orders.updated_at,
    orders.order_size_category,
    analytics.days_to_fulfillment,
    coalesce(analytics.is_repeat_customer, false)::boolean as is_repeat_customer,
    orders.is_valid_order,
    orders.has_shipping_address,
    {{ reasons({
        'unknown_status': 'orders.status is null or orders.status not in (' ~ statuses('order_statuses') ~ ')',
        'no_amount': 'orders.total_amount is null',
        'negative_amount': 'orders.total_amount < 0',
        'no_time': 'orders.created_at is null',
        'unknown_customer': 'orders.user_id is not null and users.id is null',
        'total_differs_from_lines': 'analytics.line_count > 0 and abs(orders.total_amount - analytics.lines_total) > 0.01',
        'future_timestamp': 'orders.created_at > ' ~ as_of(),
    }) }} as validation_errors,
    {{ as_of() }} as processed_at
from orders
left join analytics on orders.id = analytics.order_id
left join users on orders.user_id = users.id
