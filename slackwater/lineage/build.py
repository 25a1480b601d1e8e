"""Puts the lineage together: files, changelog and raw from the entity files, all above them from the models of dbt."""

from collections.abc import Iterable, Mapping

from slackwater.entities.model import (
    CDC_COLUMNS,
    CHANGELOG_COLUMNS,
    RAW_COLUMNS,
    Entity,
    load_entity,
)
from slackwater.lineage.dbt_project import CompiledModel, Origin
from slackwater.lineage.model import ColumnId, Lineage, Place
from slackwater.lineage.select_columns import KnownTable, trace_columns
from slackwater.naming import ENTITIES, SCHEMA_OPS, SCHEMA_RAW

DECLARED_ORIGINS: Mapping[Origin, str] = {
    Origin.CONSTANT: "a constant of the model",
    Origin.CLOCK: "the `as_of` of the refresh",
}

MADE_BY: Mapping[str, str] = {
    "_object_id": "bucket, key and etag of the object",
    "_epoch": "the ledger: the epoch of the source",
    "_source_partition": "the name of the object",
    "_position": "the name of the object and the row's place in it",
    "_batch_id": "the manifest of the batch",
    "_file_name": "the name of the object",
    "date": "`__source_ts_ms` of the row",
    "loaded_at": "the load",
    "load_seq": "the load",
}
"""Columns of changelog and raw that no column of a file tells."""

CHANGELOG_NAMES: Mapping[str, str] = {"batch_id": "_batch_id", "file_name": "_file_name"}
"""Columns of raw whose name in the changelog is another."""

_SOLD = tuple(ColumnId("marts", "fct_order_lines", name) for name in ("customer_id", "order_date", "line_total"))
_PREDICTIONS: Mapping[str, Mapping[str, tuple[ColumnId, ...]]] = {
    "ltv_prediction": {
        **dict.fromkeys(("fit_id", "known_until", "cutoff_date", "horizon_days", "fitted_at"), ()),
        "customer_id": _SOLD[:1],
        "expected_spend": _SOLD,
        "held_out_spend": _SOLD,
    },
}
PREDICTED = "the flow predict-ltv"


def build_lineage(models: Iterable[CompiledModel]) -> Lineage:
    """Return what every column is made of.

    Args:
        models: Every model; what a model reads comes before it.

    Raises:
        TerminalError: The SQL of a model cannot be followed.
    """
    made_of: dict[ColumnId, tuple[ColumnId, ...]] = {}
    origins: dict[ColumnId, str] = {}
    tables: dict[tuple[str, str], KnownTable] = {}
    places: dict[tuple[str, str], str] = {}
    for name in ENTITIES:
        below = _below_the_models(load_entity(name))
        made_of |= below
        raw = tuple(column.column for column in below if column.place == Place.RAW)
        tables[SCHEMA_RAW.lower(), name] = KnownTable(raw, (load_entity(name).key,))
        places[SCHEMA_RAW.lower(), name] = Place.RAW
    for name, columns in _PREDICTIONS.items():
        made_of |= {ColumnId(Place.OPS, name, column): parts for column, parts in columns.items()}
        origins |= {ColumnId(Place.OPS, name, column): PREDICTED for column, parts in columns.items() if not parts}
        tables[SCHEMA_OPS.lower(), name] = KnownTable(tuple(columns), ("fit_id",))
        places[SCHEMA_OPS.lower(), name] = Place.OPS
    origins |= {c: MADE_BY[c.column] for c, parts in made_of.items() if not parts and c.column in MADE_BY}
    for model in models:
        traced = trace_columns(model.sql, tables)
        tables[model.schema, model.name] = KnownTable(tuple(traced), model.key)
        places[model.schema, model.name] = model.place
        for column, parts in traced.items():
            mine = ColumnId(model.place, model.name, column)
            made_of[mine] = tuple(ColumnId(places[p.schema, p.table], p.table, p.column) for p in parts)
            if column in model.origins:
                origins[mine] = DECLARED_ORIGINS[model.origins[column]]
    return Lineage(made_of, origins)


def _below_the_models(entity: Entity) -> dict[ColumnId, tuple[ColumnId, ...]]:
    """Return the columns of an entity's files, changelog and raw table."""
    made_of: dict[ColumnId, tuple[ColumnId, ...]] = {}
    for column in (*entity.columns, *CDC_COLUMNS):
        files = tuple(ColumnId(Place.LANDING, entity.name, name) for name in column.names)
        made_of |= dict.fromkeys(files, ()) | {ColumnId(Place.CHANGELOG, entity.name, column.name): files}
    own = {column.name for column in (*entity.columns, *CDC_COLUMNS)}
    for column in CHANGELOG_COLUMNS:
        if column.name not in own:
            made_of[ColumnId(Place.CHANGELOG, entity.name, column.name)] = ()
    for column in (*entity.columns, *RAW_COLUMNS):
        below = ColumnId(Place.CHANGELOG, entity.name, CHANGELOG_NAMES.get(column.name, column.name))
        made_of[ColumnId(Place.RAW, entity.name, column.name)] = (below,) if below in made_of else ()
    return made_of
