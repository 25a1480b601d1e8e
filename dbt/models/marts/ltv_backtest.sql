with orders as (
    select *
    from {{ ref('int_order_analytics') }}
    where is_counted and not is_guest and order_date is not null
),

users as (
    select *
    from {{ ref('stg_users') }}
),

customer_months as (
    select *
    from {{ ref('int_customer_tiers') }}
),

cutoff as (
    select dateadd('day', -{{ var('ltv_horizon_days') }}, {{ as_of_date() }})::date as cutoff_date
),

-- The tier as it was known before the cutoff: of the last whole month.
known_tiers as (
    select
        customer_months.customer_id,
        customer_months.customer_tier
    from customer_months
    cross join cutoff
    where customer_months.month_start < date_trunc('month', cutoff.cutoff_date)::date
    qualify row_number() over (partition by customer_months.customer_id order by customer_months.month_start desc) = 1
),

spent as (
    select
        orders.customer_id,
        sum(iff(orders.order_date <= cutoff.cutoff_date, orders.revenue, 0))::number(18,2) as predicted,
        sum(iff(orders.order_date > cutoff.cutoff_date, orders.revenue, 0))::number(18,2) as actual
    from orders
    cross join cutoff
    where
        orders.order_date <= {{ as_of_date() }}
        and datediff('day', orders.order_date, cutoff.cutoff_date) < {{ var('ltv_horizon_days') }}
    group by orders.customer_id
),

customers as (
    select
        coalesce(known_tiers.customer_tier, 'bronze')::varchar as customer_tier,
        cutoff.cutoff_date,
        coalesce(spent.predicted, 0)::number(18,2) as predicted,
        coalesce(spent.actual, 0)::number(18,2) as actual
    from users
    cross join cutoff
    left join known_tiers on users.id = known_tiers.customer_id
    left join spent on users.id = spent.customer_id
    where users.registration_date <= cutoff.cutoff_date
),

per_tier as (
    select
        customer_tier,
        cutoff_date,
        count(*)::number(38,0) as customers,
        sum(predicted)::number(18,2) as predicted_spend,
        sum(actual)::number(18,2) as actual_spend,
        sum(abs(predicted - actual))::number(18,2) as absolute_error
    from customers
    group by customer_tier, cutoff_date
)

select
    customer_tier,
    'trailing_rate'::varchar as method,
    true as is_baseline,
    cutoff_date,
    {{ var('ltv_horizon_days') }}::number(38,0) as horizon_days,
    customers,
    predicted_spend,
    actual_spend,
    {{ ratio('absolute_error', 'customers', scale=2) }} as mean_absolute_error,
    {{ ratio('actual_spend', 'customers', scale=2) }} as mean_absolute_error_of_zero
from per_tier
