with sold as (
    select c.day, g.product_id, any_value(g.name) as name, any_value(g.category) as category, sum(g.quantity) as units,
        sum(g.worth) as worth, list(distinct c.user_id) filter (where c.user_id is not null) as buyers
    from goods as g join counted as c on c.id = g.order_id
    where g.product_id is not null
    group by c.day, g.product_id
),
firsts as (
    select g.product_id, c.user_id, min(c.day) as day from goods as g join counted as c on c.id = g.order_id
    where c.user_id is not null group by g.product_id, c.user_id
),
placed as (
    select s.*,
        (select count(*) from sold as x where x.day = s.day and x.category is not distinct from s.category) as rivals,
        (select count(*) from sold as x where x.day = s.day and x.category is not distinct from s.category and x.worth > s.worth) + 1 as by_worth,
        (select count(*) from sold as x where x.day = s.day and x.category is not distinct from s.category and x.units > s.units) + 1 as by_units,
        (select sum(x.units) from sold as x where x.product_id = s.product_id and x.day between s.day - 27 and s.day) as lately,
        (s.day + interval 1 day)::timestamp as midnight
    from sold as s
)
select
    s.day, s.product_id, s.name, s.category, s.units::bigint, s.worth::decimal(18, 2), rounded2(s.worth, s.units),
    len(coalesce(s.buyers, [])),
    (select count(*) from firsts as f where f.product_id = s.product_id and f.day < s.day and list_contains(s.buyers, f.user_id)),
    s.by_worth, s.by_units, s.by_worth <= (s.rivals + 4) // 5,
    case when v.op <> 'd' then v.stock_quantity end,
    case when v.op <> 'd' and s.lately > 0 then ((v.stock_quantity * 28) // s.lately)::bigint end
from placed as s
asof left join product_versions as v on v.id = s.product_id and s.midnight > v.event_time
