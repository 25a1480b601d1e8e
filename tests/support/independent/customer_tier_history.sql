with runs as (
    select *, lag(tier) over (partition by id order by month) as before from tiers
)
select id, month, (select min(n.month) from runs as n where n.id = r.id and n.month > r.month and n.tier is distinct from n.before), tier, before,
    place, spent::decimal(18, 2), not exists (select 1 from runs as n where n.id = r.id and n.month > r.month and n.tier is distinct from n.before)
from runs as r
where tier is distinct from before
