with bought as (
    select user_id, category, row_number() over (
        partition by user_id order by sum(quantity) desc, sum(worth) desc, category
    ) as place
    from goods join counted as c on c.id = order_id
    where category is not null and user_id is not null
    group by user_id, category
),
units as (select user_id, sum(quantity) as units from goods join counted as c on c.id = order_id group by user_id),
gaps as (
    select user_id, day - lag(day) over (partition by user_id order by created_at, id) as days from counted where user_id is not null
),
mean_gaps as (select user_id, rounded1(sum(days), count(days)) as days from gaps where days is not null group by user_id),
sums as (
    select user_id, count(*) as orders, sum(amount) as spent, min(day) as first_day, max(day) as last_day,
        coalesce(sum(amount) filter (where day > (select day from today) - 90 and day <= (select day from today)), 0) as lately
    from counted group by user_id
),
touched as (select user_id, max(updated_at) as at from orders group by user_id)
select
    u.id, u.email, nullif(trim(coalesce(u.first_name, '') || ' ' || coalesce(u.last_name, '')), ''), u.created_at::date,
    t.day - u.created_at::date, s.first_day, s.last_day, coalesce(s.orders, 0), coalesce(s.spent, 0)::decimal(18, 2),
    rounded2(coalesce(s.spent, 0), coalesce(s.orders, 0)), g.days, b.category, coalesce(n.units, 0)::bigint,
    coalesce(l.tier, 'bronze'), coalesce(t.day - s.last_day <= 90, false), coalesce(t.day - s.last_day >= 180, false),
    (coalesce(s.spent, 0) + coalesce(p.expected, s.lately, 0))::decimal(18, 2),
    case when p.customer_id is null then 'trailing_rate' else 'bg_nbd' end, greatest(u.updated_at, o.at)
from users as u
cross join today as t
left join sums as s on s.user_id = u.id
left join mean_gaps as g on g.user_id = u.id
left join bought as b on b.user_id = u.id and b.place = 1
left join units as n on n.user_id = u.id
left join touched as o on o.user_id = u.id
left join tiers as l on l.id = u.id and l.month = month_of(t.day)
left join predictions as p on p.customer_id = u.id and coalesce(l.tier, 'bronze') in (select tier from fitted_tiers)
