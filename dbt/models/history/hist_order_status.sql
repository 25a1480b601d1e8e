with changes as (
    {{ distinct_changes('orders') }}
),

compared as (
    select
        *,
        row_number() over (partition by id order by {{ history_order() }}) as change_number,
        lag(__op) over (partition by id order by {{ history_order() }}) as previous_op,
        lag(status) over (partition by id order by {{ history_order() }}) as previous_status
    from changes
),

turns as (
    select
        *,
        lead(__source_ts_ms) over (partition by id order by change_number) as left_at
    from compared
    where
        previous_op is null
        or (previous_op = 'd') <> (__op = 'd')
        or (__op <> 'd' and previous_status is distinct from status)
)

select
    id as order_id,
    (row_number() over (partition by id order by change_number))::number(38,0) as transition_number,
    status,
    iff(previous_op = 'd', null, previous_status)::varchar as previous_status,
    __source_ts_ms as entered_at,
    left_at,
    datediff('second', __source_ts_ms, left_at)::number(38,0) as seconds_in_status,
    total_amount,
    (__op <> 'r')::boolean as is_observed,
    (left_at is null)::boolean as is_current
from turns
where __op <> 'd'
