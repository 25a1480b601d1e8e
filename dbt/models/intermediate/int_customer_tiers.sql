with users as (
    select *
    from {{ ref('stg_users') }}
),

orders as (
    select *
    from {{ ref('int_order_analytics') }}
    where is_counted and not is_guest and order_date is not null
),

-- Months up to that of as_of in which a customer registered or ordered; between them no rank moves.
months as (
    select date_trunc('month', registration_date)::date as month_start
    from users
    union distinct
    select date_trunc('month', order_date)::date as month_start
    from orders
    union distinct
    select date_trunc('month', {{ as_of_date() }})::date as month_start
),

monthly_spend as (
    select
        customer_id,
        date_trunc('month', order_date)::date as month_start,
        sum(revenue)::number(18,2) as spent
    from orders
    group by 1, 2
),

-- One row per customer and month from the month of registration on; what was ordered before it counts from there.
customer_months as (
    select
        users.id as customer_id,
        months.month_start,
        coalesce(sum(monthly_spend.spent), 0)::number(18,2) as lifetime_spend,
        coalesce(
            sum(iff(monthly_spend.month_start < months.month_start, monthly_spend.spent, 0)), 0
        )::number(18,2) as spend_before
    from users
    inner join months
        on date_trunc('month', coalesce(users.registration_date, '1970-01-01'::date))::date <= months.month_start
    left join monthly_spend
        on users.id = monthly_spend.customer_id and months.month_start >= monthly_spend.month_start
    where months.month_start <= {{ as_of_date() }}
    group by users.id, months.month_start
),

ranked as (
    select
        *,
        rank() over (partition by month_start order by lifetime_spend desc) as spend_rank,
        count(*) over (partition by month_start) as customers
    from customer_months
)

select
    customer_id,
    month_start,
    lifetime_spend,
    spend_before,
    spend_rank::number(38,0) as spend_rank,
    {{ customer_tier('spend_rank', 'customers', 'lifetime_spend') }}::varchar as customer_tier,
    (month_start = date_trunc('month', {{ as_of_date() }})::date)::boolean as is_current
from ranked
