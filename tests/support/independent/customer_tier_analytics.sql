with sold as (
    select c.*, case when c.user_id is null then 'guest' else coalesce(t.tier, 'bronze') end as tier,
        c.day - lag(c.day) over (partition by c.user_id order by c.created_at, c.id) as gap,
        min(c.day) over (partition by c.user_id) as first_day
    from counted as c left join tiers as t on t.id = c.user_id and t.month = month_of(c.day)
),
cells as (
    select d.day, n.tier
    from (select distinct day from counted where day <= (select day from today)) as d,
        (values ('platinum'), ('gold'), ('silver'), ('bronze'), ('guest')) as n (tier)
),
people as (
    select k.day, k.tier, count(u.id) filter (where coalesce(u.created_at::date, date '1970-01-01') <= k.day) as here,
        count(u.id) filter (where u.created_at::date = k.day) as fresh,
        coalesce(sum((select sum(c.amount) from counted as c where c.user_id = t.id and c.day < t.month)), 0) as earlier
    from cells as k
    left join tiers as t on t.tier = k.tier and t.month = month_of(k.day)
    left join users as u on u.id = t.id
    group by k.day, k.tier
),
deals as (
    select day, tier, count(*) as orders, count(distinct user_id) as buyers,
        count(distinct user_id) filter (where first_day < day) as again, sum(amount) as spent,
        count(gap) filter (where user_id is not null) as gaps, coalesce(sum(gap) filter (where user_id is not null), 0) as gap_days
    from sold group by day, tier
)
select
    k.day, k.tier, k.here, k.fresh, coalesce(d.buyers, 0), coalesce(d.orders, 0), rounded2(coalesce(d.orders, 0), d.buyers),
    rounded2(coalesce(d.spent, 0), d.orders), coalesce(d.spent, 0)::decimal(18, 2), rounded4(coalesce(d.again, 0), d.buyers),
    rounded1(coalesce(d.gap_days, 0), d.gaps),
    rounded2(k.earlier + (
        select coalesce(sum(s.amount), 0) from sold as s
        where s.tier = k.tier and k.tier <> 'guest' and month_of(s.day) = month_of(k.day) and s.day <= k.day
    ), k.here)
from people as k left join deals as d on d.day = k.day and d.tier = k.tier
