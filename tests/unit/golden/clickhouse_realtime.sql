create or replace view users_realtime as
select
    version.id as id,
    argMax(tuple(version.email), version.change_order).1 as email,
    argMax(tuple(version.first_name), version.change_order).1 as first_name,
    argMax(tuple(version.last_name), version.change_order).1 as last_name,
    argMax(tuple(version.created_at), version.change_order).1 as created_at,
    argMax(tuple(version.updated_at), version.change_order).1 as updated_at,
    argMax(version.__op, version.change_order) as __op,
    argMax(version.__ts_ms, version.change_order) as __ts_ms,
    argMax(version.__source_ts_ms, version.change_order) as __source_ts_ms,
    argMax(version.__source_lsn, version.change_order) as __source_lsn,
    argMax(version._object_id, version.change_order) as _object_id,
    argMax(version._epoch, version.change_order) as _epoch,
    argMax(version._source_partition, version.change_order) as _source_partition,
    argMax(version._position, version.change_order) as _position,
    argMax(version.__op, version.change_order) = 'd' as is_deleted
from (
    select
        changes.* except (ingested_at),
        tuple(_epoch, __source_lsn, __op != 'r', _position, _object_id) as change_order,
        change_order >= maxIf(change_order, __op in ('c', 'r')) over (partition by id) as since_insert
    from users_changes as changes
) as version
group by version.id;

create or replace view products_realtime as
select
    version.id as id,
    argMax(tuple(version.name), version.change_order).1 as name,
    argMax(tuple(version.price), version.change_order).1 as price,
    argMax(tuple(version.stock_quantity), version.change_order).1 as stock_quantity,
    argMax(tuple(version.category), version.change_order).1 as category,
    argMax(tuple(version.created_at), version.change_order).1 as created_at,
    argMax(tuple(version.updated_at), version.change_order).1 as updated_at,
    argMaxIf(tuple(version.description), version.change_order, version.since_insert and version.description is distinct from '__debezium_unavailable_value').1 as description,
    argMax(version.__op, version.change_order) as __op,
    argMax(version.__ts_ms, version.change_order) as __ts_ms,
    argMax(version.__source_ts_ms, version.change_order) as __source_ts_ms,
    argMax(version.__source_lsn, version.change_order) as __source_lsn,
    argMax(version._object_id, version.change_order) as _object_id,
    argMax(version._epoch, version.change_order) as _epoch,
    argMax(version._source_partition, version.change_order) as _source_partition,
    argMax(version._position, version.change_order) as _position,
    argMax(version.__op, version.change_order) = 'd' as is_deleted
from (
    select
        changes.* except (ingested_at),
        tuple(_epoch, __source_lsn, __op != 'r', _position, _object_id) as change_order,
        change_order >= maxIf(change_order, __op in ('c', 'r')) over (partition by id) as since_insert
    from products_changes as changes
) as version
group by version.id;

create or replace view orders_realtime as
select
    version.id as id,
    argMax(tuple(version.user_id), version.change_order).1 as user_id,
    argMax(tuple(version.status), version.change_order).1 as status,
    argMax(tuple(version.total_amount), version.change_order).1 as total_amount,
    argMax(tuple(version.created_at), version.change_order).1 as created_at,
    argMax(tuple(version.updated_at), version.change_order).1 as updated_at,
    argMaxIf(tuple(version.shipping_address), version.change_order, version.since_insert and version.shipping_address is distinct from '__debezium_unavailable_value').1 as shipping_address,
    argMax(version.__op, version.change_order) as __op,
    argMax(version.__ts_ms, version.change_order) as __ts_ms,
    argMax(version.__source_ts_ms, version.change_order) as __source_ts_ms,
    argMax(version.__source_lsn, version.change_order) as __source_lsn,
    argMax(version._object_id, version.change_order) as _object_id,
    argMax(version._epoch, version.change_order) as _epoch,
    argMax(version._source_partition, version.change_order) as _source_partition,
    argMax(version._position, version.change_order) as _position,
    argMax(version.__op, version.change_order) = 'd' as is_deleted
from (
    select
        changes.* except (ingested_at),
        tuple(_epoch, __source_lsn, __op != 'r', _position, _object_id) as change_order,
        change_order >= maxIf(change_order, __op in ('c', 'r')) over (partition by id) as since_insert
    from orders_changes as changes
) as version
group by version.id;

create or replace view order_items_realtime as
select
    version.id as id,
    argMax(tuple(version.order_id), version.change_order).1 as order_id,
    argMax(tuple(version.product_id), version.change_order).1 as product_id,
    argMax(tuple(version.quantity), version.change_order).1 as quantity,
    argMax(tuple(version.unit_price), version.change_order).1 as unit_price,
    argMax(tuple(version.created_at), version.change_order).1 as created_at,
    argMax(version.__op, version.change_order) as __op,
    argMax(version.__ts_ms, version.change_order) as __ts_ms,
    argMax(version.__source_ts_ms, version.change_order) as __source_ts_ms,
    argMax(version.__source_lsn, version.change_order) as __source_lsn,
    argMax(version._object_id, version.change_order) as _object_id,
    argMax(version._epoch, version.change_order) as _epoch,
    argMax(version._source_partition, version.change_order) as _source_partition,
    argMax(version._position, version.change_order) as _position,
    argMax(version.__op, version.change_order) = 'd' as is_deleted
from (
    select
        changes.* except (ingested_at),
        tuple(_epoch, __source_lsn, __op != 'r', _position, _object_id) as change_order,
        change_order >= maxIf(change_order, __op in ('c', 'r')) over (partition by id) as since_insert
    from order_items_changes as changes
) as version
group by version.id;
