"""What a refresh touches, as SQL over old and new row versions. Pure: `refresh.py` runs the statements.

Old versions are the `base_` tables before the refresh overwrites them, new ones the raw rows of the range. Every scope
follows from both, so that a child that moves touches both of its parents:

- `moved-order`: an order that changed, or one of its items, or the day its user signed up, or the category of a product
  in it. No model is built by it: what follows it is found once.
- `date`: an order of that date, one of its items, the day its user signed up, or the category of a product in it
  changed. Prices and stock levels touch no date.
- `order`: what touches a date, and the name of a product in it or its price at the time of the order.
- `customer`: a user that changed, and the user of every order that touches a date.
- `product`, from a date on: a product whose price or stock changed, from the day of the change; a product of an order
  that touches a date, from that day; a product that appears, vanishes, or changes name or category, from ever.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from slackwater.clients.snowflake import Scalar, quote_identifier
from slackwater.entities.model import load_entity
from slackwater.naming import ENTITIES, SCHEMA_STAGING, raw_table

SCOPE_KEY = "key"
SCOPE_MOVED_ORDER = "moved-order"
SCOPE_DATE = "date"
SCOPE_ORDER = "order"
SCOPE_CUSTOMER = "customer"
SCOPE_PRODUCT = "product"

FROM_EVER = "0001-01-01"
"""Date of the product scope that stands before every other."""


PRODUCT_COLUMNS_WITH_RULES = frozenset({"id", "price", "stock_quantity", "category", "created_at", "updated_at"})
"""Columns of a product whose changes have rules of their own, or that no model shows beside a sale."""


@dataclass(frozen=True)
class LoadRange:
    """The loads of one entity that a refresh adds: `after < load_seq <= upto`."""

    after: int
    upto: int


@dataclass(frozen=True)
class Statement:
    """One statement with its bound parameters."""

    sql: str
    params: tuple[Scalar, ...]


def base_table(entity: str) -> str:
    """Return the quoted name of the newest versions with tombstones, which dbt builds."""
    return quote_identifier(f"{SCHEMA_STAGING}.BASE_{entity}")


def impact_statements(
    refresh_id: str, ranges: Mapping[str, LoadRange], *, built: Collection[str]
) -> tuple[Statement, ...]:
    """Return the inserts that record a refresh's impact; run them in order in one transaction.

    Args:
        refresh_id: The refresh.
        ranges: The loads it adds, per entity.
        built: Entities whose `base_` table exists; the others have no old versions.

    Returns:
        One insert per entity for its keys, then one per scope that follows from old and new versions.
    """
    versions = _Versions(ranges, frozenset(built))
    keys = tuple(_keys(refresh_id, entity, ranges[entity]) for entity in ENTITIES)
    expansions = (_moved_orders, _dates, _orders, _customers, _products)
    return (*keys, *(expand(refresh_id, versions) for expand in expansions))


@dataclass(frozen=True)
class _Versions:
    """Old and new versions of an entity as subqueries with their parameters."""

    ranges: Mapping[str, LoadRange]
    built: frozenset[str]

    def new(self, entity: str, columns: str) -> Statement:
        span = self.ranges[entity]
        raw = quote_identifier(raw_table(entity))
        return Statement(f"select {columns} from {raw} where load_seq > ? and load_seq <= ?", (span.after, span.upto))

    def old(self, entity: str, columns: str) -> Statement:
        if entity in self.built:
            return Statement(f"select {columns} from {base_table(entity)}", ())
        return Statement(f"select {columns} from {quote_identifier(raw_table(entity))} where 1 = 0", ())

    def both(self, entity: str, columns: str) -> Statement:
        old, new = self.old(entity, columns), self.new(entity, columns)
        return Statement(f"{old.sql} union all {new.sql}", (*old.params, *new.params))

    def moved(self, entity: str, *attributes: str) -> Statement:
        """Keys that appear, vanish, or change one of the attributes in a new version."""
        names = [f"attribute_{number}" for number in range(len(attributes))]
        columns = "id, __op, " + ", ".join(f"{sql} as {name}" for sql, name in zip(attributes, names, strict=True))
        old, new = self.old(entity, columns), self.new(entity, columns)
        changed = " or ".join(f"old.{name} is distinct from new.{name}" for name in names)
        return Statement(
            f"select new.id from ({new.sql}) as new left join ({old.sql}) as old on old.id = new.id"
            f" where old.id is null or old.__op = 'd' or new.__op = 'd' or {changed}",
            (*new.params, *old.params),
        )

    def new_price_times(self) -> Statement:
        """Per product with a new version: the event times a new version begins to hold, and the next one's."""
        span = self.ranges["products"]
        raw = quote_identifier(raw_table("products"))
        return Statement(
            "select id, from_at, until_at from (select id, __source_ts_ms as from_at, max(load_seq) as load_seq,"
            " lead(__source_ts_ms) over (partition by id order by __source_ts_ms) as until_at"
            f" from {raw} where load_seq <= ? group by id, __source_ts_ms) as times where load_seq > ?",
            (span.upto, span.after),
        )


def product_labels() -> tuple[str, ...]:
    """Return the columns that models show beside a sale: what names a product, withheld values excepted."""
    declared = load_entity("products")
    hidden = PRODUCT_COLUMNS_WITH_RULES | set(declared.toastable_names)
    return tuple(name for name in declared.column_names if name not in hidden)


def _keys(refresh_id: str, entity: str, span: LoadRange) -> Statement:
    return Statement(
        "insert into OPS.IMPACT (refresh_id, scope, entity, key_id)"
        f" select distinct ?, '{SCOPE_KEY}', ?, id from {quote_identifier(raw_table(entity))}"
        " where load_seq > ? and load_seq <= ?",
        (refresh_id, entity, span.after, span.upto),
    )


def _moved_orders(refresh_id: str, versions: _Versions) -> Statement:
    """Return the orders whose facts of a day, a customer or a product move; the other scopes start from them."""
    items = versions.both("order_items", "id, order_id, product_id")
    orders = versions.both("orders", "id, user_id")
    users = versions.moved("users", "created_at::date")
    products = versions.moved("products", "category")
    keys = f"select key_id from OPS.IMPACT where refresh_id = ? and scope = '{SCOPE_KEY}'"
    sql = f"""insert into OPS.IMPACT (refresh_id, scope, key_id)
with found as (
    {keys.replace("key_id", "key_id as order_id")} and entity = 'orders'
    union
    select order_id from ({items.sql}) as lines where id in ({keys} and entity = 'order_items')
    union
    select order_id from ({items.sql}) as lines where product_id in (select id from ({products.sql}) as moved)
    union
    select id as order_id from ({orders.sql}) as versions where user_id in (select id from ({users.sql}) as moved)
)
select distinct ?, '{SCOPE_MOVED_ORDER}', order_id from found where order_id is not null"""
    params = (
        *(refresh_id, *items.params, refresh_id),
        *(*items.params, *products.params),
        *(*orders.params, *users.params),
        refresh_id,
    )
    return Statement(sql, params)


def _moved(refresh_id: str) -> Statement:
    return Statement(
        f"select key_id as order_id from OPS.IMPACT where refresh_id = ? and scope = '{SCOPE_MOVED_ORDER}'",
        (refresh_id,),
    )


def _dates(refresh_id: str, versions: _Versions) -> Statement:
    moved, orders = _moved(refresh_id), versions.both("orders", "id, created_at")
    sql = f"""insert into OPS.IMPACT (refresh_id, scope, key_date)
select distinct ?, '{SCOPE_DATE}', orders.created_at::date
from ({orders.sql}) as orders
inner join ({moved.sql}) as moved on orders.id = moved.order_id
where orders.created_at is not null"""
    return Statement(sql, (refresh_id, *orders.params, *moved.params))


def _orders(refresh_id: str, versions: _Versions) -> Statement:
    moved = _moved(refresh_id)
    items = versions.both("order_items", "order_id, product_id")
    orders = versions.both("orders", "id, created_at")
    named, prices = versions.moved("products", *product_labels()), versions.new_price_times()
    sql = f"""insert into OPS.IMPACT (refresh_id, scope, key_id)
with found as (
    {moved.sql}
    union
    select order_id from ({items.sql}) as lines where product_id in (select id from ({named.sql}) as named)
    union
    select lines.order_id
    from ({items.sql}) as lines
    inner join ({prices.sql}) as prices on lines.product_id = prices.id
    inner join ({orders.sql}) as orders on lines.order_id = orders.id
    where
        prices.from_at <= orders.created_at
        and (prices.until_at is null or prices.until_at > orders.created_at)
)
select distinct ?, '{SCOPE_ORDER}', order_id from found where order_id is not null"""
    params = (
        *(*moved.params, *items.params, *named.params),
        *(*items.params, *prices.params, *orders.params),
        refresh_id,
    )
    return Statement(sql, params)


def _customers(refresh_id: str, versions: _Versions) -> Statement:
    moved, orders = _moved(refresh_id), versions.both("orders", "id, user_id")
    sql = f"""insert into OPS.IMPACT (refresh_id, scope, key_id)
with found as (
    select key_id as user_id from OPS.IMPACT where refresh_id = ? and scope = '{SCOPE_KEY}' and entity = 'users'
    union
    select orders.user_id from ({orders.sql}) as orders inner join ({moved.sql}) as moved on orders.id = moved.order_id
)
select distinct ?, '{SCOPE_CUSTOMER}', user_id from found where user_id is not null"""
    return Statement(sql, (refresh_id, *orders.params, *moved.params, refresh_id))


def _products(refresh_id: str, versions: _Versions) -> Statement:
    moved = _moved(refresh_id)
    items = versions.both("order_items", "order_id, product_id")
    orders = versions.both("orders", "id, created_at")
    named = versions.moved("products", *product_labels(), "category")
    changed = versions.new("products", "id, __source_ts_ms::date as from_date")
    sql = f"""insert into OPS.IMPACT (refresh_id, scope, key_id, key_date)
with found as (
    select id as product_id, '{FROM_EVER}'::date as from_date from ({named.sql}) as named
    union all
    select id as product_id, from_date from ({changed.sql}) as changed
    union all
    select lines.product_id, orders.created_at::date as from_date
    from ({items.sql}) as lines
    inner join ({moved.sql}) as moved on lines.order_id = moved.order_id
    inner join ({orders.sql}) as orders on lines.order_id = orders.id
    where orders.created_at is not null
)
select ?, '{SCOPE_PRODUCT}', product_id, min(from_date) from found where product_id is not null group by product_id"""
    params = (*named.params, *changed.params, *items.params, *moved.params, *orders.params, refresh_id)
    return Statement(sql, params)
