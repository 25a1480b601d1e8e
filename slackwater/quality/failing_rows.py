"""Finds the rows that break a rule: their keys, and the batch and file of each key's newest change.

The first KEPT_ROWS of a check by the order of their keys, so that the same data names the same rows every time.
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
from slackwater.warehouse.marts import Mart

KEPT_ROWS = 200
"""Failing rows kept per check; the measured number is always complete."""

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
    """Finds failing rows of one refresh.

    Attributes:
        warehouse: An open session.
        bounds: Per entity the greatest load_seq the refresh sees.
        mart_keys: Per mart, upper case, the columns that identify a row.
        limit: Rows per check.
    """

    warehouse: Warehouse
    bounds: Mapping[str, int]
    mart_keys: Mapping[str, tuple[str, ...]]
    limit: int = KEPT_ROWS

    def of_contract(self, contract: Contract, rule: Rule, *, variables: Mapping[str, str]) -> tuple[FailingRow, ...]:
        """Return rows of the contract's dataset that break the rule; empty when it is about the dataset as a whole."""
        if rule.failing_query:
            return self._of_query(contract.table, _resolved(rule.failing_query, variables))
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
        if test.kind == "not_null" and test.column:
            return self._of_dataset(test.schema, test.table, f"{quote_identifier(test.column)} is null", ())
        names, _ = self.warehouse.select(f"select * from (\n{test.compiled_sql}\n) as failing limit 0")
        columns = {name.upper(): quote_identifier(name) for name in names}
        value_column = columns.get(GENERIC_TEST_COLUMNS.get(test.kind, ""))
        if value_column and test.column:
            rows = self.warehouse.query(
                f"select distinct {value_column} from (\n{test.compiled_sql}\n) as failing"
                f" where {value_column} is not null order by 1 limit {self.limit}"
            )
            marks = ", ".join("?" for _ in rows) or "null"
            condition = f"{quote_identifier(test.column)} in ({marks})"
            return self._of_dataset(test.schema, test.table, condition, [value for (value,) in rows])
        if set(self._key_columns(test.table)) <= set(columns):
            return self._of_query(test.table, test.compiled_sql)
        return ()

    def with_origin(self, entity: str, keys: Sequence[str]) -> tuple[FailingRow, ...]:
        """Return the keys with batch and file of their newest change at the refresh's bound, in the given order."""
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

    def _of_query(self, table: str, query: str) -> tuple[FailingRow, ...]:
        return self._rows(table, f"(\n{query.rstrip().rstrip(';')}\n) as failing", ())

    def _of_dataset(self, schema: str, table: str, condition: str, params: Sequence[Scalar]) -> tuple[FailingRow, ...]:
        return self._rows(table, f"{quote_identifier(f'{schema}.{table}')} where {condition}", params)

    def _rows(self, table: str, source: str, params: Sequence[Scalar]) -> tuple[FailingRow, ...]:
        columns = [quote_identifier(name) for name in self._key_columns(table)]
        texts = ", ".join(f"{column}::varchar" for column in columns)
        rows = self.warehouse.query(
            f"select {texts} from {source} group by {', '.join(columns)} order by {', '.join(columns)}"
            f" limit {self.limit}",
            params,
        )
        keys = [KEY_SEPARATOR.join(str(part) for part in row) for row in rows if None not in row]
        entity = entity_of_dataset(table)
        return self.with_origin(entity, keys) if entity else tuple(FailingRow(each) for each in keys)

    def _key_columns(self, table: str) -> tuple[str, ...]:
        entity = entity_of_dataset(table)
        found = (load_entity(entity).key,) if entity else self.mart_keys.get(table.upper(), ())
        if not found:
            raise TerminalError(f"nobody declares what identifies a row of {table}")
        return tuple(name.upper() for name in found)


KEY_SEPARATOR = " | "
"""Between the parts of a key of several columns."""


def keys_of_marts(marts: Sequence[Mart]) -> dict[str, tuple[str, ...]]:
    """Return the key of each mart by its name in upper case."""
    return {mart.name.upper(): mart.key for mart in marts}


def layer_of_schema(schema: str) -> Layer:
    """Return the layer of a warehouse schema; unit tests and unknown nodes count to staging."""
    return {"RAW": Layer.RAW, "CANDIDATE": Layer.MARTS, "MARTS": Layer.MARTS}.get(schema, Layer.STAGING)


def _resolved(text: str, variables: Mapping[str, str]) -> str:
    for name, value in variables.items():
        text = text.replace(f"${{var.{name}}}", value)
    if "${" in text:
        raise TerminalError(f"a contract's filter uses a variable without a value: {text}")
    return text
