"""The answer: columns, what each is made of, and where a chain ends. No store, no SQL and no dbt is known here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from slackwater.errors import NotKnown


class Place(StrEnum):
    """Where columns live that are no dbt model's; a model's place is its folder."""

    LANDING = "landing"  # a file in S3
    CHANGELOG = "changes"  # the Iceberg changelog
    RAW = "raw"
    OPS = "ops"  # predictions, which come back to the models


@dataclass(frozen=True, order=True)
class ColumnId:
    """One column of one table, all lower case."""

    place: str
    table: str
    column: str

    def __str__(self) -> str:
        """Return it as people write it: `marts.inventory.stock_outs`; of a file: `cdc/orders/*.status`."""
        return f"{f'cdc/{self.table}/*' if self.place == Place.LANDING else f'{self.place}.{self.table}'}.{self.column}"


@dataclass(frozen=True)
class Lineage:
    """What every column is made of.

    Attributes:
        made_of: Per column the columns its value is computed from, one step down; empty where a chain ends.
        origins: Where a chain ends without a column of a file: what makes the value.
    """

    made_of: Mapping[ColumnId, tuple[ColumnId, ...]]
    origins: Mapping[ColumnId, str]

    def below(self, column: ColumnId) -> tuple[ColumnId, ...]:
        """Return everything the column is made of, nearest first, each once."""
        return tuple(_reached(column, self.made_of))

    def above(self, column: ColumnId) -> tuple[ColumnId, ...]:
        """Return everything that is made of the column, nearest first, each once."""
        return tuple(_reached(column, self.used_by))

    @property
    def used_by(self) -> Mapping[ColumnId, tuple[ColumnId, ...]]:
        """Return per column what is made of it, one step up."""
        turned: dict[ColumnId, list[ColumnId]] = {column: [] for column in self.made_of}
        for column, parts in self.made_of.items():
            for part in parts:
                turned[part].append(column)
        return {column: tuple(sorted(users)) for column, users in turned.items()}

    def find(self, name: str) -> tuple[ColumnId, ...]:
        """Return the columns a name means: `table.column` or `table`, with or without its place before it.

        Raises:
            NotKnown: There is no such column.
        """
        wanted = name.lower().strip(".")
        found = tuple(column for column in self.made_of if wanted in _names(column))
        if found:
            return found
        tables = sorted({column.table for column in self.made_of if column.table == wanted.rpartition(".")[0]})
        columns = sorted({column.column for column in self.made_of if column.table in tables})
        hint = f"it has {', '.join(columns)}" if columns else "write it as table.column, such as orders.status"
        raise NotKnown(f"no column is named {name!r}; {hint}")


def _names(column: ColumnId) -> tuple[str, ...]:
    short, long = f"{column.table}.{column.column}", f"{column.place}.{column.table}.{column.column}"
    return short, long, str(column), column.table, f"{column.place}.{column.table}"


def _reached(start: ColumnId, steps: Mapping[ColumnId, tuple[ColumnId, ...]]) -> Iterator[ColumnId]:
    seen, waiting = {start}, list(steps[start])
    while waiting:
        column = waiting.pop(0)
        if column not in seen:
            seen.add(column)
            waiting += steps[column]
            yield column
