with orders as (
    select
        *,
        date_trunc('month', first_order_date)::date as cohort_month,
        date_trunc('month', order_date)::date as order_month
    from {{ ref('int_order_analytics') }}
    where is_counted and not is_guest and order_date is not null
),

cohorts as (
    select
        cohort_month,
        count(distinct customer_id)::number(38,0) as cohort_customers
    from orders
    group by cohort_month
),

months as (
    select distinct order_month
    from orders
),

grid as (
    select
        cohorts.cohort_month,
        cohorts.cohort_customers,
        months.order_month
    from cohorts
    inner join months on cohorts.cohort_month <= months.order_month
),

activity as (
    select
        cohort_month,
        order_month,
        count(distinct customer_id)::number(38,0) as active_customers,
        count(*)::number(38,0) as total_orders,
        sum(revenue)::number(18,2) as total_revenue
    from orders
    group by cohort_month, order_month
),

joined as (
    select
        grid.cohort_month,
        grid.order_month,
        grid.cohort_customers,
        coalesce(activity.active_customers, 0)::number(38,0) as active_customers,
        coalesce(activity.total_orders, 0)::number(38,0) as total_orders,
        coalesce(activity.total_revenue, 0)::number(18,2) as total_revenue
    from grid
    left join activity on grid.cohort_month = activity.cohort_month and grid.order_month = activity.order_month
)

select
    cohort_month,
    datediff('month', cohort_month, order_month)::number(38,0) as months_since_first,
    cohort_customers,
    active_customers,
    {{ ratio('active_customers', 'cohort_customers', scale=4) }} as retention_rate,
    total_orders,
    total_revenue
from joined
