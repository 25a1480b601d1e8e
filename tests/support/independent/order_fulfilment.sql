with entered as (
    select id, status, op, event_time, lag(status) over w as before, lag(op) over w as op_before
    from orders_history window w as (partition by id order by event_time, seq)
),
steps as (
    select id, min(event_time) filter (where status = 'processing') as processing, min(event_time) filter (where status = 'shipped') as shipped,
        min(event_time) filter (where status = 'delivered') as delivered
    from entered
    where op in ('c', 'u') and (op_before is null or op_before = 'd' or before is distinct from status)
    group by id
),
way as (
    select o.id, o.created_at::date as day, o.status, o.user_id is null as guest,
        s.processing is not null or o.status in ('processing', 'shipped', 'delivered') as processed,
        s.shipped is not null or o.status in ('shipped', 'delivered') as sent, s.delivered is not null or o.status = 'delivered' as arrived,
        s.shipped::date - o.created_at::date as to_send,
        case when o.status in ('shipped', 'delivered') then s.delivered::date - o.created_at::date end as to_arrive
    from orders as o left join steps as s on s.id = o.id
    where o.created_at is not null
)
select day, count(*), count(*) filter (where guest), count(*) filter (where processed), count(*) filter (where sent), count(*) filter (where arrived),
    count(*) filter (where arrived and guest), count(*) filter (where status = 'cancelled'), count(*) filter (where status = 'cancelled' and sent),
    rounded4(count(*) filter (where arrived), count(*)), rounded4(count(*) filter (where status = 'cancelled'), count(*)),
    rounded2(coalesce(sum(to_send), 0), count(to_send)), rounded2(coalesce(sum(to_arrive), 0), count(to_arrive)), max(to_arrive)
from way group by day
