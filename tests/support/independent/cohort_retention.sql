with born as (select user_id, month_of(min(day)) as cohort from counted where user_id is not null group by user_id),
sizes as (select cohort, count(*) as customers from born group by cohort),
months as (select distinct month_of(day) as month from counted where user_id is not null)
select
    s.cohort, date_diff('month', s.cohort, m.month), s.customers, count(distinct c.user_id),
    rounded4(count(distinct c.user_id), s.customers), count(c.id), coalesce(sum(c.amount), 0)::decimal(18, 2)
from sizes as s
join months as m on m.month >= s.cohort
left join born as b on b.cohort = s.cohort
left join counted as c on c.user_id = b.user_id and month_of(c.day) = m.month
group by s.cohort, m.month, s.customers
