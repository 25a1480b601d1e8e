create table if not exists users_changes (
    id Int64,
    email Nullable(String),
    first_name Nullable(String),
    last_name Nullable(String),
    created_at Nullable(DateTime64(6, 'UTC')),
    updated_at Nullable(DateTime64(6, 'UTC')),
    __op String,
    __ts_ms Nullable(DateTime64(6, 'UTC')),
    __source_ts_ms DateTime64(6, 'UTC'),
    __source_lsn Int64,
    _object_id String,
    _epoch Int32,
    _source_partition String,
    _position Int64,
    ingested_at DateTime64(3, 'UTC') default now64(3)
)
engine = MergeTree
order by (id, _epoch, __source_lsn)
ttl toDateTime(ingested_at) + interval 120 day
settings non_replicated_deduplication_window = 1000;

create table if not exists products_changes (
    id Int64,
    name Nullable(String),
    description Nullable(String),
    price Nullable(Decimal(10, 2)),
    stock_quantity Nullable(Int32),
    category Nullable(String),
    created_at Nullable(DateTime64(6, 'UTC')),
    updated_at Nullable(DateTime64(6, 'UTC')),
    __op String,
    __ts_ms Nullable(DateTime64(6, 'UTC')),
    __source_ts_ms DateTime64(6, 'UTC'),
    __source_lsn Int64,
    _object_id String,
    _epoch Int32,
    _source_partition String,
    _position Int64,
    ingested_at DateTime64(3, 'UTC') default now64(3)
)
engine = MergeTree
order by (id, _epoch, __source_lsn)
ttl toDateTime(ingested_at) + interval 120 day
settings non_replicated_deduplication_window = 1000;

create table if not exists orders_changes (
    id Int64,
    user_id Nullable(Int64),
    status Nullable(String),
    total_amount Nullable(Decimal(10, 2)),
    shipping_address Nullable(String),
    created_at Nullable(DateTime64(6, 'UTC')),
    updated_at Nullable(DateTime64(6, 'UTC')),
    __op String,
    __ts_ms Nullable(DateTime64(6, 'UTC')),
    __source_ts_ms DateTime64(6, 'UTC'),
    __source_lsn Int64,
    _object_id String,
    _epoch Int32,
    _source_partition String,
    _position Int64,
    ingested_at DateTime64(3, 'UTC') default now64(3)
)
engine = MergeTree
order by (id, _epoch, __source_lsn)
ttl toDateTime(ingested_at) + interval 120 day
settings non_replicated_deduplication_window = 1000;

create table if not exists order_items_changes (
    id Int64,
    order_id Nullable(Int64),
    product_id Nullable(Int64),
    quantity Nullable(Int32),
    unit_price Nullable(Decimal(10, 2)),
    created_at Nullable(DateTime64(6, 'UTC')),
    __op String,
    __ts_ms Nullable(DateTime64(6, 'UTC')),
    __source_ts_ms DateTime64(6, 'UTC'),
    __source_lsn Int64,
    _object_id String,
    _epoch Int32,
    _source_partition String,
    _position Int64,
    ingested_at DateTime64(3, 'UTC') default now64(3)
)
engine = MergeTree
order by (id, _epoch, __source_lsn)
ttl toDateTime(ingested_at) + interval 120 day
settings non_replicated_deduplication_window = 1000;
