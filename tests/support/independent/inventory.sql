with demand as (
    select g.product_id, sum(g.quantity) as units from goods as g join counted as c on c.id = g.order_id, today as t
    where c.day between t.day - 27 and t.day group by g.product_id
),
levels as (
    select id, event_time, stock_quantity, op,
        lag(case when op <> 'd' then stock_quantity end ignore nulls) over (partition by id order by event_time) as before
    from product_versions
),
empty as (
    select id, count(*) as times, max(event_time)::date as last_day from levels
    where op <> 'd' and stock_quantity <= 0 and (before is null or before > 0) group by id
)
select
    p.id, p.name, p.category, p.stock_quantity, case when v.op <> 'd' then v.stock_quantity end,
    p.stock_quantity - case when v.op <> 'd' then v.stock_quantity end, coalesce(d.units, 0)::bigint, rounded2(coalesce(d.units, 0), 28),
    case when d.units > 0 then ((p.stock_quantity * 28) // d.units)::bigint end,
    not coalesce(p.stock_quantity > 0, false), coalesce(e.times, 0), e.last_day
from (select *, ((select day from today) - 27)::timestamp as opening from products) as p
left join demand as d on d.product_id = p.id
left join empty as e on e.id = p.id
asof left join product_versions as v on v.id = p.id and p.opening > v.event_time
where p.category is distinct from 'service'
