select
    i.id, i.order_id, i.product_id, o.user_id, o.created_at::date, o.status, o.user_id is null,
    coalesce(o.status in ('processing', 'shipped', 'delivered'), false),
    coalesce(o.status in ('shipped', 'delivered'), false), coalesce(o.status = 'cancelled', false),
    u.created_at::date, p.name, p.category, coalesce(p.category = 'service', false),
    i.quantity, i.unit_price, i.quantity * i.unit_price,
    case when v.op <> 'd' then v.price end,
    case when v.op <> 'd' then i.quantity * v.price - i.quantity * i.unit_price end,
    case when v.op <> 'd' then
        round(i.quantity * i.unit_price - i.quantity * v.price * coalesce(r.ratio, (select ratio from cost_ratios where category is null)), 2)
    end
from order_items as i
join orders as o on o.id = i.order_id
left join users as u on u.id = o.user_id
left join products as p on p.id = i.product_id
left join cost_ratios as r on r.category = p.category
asof left join product_versions as v on v.id = i.product_id and o.created_at >= v.event_time
