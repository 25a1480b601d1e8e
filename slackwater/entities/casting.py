"""Which physical forms a landing file may use per logical type, and the exact cast of each. Vectorised, pure.

Exact or refused: a value that does not fit its type without loss is `wrong_type`, never rounded. Money is a decimal or
a decimal string, never a float. Deletes keep their key and the change-capture columns; everything else becomes null,
because a source with REPLICA IDENTITY DEFAULT fabricates it.

Files of every former shape are read: an old name is read as the new one, a narrower type is widened by the same exact
cast, a column that was added later is null. A file tells its age by what it holds: it is as young as its youngest
column, and lacks nothing that was there then.
"""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from slackwater.entities.model import CDC_COLUMNS, OPERATIONS, Column, ColumnType, Entity, arrow_schema
from slackwater.errors import MalformedObject, SchemaDrift

IGNORED_COLUMNS = frozenset({"__deleted"})
"""Read and dropped: `__op` says the same."""

SCHEMA_CHANGE_REASON = "schema_change"
"""Reason of a file whose columns are not those that are declared."""

EARLIEST_US = -2_208_988_800_000_000  # 1900-01-01, the first day every store can hold
LATEST_US = 10_413_792_000_000_000  # 2300-01-01, the first day ClickHouse cannot hold

_ZONE = r"(?:[Zz]|[+-]\d{2}:?\d{2})$"


class _NotExact(ValueError):
    """A column's physical form is not accepted or a value does not fit."""


def cast_landing_table(entity: Entity, table: pa.Table) -> pa.Table:
    """Cast a landing file's rows to the declared types.

    Args:
        entity: What the file should hold.
        table: The file's rows in any accepted physical form, columns in any order.

    Returns:
        The entity's columns followed by `CDC_COLUMNS`, same rows, same order.

    Raises:
        SchemaDrift: A column is missing (`missing_column`), undeclared or there under two names (`schema_change`), or
            of a form or with a value that cannot be cast exactly (`wrong_type`).
        MalformedObject: A key, position or time of change is null (`null_key`), or `__op` is unknown (`bad_op`).
    """
    schema = arrow_schema(entity, CDC_COLUMNS)
    _check_names(entity, table)
    table = _under_new_names(entity, table)
    version = _version_of(entity, table)
    operations = _cast_operations(table)
    is_delete = pc.equal(operations, "d")
    kept_in_deletes = {entity.key, *(column.name for column in CDC_COLUMNS)}
    arrays: list[pa.ChunkedArray] = []
    for column in (*entity.columns, *CDC_COLUMNS):
        if column.name == "__op":
            arrays.append(operations)
            continue
        values = _column_or_null(table, column, is_delete, version=version)
        if column.name not in kept_in_deletes and values.type != pa.null():
            values = pc.if_else(is_delete, pa.scalar(None, values.type), values)
        arrays.append(_cast_column(column, values))
    return pa.table(arrays, schema=schema)


def _check_names(entity: Entity, table: pa.Table) -> None:
    names = table.column_names
    declared = {name for column in (*entity.columns, *CDC_COLUMNS) for name in column.names}
    extra = sorted(set(names) - declared - IGNORED_COLUMNS)
    if extra:
        advice = f"declare it in entities/{entity.name}.yml, then `slackwater quarantine retry`"
        raise SchemaDrift("schema_change", f"column {', '.join(extra)} is not declared: {advice}")
    if len(set(names)) != len(names):
        raise SchemaDrift("schema_change", "a column name occurs twice")
    for column in entity.columns:
        found = [name for name in column.names if name in names]
        if len(found) > 1:
            advice = f"send {column.name} alone; which of the values is meant, no reader can know"
            raise SchemaDrift("schema_change", f"{' and '.join(found)} are names of one column: {advice}")
    required = {entity.key, *(column.name for column in CDC_COLUMNS if column.required)}
    missing = sorted(required - set(names))
    if missing:
        raise SchemaDrift("missing_column", f"column {', '.join(missing)} is missing, expected {entity.name}")


def _under_new_names(entity: Entity, table: pa.Table) -> pa.Table:
    now = {old: column.name for column in entity.columns for old in column.renamed_from}
    return table.rename_columns([now.get(name, name) for name in table.column_names])


def _version_of(entity: Entity, table: pa.Table) -> int:
    """Return the least version of the entity at which a file with these columns can have been written."""
    present = (column.since for column in entity.columns if column.since and column.name in table.column_names)
    return max(present, default=1)


def _cast_operations(table: pa.Table) -> pa.ChunkedArray:
    operations = _cast_column(CDC_COLUMNS[0], table["__op"])
    unknown = pc.invert(pc.is_in(operations, value_set=pa.array(OPERATIONS)))
    if pc.any(unknown).as_py():
        found = pc.filter(operations, unknown)[0].as_py()
        raise MalformedObject("bad_op", f"__op is {found!r}, expected one of {', '.join(OPERATIONS)}")
    return operations


def _column_or_null(table: pa.Table, column: Column, is_delete: pa.ChunkedArray, *, version: int) -> pa.ChunkedArray:
    if column.name in table.column_names:
        return table[column.name]
    was_added_later = column.since is not None and column.since > version
    if was_added_later or column.name == "__ts_ms" or pc.all(is_delete).as_py():
        return pa.chunked_array([pa.nulls(table.num_rows, column.type.arrow)])
    raise SchemaDrift("missing_column", f"column {column.name} is missing (only a file of deletes may leave it out)")


def _cast_column(column: Column, values: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        result = _CASTS[column.type](_plain(values))
    except (_NotExact, pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        detail = str(exc).splitlines()[0]
        raise SchemaDrift(
            "wrong_type", f"column {column.name} is {values.type}, cannot be {column.type.value} exactly: {detail}"
        ) from exc
    if column.required and result.null_count:
        row = pc.index(pc.is_null(result), value=True).as_py()
        raise MalformedObject("null_key", f"column {column.name} is null in row {row}, it may not be")
    return result


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _cast_integer(target: pa.DataType) -> Callable[[pa.ChunkedArray], pa.ChunkedArray]:
    def cast(values: pa.ChunkedArray) -> pa.ChunkedArray:
        if not (pa.types.is_integer(values.type) or pa.types.is_null(values.type)):
            raise _NotExact("expected an integer")
        return values.cast(target)

    return cast


def _cast_string(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if not (_is_text(values.type) or pa.types.is_null(values.type)):
        raise _NotExact("expected text")
    result = values.cast(pa.string())
    result.validate(full=True)  # Parquet does not promise UTF-8, every store does
    return result


def _cast_amount(target: pa.DataType) -> Callable[[pa.ChunkedArray], pa.ChunkedArray]:
    def cast(values: pa.ChunkedArray) -> pa.ChunkedArray:
        if _is_text(values.type):
            values = values.cast(pa.string())
            # Exponents and blanks would be parsed too; a contract that says decimal string means digits.
            plain = pc.match_substring_regex(values, r"^[+-]?\d+(\.\d+)?$")
            if not pc.all(plain, min_count=0).as_py():
                raise _NotExact("not a decimal number")
            return values.cast(pa.decimal128(38, 10)).cast(target)
        if not (pa.types.is_decimal(values.type) or pa.types.is_null(values.type)):
            raise _NotExact("expected a decimal or a decimal string")
        return values.cast(target)

    return cast


def _cast_timestamp(values: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = values.type
    if pa.types.is_timestamp(kind):
        result = values.cast(pa.timestamp("us", kind.tz)).cast(pa.timestamp("us"))
    elif pa.types.is_int64(kind):
        result = values.cast(pa.timestamp("ms")).cast(pa.timestamp("us"))
    elif _is_text(kind):
        result = _parse_iso(values.cast(pa.string()))
    elif pa.types.is_null(kind):
        return values.cast(pa.timestamp("us"))
    else:
        raise _NotExact("expected a timestamp, epoch milliseconds (int64) or ISO text")
    bounds = pc.min_max(result.cast(pa.int64())).as_py()
    if bounds["min"] is not None and (bounds["min"] < EARLIEST_US or bounds["max"] >= LATEST_US):
        raise _NotExact("a time lies outside 1900 to 2299")
    return result


def _parse_iso(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    nothing = pa.scalar(None, pa.string())
    is_zoned = pc.match_substring_regex(texts, _ZONE)
    zoned = pc.if_else(is_zoned, texts, nothing).cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
    plain = pc.if_else(is_zoned, nothing, texts).cast(pa.timestamp("us"))
    return pc.coalesce(zoned, plain)


def _cast_date(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if not (pa.types.is_date(values.type) or _is_text(values.type) or pa.types.is_null(values.type)):
        raise _NotExact("expected a date")
    return values.cast(pa.date32())


_CASTS: dict[ColumnType, Callable[[pa.ChunkedArray], pa.ChunkedArray]] = {
    ColumnType.INT32: _cast_integer(pa.int32()),
    ColumnType.INT64: _cast_integer(pa.int64()),
    ColumnType.STRING: _cast_string,
    ColumnType.TIMESTAMP: _cast_timestamp,
    ColumnType.DATE: _cast_date,
    ColumnType.MONEY: _cast_amount(pa.decimal128(10, 2)),
    ColumnType.LARGE_MONEY: _cast_amount(pa.decimal128(18, 2)),
}
