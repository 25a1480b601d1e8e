create table if not exists RAW.USERS (
    id number(38,0) not null,
    email varchar,
    first_name varchar,
    last_name varchar,
    created_at timestamp_ntz(6),
    updated_at timestamp_ntz(6),
    __op varchar not null,
    __ts_ms timestamp_ntz(6),
    __source_ts_ms timestamp_ntz(6) not null,
    __source_lsn number(38,0) not null,
    loaded_at timestamp_ntz(6) not null,
    batch_id varchar not null,
    file_name varchar not null,
    _object_id varchar not null,
    _epoch number(38,0) not null,
    _source_partition varchar not null,
    _position number(38,0) not null,
    load_seq number(38,0) not null
)
cluster by (to_date(created_at));

create table if not exists RAW.PRODUCTS (
    id number(38,0) not null,
    name varchar,
    description varchar,
    price number(10,2),
    stock_quantity number(38,0),
    category varchar,
    created_at timestamp_ntz(6),
    updated_at timestamp_ntz(6),
    __op varchar not null,
    __ts_ms timestamp_ntz(6),
    __source_ts_ms timestamp_ntz(6) not null,
    __source_lsn number(38,0) not null,
    loaded_at timestamp_ntz(6) not null,
    batch_id varchar not null,
    file_name varchar not null,
    _object_id varchar not null,
    _epoch number(38,0) not null,
    _source_partition varchar not null,
    _position number(38,0) not null,
    load_seq number(38,0) not null
)
cluster by (to_date(created_at), category);

create table if not exists RAW.ORDERS (
    id number(38,0) not null,
    user_id number(38,0),
    status varchar,
    total_amount number(10,2),
    shipping_address varchar,
    created_at timestamp_ntz(6),
    updated_at timestamp_ntz(6),
    __op varchar not null,
    __ts_ms timestamp_ntz(6),
    __source_ts_ms timestamp_ntz(6) not null,
    __source_lsn number(38,0) not null,
    loaded_at timestamp_ntz(6) not null,
    batch_id varchar not null,
    file_name varchar not null,
    _object_id varchar not null,
    _epoch number(38,0) not null,
    _source_partition varchar not null,
    _position number(38,0) not null,
    load_seq number(38,0) not null
)
cluster by (to_date(created_at), user_id);

create table if not exists RAW.ORDER_ITEMS (
    id number(38,0) not null,
    order_id number(38,0),
    product_id number(38,0),
    quantity number(38,0),
    unit_price number(10,2),
    created_at timestamp_ntz(6),
    __op varchar not null,
    __ts_ms timestamp_ntz(6),
    __source_ts_ms timestamp_ntz(6) not null,
    __source_lsn number(38,0) not null,
    loaded_at timestamp_ntz(6) not null,
    batch_id varchar not null,
    file_name varchar not null,
    _object_id varchar not null,
    _epoch number(38,0) not null,
    _source_partition varchar not null,
    _position number(38,0) not null,
    load_seq number(38,0) not null
)
cluster by (to_date(created_at), order_id, product_id);
