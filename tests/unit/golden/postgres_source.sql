create table if not exists shop.users (
    id bigint primary key,
    email text,
    first_name text,
    last_name text,
    created_at timestamp,
    updated_at timestamp
);
alter table shop.users replica identity default;

create table if not exists shop.products (
    id bigint primary key,
    name text,
    description text,
    price numeric(10,2),
    stock_quantity integer,
    category text,
    created_at timestamp,
    updated_at timestamp
);
alter table shop.products replica identity default;

create table if not exists shop.orders (
    id bigint primary key,
    user_id bigint references shop.users (id),
    status text,
    total_amount numeric(10,2),
    shipping_address text,
    created_at timestamp,
    updated_at timestamp
);
alter table shop.orders replica identity default;

create table if not exists shop.order_items (
    id bigint primary key,
    order_id bigint references shop.orders (id),
    product_id bigint references shop.products (id),
    quantity integer,
    unit_price numeric(10,2),
    created_at timestamp
);
alter table shop.order_items replica identity default;
