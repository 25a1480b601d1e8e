with orders as (
    select *
    from {{ ref('int_order_analytics') }}
    where is_counted and order_date is not null
),

users as (
    select *
    from {{ ref('stg_users') }}
),

customer_months as (
    select *
    from {{ ref('int_customer_tiers') }}
),

-- A customer is in the tier the customer reaches by the end of the date's month; guests are a group of their own.
grouped_orders as (
    select
        orders.*,
        iff(orders.is_guest, 'guest', coalesce(customer_months.customer_tier, 'bronze'))::varchar as customer_tier
    from orders
    left join customer_months
        on
            orders.customer_id = customer_months.customer_id
            and date_trunc('month', orders.order_date)::date = customer_months.month_start
),

tier_names as (
    {%- for tier in ['platinum', 'gold', 'silver', 'bronze', 'guest'] %}
    select '{{ tier }}'::varchar as customer_tier
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

dates as (
    select distinct order_date
    from orders
    where order_date <= {{ as_of_date() }}
),

grid as (
    select
        dates.order_date,
        tier_names.customer_tier
    from dates
    cross join tier_names
),

-- The customers of a month's tier join it on the day they registered, or on the month's first day.
joiners as (
    select
        customer_months.month_start,
        customer_months.customer_tier,
        greatest(
            coalesce(users.registration_date, customer_months.month_start), customer_months.month_start
        ) as joined_on,
        count(*)::number(38,0) as customers,
        sum(customer_months.spend_before)::number(18,2) as spend_before,
        count_if(users.registration_date >= customer_months.month_start)::number(38,0) as registered
    from customer_months
    inner join users on customer_months.customer_id = users.id
    group by 1, 2, 3
),

counted_customers as (
    select
        grid.order_date,
        grid.customer_tier,
        sum(joiners.customers)::number(38,0) as total_customers,
        sum(iff(joiners.joined_on = grid.order_date, joiners.registered, 0))::number(38,0) as new_customers
    from grid
    inner join joiners
        on
            date_trunc('month', grid.order_date)::date = joiners.month_start
            and grid.customer_tier = joiners.customer_tier
            and grid.order_date >= joiners.joined_on
    group by grid.order_date, grid.customer_tier
),

month_openings as (
    select
        month_start,
        customer_tier,
        sum(spend_before)::number(18,2) as spend_before
    from joiners
    group by month_start, customer_tier
),

daily as (
    select
        order_date,
        customer_tier,
        count(*)::number(38,0) as total_orders,
        count(distinct customer_id)::number(38,0) as active_customers,
        count(distinct iff(first_order_date < order_date, customer_id, null))::number(38,0) as repeating_customers,
        sum(revenue)::number(18,2) as total_revenue,
        count(days_since_previous_order)::number(38,0) as gaps,
        coalesce(sum(days_since_previous_order), 0)::number(38,0) as gap_days
    from grouped_orders
    group by order_date, customer_tier
),

-- What the customers of the tier spent in the month, up to and with the date; guests have no lifetime.
month_so_far as (
    select
        grid.order_date,
        grid.customer_tier,
        sum(daily.total_revenue)::number(18,2) as spent
    from grid
    inner join daily
        on
            grid.customer_tier = daily.customer_tier
            and date_trunc('month', grid.order_date)::date = date_trunc('month', daily.order_date)::date
            and grid.order_date >= daily.order_date
    where grid.customer_tier <> 'guest'
    group by grid.order_date, grid.customer_tier
),

joined as (
    select
        grid.order_date,
        grid.customer_tier,
        coalesce(counted_customers.total_customers, 0) as total_customers,
        coalesce(counted_customers.new_customers, 0) as new_customers,
        coalesce(daily.active_customers, 0) as active_customers,
        coalesce(daily.repeating_customers, 0) as repeating_customers,
        coalesce(daily.total_orders, 0) as total_orders,
        coalesce(daily.total_revenue, 0)::number(18,2) as total_revenue,
        coalesce(daily.gaps, 0) as gaps,
        coalesce(daily.gap_days, 0) as gap_days,
        (coalesce(month_openings.spend_before, 0) + coalesce(month_so_far.spent, 0))::number(18,2) as lifetime_spend
    from grid
    left join counted_customers
        on grid.order_date = counted_customers.order_date and grid.customer_tier = counted_customers.customer_tier
    left join daily on grid.order_date = daily.order_date and grid.customer_tier = daily.customer_tier
    left join month_openings
        on
            date_trunc('month', grid.order_date)::date = month_openings.month_start
            and grid.customer_tier = month_openings.customer_tier
    left join month_so_far
        on grid.order_date = month_so_far.order_date and grid.customer_tier = month_so_far.customer_tier
)

select
    order_date as date,
    customer_tier,
    total_customers::number(38,0) as total_customers,
    new_customers::number(38,0) as new_customers,
    active_customers::number(38,0) as active_customers,
    total_orders::number(38,0) as total_orders,
    {{ ratio('total_orders', 'active_customers', scale=2) }} as avg_orders_per_customer,
    {{ ratio('total_revenue', 'total_orders', scale=2) }} as avg_order_value,
    total_revenue,
    {{ ratio('repeating_customers', 'active_customers', scale=4) }} as repeat_purchase_rate,
    {{ ratio('gap_days', 'gaps', scale=1) }} as avg_days_between_orders,
    {{ ratio('lifetime_spend', 'total_customers', scale=2) }} as customer_lifetime_value
from joined
