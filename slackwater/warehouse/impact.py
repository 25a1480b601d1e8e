"""Which keys and dates a refresh touches, as SQL over old and new row versions. Pure: `refresh.py` runs the statements.

Old versions are the `base_` tables before the refresh overwrites them, new ones the raw rows of the range. A date is
touched when an order of that date, one of its items, the day its user signed up, or the category of a product in it
changed, before or after. Prices and stock levels touch no date: no mart reads them per date.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from slackwater.clients.snowflake import Scalar, quote_identifier
from slackwater.naming import ENTITIES, SCHEMA_STAGING, raw_table

SCOPE_KEY = "key"
SCOPE_DATE = "date"


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
        One insert per entity for its keys, then one for the dates.
    """
    versions = _Versions(ranges, frozenset(built))
    keys = tuple(_keys(refresh_id, entity, ranges[entity]) for entity in ENTITIES)
    return (*keys, _dates(refresh_id, versions))


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

    def moved(self, entity: str, attribute: str) -> Statement:
        """Keys that appear, vanish, or change `attribute` in a new version."""
        columns = f"id, __op, {attribute} as attribute"
        old, new = self.old(entity, columns), self.new(entity, columns)
        return Statement(
            f"select new.id from ({new.sql}) as new left join ({old.sql}) as old on old.id = new.id"
            " where old.id is null or old.__op = 'd' or new.__op = 'd' or old.attribute is distinct from new.attribute",
            (*new.params, *old.params),
        )


def _keys(refresh_id: str, entity: str, span: LoadRange) -> Statement:
    return Statement(
        "insert into OPS.IMPACT (refresh_id, scope, entity, key_id)"
        f" select distinct ?, '{SCOPE_KEY}', ?, id from {quote_identifier(raw_table(entity))}"
        " where load_seq > ? and load_seq <= ?",
        (refresh_id, entity, span.after, span.upto),
    )


def _dates(refresh_id: str, versions: _Versions) -> Statement:
    orders = versions.both("orders", "id, user_id, created_at")
    items = versions.both("order_items", "id, order_id, product_id")
    users = versions.moved("users", "created_at::date")
    products = versions.moved("products", "category")
    sql = f"""insert into OPS.IMPACT (refresh_id, scope, key_date)
with order_versions as ({orders.sql}),
item_versions as ({items.sql}),
moved_users as ({users.sql}),
moved_products as ({products.sql}),
touched_orders as (
    select key_id as order_id from OPS.IMPACT where refresh_id = ? and entity = 'orders'
    union
    select order_id from item_versions
    where id in (select key_id from OPS.IMPACT where refresh_id = ? and entity = 'order_items')
    union
    select order_id from item_versions where product_id in (select id from moved_products)
    union
    select id as order_id from order_versions where user_id in (select id from moved_users)
)
select distinct ?, '{SCOPE_DATE}', order_versions.created_at::date
from order_versions
inner join touched_orders on order_versions.id = touched_orders.order_id
where order_versions.created_at is not null"""
    params = (*orders.params, *items.params, *users.params, *products.params, refresh_id, refresh_id, refresh_id)
    return Statement(sql, params)
