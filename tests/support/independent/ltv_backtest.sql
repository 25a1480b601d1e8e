with cut as (select day - 90 as day from today),
known as (
    select u.id, coalesce((
        select t.tier from tiers as t where t.id = u.id and t.month < month_of(cut.day) order by t.month desc limit 1
    ), 'bronze') as tier,
    (select coalesce(sum(c.amount), 0) from counted as c where c.user_id = u.id and c.day > cut.day - 90 and c.day <= cut.day) as guess,
    (select coalesce(sum(c.amount), 0) from counted as c where c.user_id = u.id and c.day > cut.day and c.day <= (select day from today)) as truth
    from users as u, cut where u.created_at::date <= cut.day
)
select tier, 'trailing_rate', true, (select day from cut), 90, count(*), sum(guess)::decimal(18, 2), sum(truth)::decimal(18, 2),
    rounded2(sum(abs(guess - truth)), count(*)), rounded2(sum(truth), count(*))
from known group by tier
