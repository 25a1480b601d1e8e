"""The newest version per key: the merge rule of the state tables, as expressions over DataFrames.

The rule is that of `slackwater/testing/conformance/reference_merge.py`: per key the change with the greatest place
wins, tombstones included, and each toastable column takes the value of the greatest change that told it. What a table
already holds takes part by its places alone, so its wide columns need not be read.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f

from slackwater.entities.model import CHANGE_ORDER, NO_DATE, STATE_COLUMNS, Entity, state_columns, told_order_column
from slackwater.naming import TOAST_PLACEHOLDER

NEWER, TELLS, NEW = "newer", "tells", "new"
"""What a fold does with a key: replace its row, replace toastable columns of it alone, add it."""

HELD_DATE, HELD_PLACE, ACTION = "_held_date", "_held_place", "_action"
_PLACE = "_place"


def place() -> Column:
    """Return a row's place in the change order as text that sorts as places do (`ChangeKey.text`)."""
    expressions = {"is_streamed": "if(__op = 'r', 0, 1)"}
    values = [f.expr(expressions.get(name, name)) for name in CHANGE_ORDER]
    return f.format_string("%010d%020d%d%020d%s", *values)


def newest_of_batch(changes: DataFrame, entity: Entity) -> DataFrame:
    """Reduce changelog rows to one row per key: its newest change, and what was told of each toastable column.

    Args:
        changes: Rows of `changes.<entity>`; an object may be among them twice.
        entity: The entity.

    Returns:
        One row per key: the columns of `ecommerce.<entity>` (a column nobody told has a null place), `_place`.
    """
    plain = [name for name in entity.column_names if name != entity.key and name not in entity.toastable_names]
    carried = [*plain, *(column.name for column in STATE_COLUMNS)]
    placed = changes.withColumn(_PLACE, place())
    told = []
    for name in entity.toastable_names:
        is_told = (f.col(name).isNull()) | (f.col(name) != TOAST_PLACEHOLDER) | f.col("__op").isin("c", "r")
        value = f.when(f.col(name) != TOAST_PLACEHOLDER, f.col(name))
        told.append(f.max(f.when(is_told, f.struct(f.col(_PLACE), value.alias("value")))).alias(_told(name)))
    newest = f.max_by(f.struct(*carried), f.col(_PLACE)).alias("_newest")
    known = f.max_by(f.to_date("created_at"), f.when(f.col("created_at").isNotNull(), f.col(_PLACE)))
    grouped = placed.groupBy(entity.key).agg(newest, f.max(_PLACE).alias(_PLACE), known.alias("_known_date"), *told)
    date = f.coalesce(f.to_date("_newest.created_at"), f.col("_known_date"), f.lit(NO_DATE))
    values = {
        **{name: f.col(f"_newest.{name}") for name in carried},
        **{name: f.col(f"{_told(name)}.value") for name in entity.toastable_names},
        **{told_order_column(name): f.col(f"{_told(name)}.{_PLACE}") for name in entity.toastable_names},
        entity.key: f.col(entity.key),
        "date": date,
    }
    return grouped.select(*(values[c.name].alias(c.name) for c in state_columns(entity)), f.col(_PLACE))


def held_places(state: DataFrame, entity: Entity) -> DataFrame:
    """Return what a fold must know of the rows a table holds: key, partition date, places; no wide column.

    Args:
        state: Rows of `ecommerce.<entity>`.
        entity: The entity.
    """
    told = [f.col(told_order_column(name)).alias(f"_held{told_order_column(name)}") for name in entity.toastable_names]
    return state.select(entity.key, f.col("date").alias(HELD_DATE), place().alias(HELD_PLACE), *told)


def plan_changes(incoming: DataFrame, held: DataFrame, entity: Entity) -> DataFrame:
    """Say for every incoming key what is to be done to its row; keys with nothing to do are left out.

    Args:
        incoming: As `newest_of_batch` returns it.
        held: As `held_places` returns it, at least of the incoming keys; one row per key.
        entity: The entity.

    Returns:
        The incoming rows with `_held_date` (null for a key the table does not hold), `_action`, `_place`, and per
        toastable column `_keeps_<column>`: true where the table's own value is the newer one.
    """
    joined = incoming.join(held, entity.key, "left")
    is_new = f.col(HELD_PLACE).isNull()
    is_newer = f.col(_PLACE) > f.col(HELD_PLACE)
    keeps = {name: _is_kept(name) for name in entity.toastable_names}
    tells = f.lit(False)
    for name in entity.toastable_names:
        tells = tells | (f.col(told_order_column(name)).isNotNull() & ~keeps[name])
    action = f.when(is_new, NEW).when(is_newer, NEWER).when(tells, TELLS)
    # A delete does not tell when its row was created: the tombstone stays where the row was.
    moved = f.when(f.col("created_at").isNull(), f.coalesce(f.col(HELD_DATE), f.col("date"))).otherwise(f.col("date"))
    planned = joined.withColumn(ACTION, action).withColumn("date", moved)
    for name in entity.toastable_names:
        planned = planned.withColumn(keeps_column(name), keeps[name] & ~is_new)
    return planned.where(f.col(ACTION).isNotNull())


def keeps_column(name: str) -> str:
    """Return the name of the flag that says that the table's value of a toastable column is the newer one."""
    return f"_keeps_{name}"


def _is_kept(name: str) -> Column:
    told, held = told_order_column(name), f"_held{told_order_column(name)}"
    return f.coalesce(f.col(held), f.lit("")) >= f.coalesce(f.col(told), f.lit(""))


def _told(name: str) -> str:
    return f"_told_{name}"
