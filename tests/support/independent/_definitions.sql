-- Words the queries beside this file share: written from the definitions in docs and seeds, not from the dbt models.
-- Exact rounding half up of n / d (n has at most as many decimals as asked for, d is whole), 0 when there is nothing to divide by.
create macro rounded1(n, d) as case when coalesce(d, 0) = 0 then 0::decimal(18, 1)
    else ((((n::decimal(24, 1) * 10)::hugeint * 2 + d) // (2 * d))::decimal(30, 0) * 0.1::decimal(2, 1))::decimal(18, 1) end;
create macro rounded2(n, d) as case when coalesce(d, 0) = 0 then 0::decimal(18, 2)
    else ((((n::decimal(24, 2) * 100)::hugeint * 2 + d) // (2 * d))::decimal(30, 0) * 0.01::decimal(3, 2))::decimal(18, 2) end;
create macro rounded4(n, d) as case when coalesce(d, 0) = 0 then 0::decimal(18, 4)
    else ((((n::decimal(24, 2) * 10000)::hugeint * 2 + d) // (2 * d))::decimal(30, 0) * 0.0001::decimal(5, 4))::decimal(18, 4) end;
create macro month_of(d) as date_trunc('month', d)::date;

create view today as select as_of::date as day from clock;
create view counted as
select id, user_id, created_at, created_at::date as day, coalesce(total_amount, 0) as amount
from orders where status in ('processing', 'shipped', 'delivered') and created_at is not null;
-- Lines of goods: what is not known to be a service.
create view goods as
select i.id, i.order_id, i.product_id, i.quantity, i.unit_price, i.quantity * i.unit_price as worth, p.name, p.category
from order_items as i left join products as p on p.id = i.product_id
where p.category is distinct from 'service';
create table product_versions as
select id, event_time, op, price, stock_quantity from products_history
qualify row_number() over (partition by id, event_time order by seq desc) = 1;
-- Tier of every customer in every month in which something happened, by everything counted up to the month's end.
create table tiers as
with months as (
    select distinct month_of(created_at) as month from users where created_at is not null
    union select month_of(day) from counted where user_id is not null
    union select month_of(day) from today
),
spend as (
    select u.id, m.month, (
        select coalesce(sum(c.amount), 0) from counted as c
        where c.user_id = u.id and c.day < m.month + interval 1 month
    ) as spent
    from users as u, months as m
    where m.month >= month_of(coalesce(u.created_at, timestamp '1970-01-01')) and m.month <= (select day from today)
),
placed as (
    select *, rank() over (partition by month order by spent desc) as place, count(*) over (partition by month) as everyone
    from spend
)
select id, month, spent, place,
    case when spent <= 0 then 'bronze' when place * 100 <= 3 * everyone then 'platinum'
        when place * 100 <= 15 * everyone then 'gold' when place * 100 <= 40 * everyone then 'silver' else 'bronze' end as tier
from placed;
-- The two ways to expect a customer's spend, judged on the 90 days after a cutoff, per tier as it was known then.
create view cut as select coalesce((select max(cutoff_date) from predictions), (select day - 90 from today)) as day;
create table ltv_errors as
with known as (
    select u.id, coalesce((
        select t.tier from tiers as t where t.id = u.id and t.month < month_of(cut.day) order by t.month desc limit 1
    ), 'bronze') as tier,
    (select coalesce(sum(c.amount), 0) from counted as c where c.user_id = u.id and c.day > cut.day - 90 and c.day <= cut.day) as guess,
    coalesce((select p.held_out from predictions as p where p.customer_id = u.id), 0) as fitted_guess,
    (select coalesce(sum(c.amount), 0) from counted as c where c.user_id = u.id and c.day > cut.day and c.day <= cut.day + 90) as truth
    from users as u, cut where u.created_at::date <= cut.day
),
guesses as (
    select tier, true as simple, guess, truth from known
    union all select tier, false, fitted_guess, truth from known where exists (select 1 from predictions)
)
select tier, simple, count(*) as people, sum(guess) as guessed, sum(truth) as truth, sum(abs(guess - truth)) as error
from guesses group by all;
create view fitted_tiers as
select f.tier from ltv_errors as f join ltv_errors as s on s.tier = f.tier and s.simple where not f.simple and f.error < s.error;
