"""The shop's own database: tables with real constraints, their history, and how far a replay has come.

`shop` is what change data capture reads (publication `slackwater_shop`, REPLICA IDENTITY DEFAULT). `shop_history`
holds every row version with its event time, written by triggers and not published: the truth that tests compare with.
`shop_replay` holds the replay's progress.
"""

from pydantic import SecretStr

from slackwater.clients.postgres import Connection, connect, translated
from slackwater.entities.ddl import POSTGRES_TYPES, postgres_source_ddl
from slackwater.entities.model import Entity, all_entities
from slackwater.replay.changes import STATUSES

PUBLICATION = "slackwater_shop"
EVENT_TIME_SETTING = "shop.event_time"
"""Session or transaction setting with the time of what is written next, for versions whose row does not say it."""

_STATUS_LIST = ", ".join(f"'{status}'" for status in STATUSES)
CHECKS: dict[str, dict[str, str]] = {
    "users": {
        "users_email_is_address": "email like '%_@_%'",
        "users_times_in_order": "updated_at >= created_at",
    },
    "products": {
        "products_price_not_negative": "price >= 0",
        "products_stock_not_negative": "stock_quantity >= 0",
        "products_times_in_order": "updated_at >= created_at",
    },
    "orders": {
        "orders_status_known": f"status in ({_STATUS_LIST})",
        "orders_total_not_negative": "total_amount >= 0",
        "orders_times_in_order": "updated_at >= created_at",
    },
    "order_items": {
        "order_items_quantity_positive": "quantity > 0",
        "order_items_price_not_negative": "unit_price >= 0",
    },
}
NULLABLE = {("products", "description"), ("orders", "user_id")}
INDEXES = (
    "create unique index if not exists users_email_unique on shop.users (email)",
    "create index if not exists orders_user on shop.orders (user_id)",
    "create index if not exists order_items_order on shop.order_items (order_id)",
)


def ensure_shop(dsn: SecretStr | str) -> None:
    """Create what is missing of the shop's schemas, tables, constraints, triggers and publication.

    A second call changes nothing; existing rows are never touched.

    Args:
        dsn: libpq URI of the shop's database.

    Raises:
        StoreUnavailable: PostgreSQL does not answer.
    """
    with connect(dsn) as connection, translated():
        connection.execute("select pg_advisory_xact_lock(hashtext('slackwater ensure_shop'))")
        for statement in ("create schema if not exists shop", "create schema if not exists shop_history"):
            connection.execute(statement)
        for entity in all_entities():
            for statement in postgres_source_ddl(entity):
                connection.execute(statement)
            _ensure_constraints(connection, entity)
            for statement in history_ddl(entity):
                connection.execute(statement)
        for statement in (*INDEXES, *PROGRESS_DDL):
            connection.execute(statement)
        _ensure_publication(connection)


def _ensure_constraints(connection: Connection, entity: Entity) -> None:
    table = f"shop.{entity.name}"
    rows = connection.execute("select conname from pg_constraint where conrelid = %s::regclass", (table,)).fetchall()
    present = {str(row[0]) for row in rows}
    for name, condition in CHECKS[entity.name].items():
        if name not in present:
            connection.execute(f"alter table {table} add constraint {name} check ({condition})")
    for column in entity.column_names:
        if (entity.name, column) not in NULLABLE and column != entity.key:
            connection.execute(f"alter table {table} alter column {column} set not null")


def history_ddl(entity: Entity) -> tuple[str, ...]:
    """Return the history table of an entity and the triggers that fill it, one statement per element.

    A version's event time is the setting `shop.event_time` when it is set; else the row's own event time column for
    `c`, and for `u` of entities that keep `updated_at`; else the clock.
    """
    name = entity.name
    columns = ", ".join(entity.column_names)
    typed = ",\n".join(f"    {c.name} {POSTGRES_TYPES[c.type]}" for c in entity.columns)
    is_kept = entity.event_time == "updated_at"
    kept_on = "tg_op <> 'DELETE'" if is_kept else "tg_op = 'INSERT'"
    function = f"""
create or replace function shop_history.write_{name}() returns trigger language plpgsql as $$
begin
    insert into shop_history.{name} (operation, event_time, {columns})
    select
        case tg_op when 'INSERT' then 'c' when 'UPDATE' then 'u' else 'd' end,
        coalesce(
            nullif(current_setting('{EVENT_TIME_SETTING}', true), '')::timestamp,
            case when {kept_on} then {entity.event_time} end,
            clock_timestamp() at time zone 'UTC'
        ),
        {columns}
    from changed;
    return null;
end $$"""
    triggers = [
        f"create or replace trigger history_{event} after {event} on shop.{name}"
        f" referencing {image} table as changed for each statement execute function shop_history.write_{name}()"
        for event, image in (("insert", "new"), ("update", "new"), ("delete", "old"))
    ]
    return (
        f"create table if not exists shop_history.{name} (\n    history_id bigint generated always as identity"
        f" primary key,\n    operation text not null,\n    event_time timestamp not null,\n{typed}\n)",
        f"create index if not exists {name}_versions on shop_history.{name} ({entity.key}, event_time, history_id)",
        function,
        *triggers,
    )


PROGRESS_DDL = (
    "create schema if not exists shop_replay",
    """
create table if not exists shop_replay.progress (
    is_only_row boolean primary key default true check (is_only_row),
    fingerprint text not null,
    shop_until timestamp not null,
    files_until timestamp not null,
    feed_until timestamp not null,
    updated_at timestamptz not null default now(),
    check (files_until <= shop_until and feed_until <= files_until)
)""",
)


def _ensure_publication(connection: Connection) -> None:
    found = connection.execute("select 1 from pg_publication where pubname = %s", (PUBLICATION,)).fetchone()
    if found is None:
        tables = ", ".join(f"shop.{entity.name}" for entity in all_entities())
        connection.execute(f"create publication {PUBLICATION} for table {tables}")
