"""A column's lineage as lines for a person and as a document for a program."""

from collections.abc import Iterator, Mapping

from slackwater.lineage.model import ColumnId, Lineage, Place

INDENT = "  "


def tree_lines(lineage: Lineage, column: ColumnId, *, is_upwards: bool = False) -> Iterator[str]:
    """Yield one line per column, indented by its distance; a column that comes again is not opened again.

    Args:
        lineage: Of the whole project.
        column: Where to begin.
        is_upwards: Show what is made of the column, instead of what it is made of.
    """
    yield from _lines(lineage, column, lineage.used_by if is_upwards else lineage.made_of, 0, set())


def _lines(
    lineage: Lineage,
    column: ColumnId,
    steps: Mapping[ColumnId, tuple[ColumnId, ...]],
    depth: int,
    seen: set[ColumnId],
) -> Iterator[str]:
    origin = lineage.origins.get(column, "")
    again = " (see above)" if column in seen and steps[column] else ""
    yield f"{INDENT * depth}{column}{f' <- {origin}' if origin else ''}{again}"
    if column not in seen:
        seen.add(column)
        for each in steps[column]:
            yield from _lines(lineage, each, steps, depth + 1, seen)


def lineage_document(lineage: Lineage, column: ColumnId) -> dict[str, object]:
    """Return a column's lineage: every step below it, the columns of files it ends in, and what is made of it."""
    below = lineage.below(column)
    return {
        "column": str(column),
        "steps": [
            {"column": str(each), "made_of": [str(part) for part in lineage.made_of[each]]}
            for each in (column, *below)
            if lineage.made_of[each]
        ],
        "raw_columns": [str(each) for each in below if each.place == Place.RAW],
        "landing_columns": [str(each) for each in below if each.place == Place.LANDING],
        "origins": {str(each): lineage.origins[each] for each in (column, *below) if each in lineage.origins},
        "used_by": [str(each) for each in lineage.above(column)],
    }
