with lines as (
    select *, lag(op) over w as op_before, lag(quantity) over w as had, lag(unit_price) over w as price, lag(order_id) over w as of_order
    from order_items_history window w as (partition by id order by event_time, seq)
),
cancelled as (
    select *, lag(status) over w as before, lag(op) over w as op_before
    from orders_history window w as (partition by id order by event_time, seq)
),
events as (
    select event_time::date as day, if(op = 'd', 'line_deleted', 'line_reduced') as kind, of_order as order_id,
        had - if(op = 'd', 0, quantity) as units, (had - if(op = 'd', 0, quantity)) * price as value
    from lines where op_before is distinct from 'd' and op_before is not null and had > if(op = 'd', 0, quantity)
    union all
    select event_time::date, 'order_cancelled', c.id,
        coalesce((select sum(g.quantity) from goods as g join orders as o on o.id = g.order_id where o.id = c.id), 0), coalesce(total_amount, 0)
    from cancelled as c
    where status = 'cancelled' and op in ('c', 'u') and (op_before is null or op_before = 'd' or before is distinct from 'cancelled')
)
select e.day, e.kind, count(*), count(distinct e.order_id), sum(e.units)::bigint, sum(e.value)::decimal(18, 2),
    coalesce(sum(e.value) filter (where o.id is not null and o.user_id is null), 0)::decimal(18, 2)
from events as e left join orders as o on o.id = e.order_id
group by e.day, e.kind
