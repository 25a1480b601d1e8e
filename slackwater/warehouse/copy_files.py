"""COPY a batch's Parquet data files into its transient table, the first file as a canary.

The canary is one file copied alone: its logical types are read from the Parquet footer, and every timestamp column's
smallest and greatest value in the table must equal the footer's. A wrong unit (milliseconds read as microseconds) is
found before a row reaches raw, at the cost of one footer whatever the batch's size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow.parquet as pq

from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_errors import translated
from slackwater.clients.snowflake import Warehouse, quote_identifier, quote_text
from slackwater.entities.model import CHANGELOG_COLUMNS, ColumnType, Entity
from slackwater.errors import LoadMismatch, SchemaBehind, TerminalError
from slackwater.naming import changelog_table

MAX_FILES_PER_COPY = 1_000
"""Snowflake's limit of names in one FILES list."""

_LOGICAL_TYPES = {
    ColumnType.TIMESTAMP: ("TIMESTAMP", "MICROSECONDS"),
    ColumnType.MONEY: ("DECIMAL", None),
    ColumnType.LARGE_MONEY: ("DECIMAL", None),
    ColumnType.DATE: ("DATE", None),
}


@dataclass(frozen=True)
class Canary:
    """What one data file's footer says.

    Attributes:
        row_count: Rows of the file.
        bounds: Smallest and greatest value of each timestamp column that has a value in the file.
    """

    row_count: int
    bounds: dict[str, tuple[datetime, datetime]]


def copy_batch_files(entity: Entity, batch_id: str, *, lake: Lake, warehouse: Warehouse, table: str) -> None:
    """Fill the transient table from the data files the batch's append wrote.

    Args:
        entity: The batch's entity.
        batch_id: The batch; its rows are in the lake.
        lake: Names the files and opens the first one's footer.
        warehouse: Session that copies, outside any transaction.
        table: Quoted name of the empty transient table.

    Raises:
        TerminalError: A logical type is not what the entity declares, or the warehouse read timestamps differently.
        LoadMismatch: COPY skipped a file or loaded it in part.
    """
    files = lake.files_of_batch(entity.name, batch_id)
    root = lake.load_table(changelog_table(entity.name)).catalog.properties["warehouse"]
    names = [relative_name(uri, root) for uri in files]
    canary = read_canary(entity, files[0], lake=lake)
    _copy(warehouse, table=table, names=names[:1])
    _compare(warehouse, table=table, canary=canary, file=files[0])
    for chunk in _chunks(names[1:], MAX_FILES_PER_COPY):
        _copy(warehouse, table=table, names=chunk)


def relative_name(uri: str, root: str) -> str:
    """Return a data file's name below the stage.

    Raises:
        TerminalError: The file lies elsewhere, so the stage cannot reach it.
    """
    prefix = root.rstrip("/") + "/"
    if not uri.startswith(prefix):
        raise TerminalError(f"data file {uri} is not below {prefix}, which is all the warehouse's stage can read")
    return uri[len(prefix) :]


def read_canary(entity: Entity, uri: str, *, lake: Lake) -> Canary:
    """Read a data file's footer and check its logical types.

    Raises:
        TerminalError: A timestamp, date or money column has another logical type than the entity declares.
        SchemaBehind: It has a column that is not declared, or lacks one that was there from the start.
    """
    with translated(), lake.load_table(changelog_table(entity.name)).io.new_input(uri).open() as stream:
        footer = pq.read_metadata(stream)
    return canary_of(entity, footer, uri)


def canary_of(entity: Entity, footer: pq.FileMetaData, uri: str) -> Canary:
    """Judge a footer; pure. See `read_canary`."""
    declared = {name: column.type for column in (*entity.columns, *CHANGELOG_COLUMNS) for name in column.names}
    bounds: dict[str, tuple[datetime, datetime]] = {}
    for index in range(footer.num_columns):
        name = footer.schema.column(index).name
        kind = declared.get(name)
        _require_logical_type(footer.schema.column(index), kind, uri)
        if kind is ColumnType.TIMESTAMP:
            groups = [footer.row_group(g).column(index).statistics for g in range(footer.num_row_groups)]
            known = [group for group in groups if group is not None and group.has_min_max]
            if known:
                bounds[name] = (min(g.min for g in known), max(g.max for g in known))
    require_known_columns(entity, footer.schema.names, uri)
    return Canary(footer.num_rows, bounds)


def require_known_columns(entity: Entity, names: Sequence[str], uri: str) -> None:
    """Refuse a file that COPY would read in part: a column it does not know is left out, a missing one is null."""
    columns = (*entity.columns, *CHANGELOG_COLUMNS)
    unknown = sorted(set(names) - {name for column in columns for name in column.names})
    missing = [c.name for c in columns if c.since is None and not set(c.names) & set(names)]
    if unknown or missing:
        raise SchemaBehind(
            f"{uri} has columns nobody declared ({', '.join(unknown) or 'none'}) and lacks declared ones"
            f" ({', '.join(missing) or 'none'}): it was written by a process with another entity file of {entity.name};"
            " run the newer release, then `slackwater schema apply`. Nothing was loaded"
        )


def _require_logical_type(column: pq.ColumnSchema, kind: ColumnType | None, uri: str) -> None:
    wanted = _LOGICAL_TYPES.get(kind) if kind is not None else None
    if wanted is None:
        return
    logical, unit = wanted
    found = column.logical_type
    is_right = found.type == logical and (unit is None or unit.lower() in found.to_json().lower())
    if not is_right:
        raise TerminalError(f"column {column.name} of {uri} has logical type {found}, expected {logical} {unit or ''}")


def _compare(warehouse: Warehouse, *, table: str, canary: Canary, file: str) -> None:
    names = sorted(canary.bounds)
    parts = "".join(f", min({quote_identifier(n)}), max({quote_identifier(n)})" for n in names)
    row = warehouse.query(f"select count(*){parts} from {table}")[0]
    if row[0] != canary.row_count:
        raise LoadMismatch(f"{file} holds {canary.row_count} rows, COPY gave {row[0]}")
    for index, name in enumerate(names):
        found = (row[1 + 2 * index], row[2 + 2 * index])
        if found != canary.bounds[name]:
            raise TerminalError(
                f"timestamp canary: {name} of {file} runs from {canary.bounds[name][0]} to {canary.bounds[name][1]},"
                f" the warehouse read {found[0]} to {found[1]}; nothing was loaded"
            )


def _copy(warehouse: Warehouse, *, table: str, names: Sequence[str]) -> None:
    listed = ", ".join(quote_text(name) for name in names)
    rows = warehouse.query(
        f"copy into {table} from @{warehouse.settings.stage} files = ({listed})"
        " file_format = (type = parquet use_logical_type = true) match_by_column_name = case_insensitive"
    )
    loaded = [row for row in rows if len(row) > 1 and str(row[1]).upper() == "LOADED"]
    if len(loaded) != len(names):
        raise LoadMismatch(f"COPY into {table} loaded {len(loaded)} of {len(names)} files: {rows[:3]}")


def _chunks(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]
