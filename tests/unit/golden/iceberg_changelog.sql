create table if not exists changes.users (
    id bigint not null,
    email string,
    first_name string,
    last_name string,
    created_at timestamp_ntz,
    updated_at timestamp_ntz,
    __op string not null,
    __ts_ms timestamp_ntz,
    __source_ts_ms timestamp_ntz not null,
    __source_lsn bigint not null,
    _batch_id string not null,
    _file_name string not null,
    _object_id string not null,
    _epoch int not null,
    _source_partition string not null,
    _position bigint not null,
    date date not null
)
using iceberg
partitioned by (date)
tblproperties ('format-version' = '2', 'write.parquet.compression-codec' = 'snappy');

create table if not exists changes.products (
    id bigint not null,
    name string,
    description string,
    price decimal(10,2),
    stock_quantity int,
    category string,
    created_at timestamp_ntz,
    updated_at timestamp_ntz,
    __op string not null,
    __ts_ms timestamp_ntz,
    __source_ts_ms timestamp_ntz not null,
    __source_lsn bigint not null,
    _batch_id string not null,
    _file_name string not null,
    _object_id string not null,
    _epoch int not null,
    _source_partition string not null,
    _position bigint not null,
    date date not null
)
using iceberg
partitioned by (date)
tblproperties ('format-version' = '2', 'write.parquet.compression-codec' = 'snappy');

create table if not exists changes.orders (
    id bigint not null,
    user_id bigint,
    status string,
    total_amount decimal(10,2),
    shipping_address string,
    created_at timestamp_ntz,
    updated_at timestamp_ntz,
    __op string not null,
    __ts_ms timestamp_ntz,
    __source_ts_ms timestamp_ntz not null,
    __source_lsn bigint not null,
    _batch_id string not null,
    _file_name string not null,
    _object_id string not null,
    _epoch int not null,
    _source_partition string not null,
    _position bigint not null,
    date date not null
)
using iceberg
partitioned by (date)
tblproperties ('format-version' = '2', 'write.parquet.compression-codec' = 'snappy');

create table if not exists changes.order_items (
    id bigint not null,
    order_id bigint,
    product_id bigint,
    quantity int,
    unit_price decimal(10,2),
    created_at timestamp_ntz,
    __op string not null,
    __ts_ms timestamp_ntz,
    __source_ts_ms timestamp_ntz not null,
    __source_lsn bigint not null,
    _batch_id string not null,
    _file_name string not null,
    _object_id string not null,
    _epoch int not null,
    _source_partition string not null,
    _position bigint not null,
    date date not null
)
using iceberg
partitioned by (date)
tblproperties ('format-version' = '2', 'write.parquet.compression-codec' = 'snappy');
