with users as (
    select *
    from {{ ref('users_enhanced') }}
),

metrics as (
    select *
    from {{ ref('int_customer_metrics') }}
),

orders as (
    select *
    from {{ ref('int_order_analytics') }}
    where not is_guest
),

changed as (
    select
        customer_id,
        max(updated_at) as updated_at
    from orders
    group by customer_id
),

predictions as (
    select *
    from {{ ref('int_ltv_predictions') }}
),

modelled_tiers as (
    select customer_tier
    from {{ ref('ltv_backtest') }}
    where is_published and not is_baseline
),

-- Who the fitted model speaks for: its tier's back-test was won, and it knew the customer.
modelled as (
    select
        users.id as customer_id,
        predictions.expected_spend
    from users
    inner join modelled_tiers on users.customer_tier = modelled_tiers.customer_tier
    inner join predictions on users.id = predictions.customer_id
),

recent as (
    select
        customer_id,
        sum(revenue)::number(18,2) as spent
    from orders
    where
        is_counted
        and order_date <= {{ as_of_date() }}
        and datediff('day', order_date, {{ as_of_date() }}) < {{ var('ltv_horizon_days') }}
    group by customer_id
)

select
    users.id as customer_id,
    users.email,
    users.full_name,
    users.created_at::date as registration_date,
    users.days_since_registration,
    metrics.first_order_date,
    metrics.last_order_date,
    metrics.total_orders,
    metrics.total_spent,
    metrics.avg_order_value,
    metrics.avg_days_between_orders,
    metrics.favorite_category,
    metrics.total_items_purchased,
    users.customer_tier,
    coalesce(
        datediff('day', metrics.last_order_date, {{ as_of_date() }}) <= {{ var('active_customer_days') }}, false
    )::boolean as is_active,
    coalesce(
        datediff('day', metrics.last_order_date, {{ as_of_date() }}) >= {{ var('at_risk_customer_days') }}, false
    )::boolean as is_at_risk,
    (metrics.total_spent + coalesce(modelled.expected_spend, recent.spent, 0))::number(18,2) as predicted_ltv,
    iff(modelled.customer_id is null, 'trailing_rate', 'bg_nbd')::varchar as ltv_method,
    greatest(users.updated_at, coalesce(changed.updated_at, users.updated_at))::timestamp_ntz as last_updated
from users
inner join metrics on users.id = metrics.customer_id
left join changed on users.id = changed.customer_id
left join recent on users.id = recent.customer_id
left join modelled on users.id = modelled.customer_id
