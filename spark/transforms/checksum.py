"""Checksums of rows that do not depend on their order: what a group holds, in five numbers. Pure Column expressions.

A row's hash is 64 bits over all columns, beside which of them are null and what their types are: Spark's hash skips a
null, and has one value for the number 1 of several types. The sum tells a doubled row, which the exclusive or does not;
the exclusive or tells changes whose sum is zero. Both together leave two sets of rows equal by chance only.
"""

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f
from pyspark.sql.types import StructType

WIDE = "decimal(38,0)"
"""Holds the sum of 10^19 hashes of 64 bits."""

CHECKS = ("row_count", "key_sum", "key_xor", "content_sum", "content_xor")
"""The columns `checks` adds, as `PartitionCheck` names them."""

_KEY, _CONTENT = "_key_hash", "_content_hash"


def row_hash(schema: StructType, names: Sequence[str]) -> Column:
    """Return the hash of a row's columns with null and type told apart.

    Args:
        schema: Of the rows.
        names: The columns, in any order; at most 63.

    Raises:
        ValueError: There are more columns than flags fit into one number.
    """
    if len(names) > 63:
        raise ValueError(f"{len(names)} columns; the flags of at most 63 fit into 64 bits")
    ordered = sorted(names)
    types = ",".join(f"{name} {schema[name].dataType.simpleString()}" for name in ordered)
    flags = [f.when(f.col(name).isNull(), f.lit(1 << bit)).otherwise(f.lit(0)) for bit, name in enumerate(ordered)]
    are_null = reduce(lambda left, right: left.bitwiseOR(right), flags).cast("bigint")
    return f.xxhash64(f.lit(types), are_null, *(f.col(name) for name in ordered))


def hashes(rows: DataFrame, *, key: Sequence[str], without: Sequence[str] = ()) -> DataFrame:
    """Add the hashes of key and content that `check_columns` reduces.

    Args:
        rows: Rows of a table.
        key: What names a row.
        without: Columns that are no part of the content, such as which version a row is from.
    """
    content = [name for name in rows.columns if name not in without]
    return rows.withColumns({_KEY: row_hash(rows.schema, key), _CONTENT: row_hash(rows.schema, content)})


def check_columns() -> list[Column]:
    """Return the aggregates over rows with hashes, named as `CHECKS`."""
    return [
        f.count(f.lit(1)).alias("row_count"),
        f.sum(f.col(_KEY).cast(WIDE)).alias("key_sum"),
        f.bit_xor(_KEY).alias("key_xor"),
        f.sum(f.col(_CONTENT).cast(WIDE)).alias("content_sum"),
        f.bit_xor(_CONTENT).alias("content_xor"),
    ]


def checks(rows: DataFrame, *, key: Sequence[str], by: Sequence[str], without: Sequence[str] = ()) -> DataFrame:
    """Reduce rows to one row of checksums per group.

    Args:
        rows: Rows of a table.
        key: What names a row.
        by: Columns of the groups.
        without: Columns that are no part of the content, such as which version a row is from.

    Returns:
        One row per group: the columns of `by`, then `CHECKS`.
    """
    return hashes(rows, key=key, without=without).groupBy(*by).agg(*check_columns())
