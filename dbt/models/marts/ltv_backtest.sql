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

predictions as (
    select *
    from {{ ref('int_ltv_predictions') }}
),

-- The fit's, so that both methods are judged by the same days.
cutoff as (
    select
        coalesce(
            max(cutoff_date), dateadd('day', -{{ var('ltv_horizon_days') }}, {{ as_of_date() }})::date
        ) as cutoff_date,
        count(*) > 0 as is_fitted
    from predictions
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
        sum(iff(orders.order_date <= cutoff.cutoff_date, orders.revenue, 0))::number(18,2) as before_cutoff,
        sum(iff(orders.order_date > cutoff.cutoff_date, orders.revenue, 0))::number(18,2) as after_cutoff
    from orders
    cross join cutoff
    where
        orders.order_date <= dateadd('day', {{ var('ltv_horizon_days') }}, cutoff.cutoff_date)
        and datediff('day', orders.order_date, cutoff.cutoff_date) < {{ var('ltv_horizon_days') }}
    group by orders.customer_id
),

customers as (
    select
        coalesce(known_tiers.customer_tier, 'bronze')::varchar as customer_tier,
        cutoff.cutoff_date,
        cutoff.is_fitted,
        coalesce(spent.before_cutoff, 0)::number(18,2) as trailing,
        coalesce(predictions.held_out_spend, 0)::number(18,2) as modelled,
        coalesce(spent.after_cutoff, 0)::number(18,2) as actual
    from users
    cross join cutoff
    left join known_tiers on users.id = known_tiers.customer_id
    left join spent on users.id = spent.customer_id
    left join predictions on users.id = predictions.customer_id
    where users.registration_date <= cutoff.cutoff_date
),

predicted as (
    select
        customer_tier,
        cutoff_date,
        'trailing_rate'::varchar as method,
        trailing as prediction,
        actual
    from customers
    union all
    select
        customer_tier,
        cutoff_date,
        'bg_nbd'::varchar as method,
        modelled as prediction,
        actual
    from customers
    where is_fitted
),

judged as (
    select
        customer_tier,
        method,
        cutoff_date,
        count(*)::number(38,0) as customers,
        sum(prediction)::number(18,2) as predicted_spend,
        sum(actual)::number(18,2) as actual_spend,
        sum(abs(prediction - actual))::number(18,2) as absolute_error
    from predicted
    group by customer_tier, method, cutoff_date
)

select
    customer_tier,
    method,
    (method = 'trailing_rate')::boolean as is_baseline,
    -- The model must beat the baseline: a draw is the baseline's.
    (
        row_number() over (partition by customer_tier order by absolute_error, iff(method = 'trailing_rate', 0, 1)) = 1
    )::boolean as is_published,
    cutoff_date,
    {{ var('ltv_horizon_days') }}::number(38,0) as horizon_days,
    customers,
    predicted_spend,
    actual_spend,
    {{ ratio('absolute_error', 'customers', scale=2) }} as mean_absolute_error,
    {{ ratio('actual_spend', 'customers', scale=2) }} as mean_absolute_error_of_zero
from judged
