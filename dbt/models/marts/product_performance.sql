with lines as (
    select *
    from {{ ref('fct_order_lines') }}
    where
        is_counted
        and not is_service
        and order_date is not null
        and product_id is not null
),

stock as (
    select *
    from {{ ref('hist_products') }}
),

-- The dates of touched rows, whole: ranks need every product of the date.
dates as (
    select distinct order_date
    from lines
    where
        order_date is not null
        {{ impact_filter('product_id', date_column='order_date') }}
),

sales as (
    select
        lines.order_date,
        lines.product_id,
        max(lines.product_name) as product_name,
        max(lines.product_category) as category,
        sum(lines.quantity)::number(38,0) as units_sold,
        sum(lines.line_total)::number(18,2) as total_revenue,
        count(distinct lines.customer_id)::number(38,0) as unique_customers
    from lines
    inner join dates on lines.order_date = dates.order_date
    group by lines.order_date, lines.product_id
),

ranked as (
    select
        *,
        rank() over (partition by order_date, category order by total_revenue desc) as revenue_rank,
        rank() over (partition by order_date, category order by units_sold desc) as units_rank,
        count(*) over (partition by order_date, category) as products_in_category
    from sales
),

touched as (
    select *
    from ranked
    where
        product_id is not null
        {{ impact_filter('product_id', date_column='order_date') }}
),

first_purchases as (
    select
        product_id,
        customer_id,
        min(order_date) as first_purchase_date
    from lines
    where customer_id is not null and product_id in (select touched.product_id from touched)
    group by product_id, customer_id
),

repeaters as (
    select
        lines.order_date,
        lines.product_id,
        count(distinct lines.customer_id)::number(38,0) as repeat_customers
    from lines
    inner join dates on lines.order_date = dates.order_date
    inner join first_purchases
        on lines.product_id = first_purchases.product_id and lines.customer_id = first_purchases.customer_id
    where lines.order_date > first_purchases.first_purchase_date
    group by lines.order_date, lines.product_id
),

first_date as (
    select min(order_date) as order_date
    from dates
),

daily_units as (
    select
        lines.order_date,
        lines.product_id,
        sum(lines.quantity)::number(38,0) as units_sold
    from lines
    cross join first_date
    where
        lines.order_date > dateadd('day', -{{ var('demand_window_days') }}, first_date.order_date)
        and lines.product_id in (select touched.product_id from touched)
    group by lines.order_date, lines.product_id
),

-- Units of the window that ends with the row's date.
demand as (
    select
        touched.order_date,
        touched.product_id,
        sum(daily_units.units_sold)::number(38,0) as units_in_window
    from touched
    inner join daily_units on touched.product_id = daily_units.product_id
    where
        daily_units.order_date <= touched.order_date
        and daily_units.order_date > dateadd('day', -{{ var('demand_window_days') }}, touched.order_date)
    group by touched.order_date, touched.product_id
),

joined as (
    select
        touched.*,
        coalesce(repeaters.repeat_customers, 0)::number(38,0) as repeat_customers,
        demand.units_in_window,
        stock.stock_quantity as stock_level
    from touched
    left join repeaters on touched.order_date = repeaters.order_date and touched.product_id = repeaters.product_id
    left join demand on touched.order_date = demand.order_date and touched.product_id = demand.product_id
    -- What was in stock when the date ended.
    left join stock
        on
            touched.product_id = stock.product_id
            and stock.valid_from < dateadd('day', 1, touched.order_date)
            and (stock.valid_to is null or stock.valid_to >= dateadd('day', 1, touched.order_date))
)

select
    order_date as date,
    product_id,
    product_name,
    category,
    units_sold,
    total_revenue,
    {{ ratio('total_revenue', 'units_sold', scale=2) }} as avg_selling_price,
    unique_customers,
    repeat_customers,
    revenue_rank::number(38,0) as revenue_rank_in_category,
    units_rank::number(38,0) as units_rank_in_category,
    -- The best so many percent of the category's products of the date, rounded up: at least one.
    ((revenue_rank - 1) * 100 < {{ var('top_products_pct') }} * products_in_category)::boolean as is_top_performer,
    stock_level::number(38,0) as current_stock_level,
    iff(
        units_in_window > 0,
        floor(stock_level * {{ var('demand_window_days') }} / nullif(units_in_window, 0)),
        null
    )::number(38,0) as days_of_inventory_remaining
from joined
