"""Finds the rows that break a rule: their keys, and the batch and file of each key's newest change.

Reads ids, batch ids and file names only: a report must not become a second place that holds personal data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slackwater.clients.snowflake import Scalar, Warehouse, quote_identifier
from slackwater.entities.model import load_entity
from slackwater.errors import TerminalError
from slackwater.naming import raw_table
from slackwater.quality.contracts import Contract, Rule, entity_of_dataset
from slackwater.quality.dbt_results import DbtResult
from slackwater.quality.results import FailingRow, Layer
from slackwater.warehouse.marts import load_marts

SAMPLE_ROWS = 20
"""Failing rows named per check; the count is always complete."""

GENERIC_TEST_COLUMNS: Mapping[str, str] = {
    "relationships": "FROM_FIELD",
    "unique": "UNIQUE_FIELD",
    "accepted_values": "VALUE_FIELD",
}
"""Column in which dbt's generic tests return the tested column's value."""

NEWEST_FIRST = "_epoch desc, __source_lsn desc, iff(__op = 'r', 0, 1) desc, _position desc, _object_id desc"
"""The change order of `entities.model.CHANGE_ORDER`, newest first, in the warehouse's SQL."""


@dataclass(frozen=True)
class Sampler:
    """Samples failing rows of one refresh.

    Attributes:
        warehouse: An open session.
        bounds: Per entity the greatest load_seq the refresh sees.
        limit: Rows per check.
    """

    warehouse: Warehouse
    bounds: Mapping[str, int]
    limit: int = SAMPLE_ROWS

    def of_contract(self, contract: Contract, rule: Rule, *, variables: Mapping[str, str]) -> tuple[FailingRow, ...]:
        """Return rows of the contract's dataset for which the rule's failing condition is true."""
        if not rule.failing_condition:
            return ()
        condition = f"({rule.failing_condition})"
        if contract.row_filter:
            condition += f" and ({_resolved(contract.row_filter, variables)})"
        return self._of_dataset(contract.schema, contract.table, condition, ())

    def of_dbt_test(self, test: DbtResult) -> tuple[FailingRow, ...]:
        """Return rows behind a failed dbt test, by the columns its query returns; empty when they do not tell."""
        if not test.compiled_sql or not test.table:
            return ()
        found = self.warehouse.fetch_arrow(f"select * from (\n{test.compiled_sql}\n) as failing limit {self.limit}")
        columns = {name.upper(): name for name in found.column_names}
        if test.kind == "not_null" and test.column:
            return self._of_dataset(test.schema, test.table, f"{quote_identifier(test.column)} is null", ())
        value_column = GENERIC_TEST_COLUMNS.get(test.kind)
        if value_column in columns and test.column:
            values = list(dict.fromkeys(found.column(columns[value_column]).to_pylist()))
            marks = ", ".join("?" for _ in values)
            return self._of_dataset(test.schema, test.table, f"{quote_identifier(test.column)} in ({marks})", values)
        key_column = columns.get(key_column_of(test.table))
        if key_column is None:
            return ()
        keys = [str(key) for key in found.column(key_column).to_pylist()]
        entity = entity_of_dataset(test.table)
        return self.with_origin(entity, keys) if entity else tuple(FailingRow(key) for key in keys)

    def with_origin(self, entity: str, keys: Sequence[str]) -> tuple[FailingRow, ...]:
        """Return the keys with batch and file of their newest change at the refresh's bound, sorted by key."""
        if not keys:
            return ()
        key = load_entity(entity).key
        marks = ", ".join("?" for _ in keys)
        rows = self.warehouse.query(
            f"select {key}::varchar, batch_id, file_name from {raw_table(entity)}"
            f" where {key} in ({marks}) and load_seq <= ?"
            f" qualify row_number() over (partition by {key} order by {NEWEST_FIRST}) = 1",
            (*(int(each) for each in keys), self.bounds.get(entity, 0)),
        )
        origins = {str(found): (str(batch), str(file)) for found, batch, file in rows}
        return tuple(FailingRow(each, *origins.get(each, ("", ""))) for each in keys)

    def _of_dataset(self, schema: str, table: str, condition: str, params: Sequence[Scalar]) -> tuple[FailingRow, ...]:
        key = quote_identifier(key_column_of(table))
        rows = self.warehouse.query(
            f"select {key}::varchar from {quote_identifier(f'{schema}.{table}')} where {condition}"
            f" order by {key} limit {self.limit}",
            params,
        )
        keys = [str(found) for (found,) in rows if found is not None]
        entity = entity_of_dataset(table)
        return self.with_origin(entity, keys) if entity else tuple(FailingRow(each) for each in keys)


def key_column_of(table: str) -> str:
    """Return the column that names a row of a table: the entity's key, or the first column of a mart's key."""
    entity = entity_of_dataset(table)
    if entity:
        return load_entity(entity).key.upper()
    keys = {mart.name.upper(): mart.key[0].upper() for mart in load_marts()}
    return keys.get(table.upper(), "DATE")


def layer_of_schema(schema: str) -> Layer:
    """Return the layer of a warehouse schema; unit tests and unknown nodes count to staging."""
    return {"RAW": Layer.RAW, "CANDIDATE": Layer.MARTS, "MARTS": Layer.MARTS}.get(schema, Layer.STAGING)


def _resolved(text: str, variables: Mapping[str, str]) -> str:
    for name, value in variables.items():
        text = text.replace(f"${{var.{name}}}", value)
    if "${" in text:
        raise TerminalError(f"a contract's filter uses a variable without a value: {text}")
    return text
