with line_returns as (
    select *
    from {{ ref('hist_line_returns') }}
),

statuses as (
    select *
    from {{ ref('hist_order_status') }}
),

orders as (
    select *
    from {{ ref('int_order_analytics') }}
),

events as (
    select
        returned_at::date as return_date,
        return_kind,
        order_id,
        units,
        refund_amount
    from line_returns
    union all
    select
        statuses.entered_at::date as return_date,
        'order_cancelled' as return_kind,
        statuses.order_id,
        coalesce(orders.items, 0) as units,
        coalesce(statuses.total_amount, 0) as refund_amount
    from statuses
    left join orders on statuses.order_id = orders.order_id
    where statuses.status in ({{ statuses('cancelled_statuses') }}) and statuses.is_observed
)

select
    events.return_date as date,
    events.return_kind::varchar as return_kind,
    count(*)::number(38,0) as return_count,
    count(distinct events.order_id)::number(38,0) as returned_orders,
    sum(events.units)::number(38,0) as units_returned,
    sum(events.refund_amount)::number(18,2) as refund_amount,
    sum(iff(coalesce(orders.is_guest, false), events.refund_amount, 0))::number(18,2) as refund_amount_of_guests
from events
left join orders on events.order_id = orders.order_id
group by events.return_date, events.return_kind
