with products as (
    select *
    from {{ ref('stg_products') }}
    where not is_service
),

history as (
    select *
    from {{ ref('hist_products') }}
),

lines as (
    select *
    from {{ ref('fct_order_lines') }}
    where is_counted
),

demand as (
    select
        product_id,
        sum(quantity)::number(38,0) as units
    from lines
    where
        order_date <= {{ as_of_date() }}
        and order_date > dateadd('day', -{{ var('demand_window_days') }}, {{ as_of_date() }})
    group by product_id
),

-- What was in stock when the window before the demand's began.
openings as (
    select
        product_id,
        stock_quantity
    from history
    where
        valid_from < dateadd('day', 1 - {{ var('demand_window_days') }}, {{ as_of_date() }})
        and (valid_to is null or valid_to >= dateadd('day', 1 - {{ var('demand_window_days') }}, {{ as_of_date() }}))
),

emptied as (
    select product_id
    from history
    where stock_quantity <= 0
),

-- Of the few products that were ever out of stock.
fallen as (
    select
        product_id,
        valid_from,
        stock_quantity,
        lag(stock_quantity) over (partition by product_id order by valid_from) as previous_stock
    from history
    where product_id in (select emptied.product_id from emptied)
),

stock_outs as (
    select
        product_id,
        count(*)::number(38,0) as stock_outs,
        max(valid_from::date) as last_stock_out_date
    from fallen
    where stock_quantity <= 0 and coalesce(previous_stock > 0, true)
    group by product_id
)

select
    products.id as product_id,
    products.name as product_name,
    products.category,
    products.stock_quantity::number(38,0) as current_stock_level,
    openings.stock_quantity::number(38,0) as stock_level_before_window,
    (products.stock_quantity - openings.stock_quantity)::number(38,0) as stock_change,
    coalesce(demand.units, 0)::number(38,0) as units_sold_in_window,
    {{ ratio('coalesce(demand.units, 0)', var('demand_window_days'), scale=2) }} as avg_daily_demand,
    iff(
        coalesce(demand.units, 0) > 0,
        floor(products.stock_quantity * {{ var('demand_window_days') }} / nullif(demand.units, 0)),
        null
    )::number(38,0) as days_of_cover,
    (not products.is_in_stock)::boolean as is_out_of_stock,
    coalesce(stock_outs.stock_outs, 0)::number(38,0) as stock_outs,
    stock_outs.last_stock_out_date
from products
left join openings on products.id = openings.product_id
left join demand on products.id = demand.product_id
left join stock_outs on products.id = stock_outs.product_id
