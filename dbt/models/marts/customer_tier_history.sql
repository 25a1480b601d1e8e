with customer_months as (
    select *
    from {{ ref('int_customer_tiers') }}
),

compared as (
    select
        *,
        lag(customer_tier) over (partition by customer_id order by month_start) as previous_tier
    from customer_months
),

turns as (
    select
        *,
        lead(month_start) over (partition by customer_id order by month_start) as valid_to
    from compared
    where previous_tier is distinct from customer_tier
)

select
    customer_id,
    month_start as valid_from,
    valid_to,
    customer_tier,
    previous_tier,
    spend_rank,
    lifetime_spend,
    (valid_to is null)::boolean as is_current
from turns
