with placed as (
    select o.created_at::date as day, o.status, c.id, c.user_id, c.amount, coalesce(g.units, 0) as units,
        c.user_id is not null and u.created_at::date is not distinct from c.day as fresh,
        c.user_id is not null and u.created_at::date is distinct from c.day as known
    from orders as o
    left join counted as c on c.id = o.id
    left join users as u on u.id = c.user_id
    left join (select order_id, sum(quantity) as units from goods group by order_id) as g on g.order_id = c.id
    where o.created_at is not null
),
varied as (select day, count(distinct product_id) as products from goods join counted as c on c.id = order_id group by day)
select
    day, count(distinct user_id) filter (where fresh), count(distinct user_id) filter (where known), count(distinct user_id), count(*),
    count(*) filter (where status in ('shipped', 'delivered')), count(*) filter (where status = 'cancelled'),
    rounded2(coalesce(sum(amount), 0), count(id)), coalesce(sum(amount), 0)::decimal(18, 2),
    coalesce(sum(amount) filter (where fresh), 0)::decimal(18, 2), coalesce(sum(amount) filter (where known), 0)::decimal(18, 2),
    coalesce(sum(amount) filter (where user_id is null), 0)::decimal(18, 2), sum(units)::bigint, coalesce(any_value(v.products), 0),
    rounded4(count(distinct user_id) filter (where fresh), count(distinct user_id)),
    rounded4(count(*) filter (where status in ('shipped', 'delivered')), count(*)), rounded2(sum(units), count(id))
from placed left join varied as v using (day)
group by day
