"""The DDL of every store is derived from the entity files; golden files show what a change of one changes everywhere.

After a wanted change run `SLACKWATER_GOLDEN=write python -m pytest tests/unit/test_ddl.py` and read the difference.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from slackwater.entities import ddl
from slackwater.entities.model import Column, ColumnType, Entity, all_entities, load_entity
from slackwater.naming import ENTITIES

GOLDEN = Path(__file__).parent / "golden"
TTL_DAYS = 120

RENDERERS: dict[str, Callable[[Entity], str]] = {
    "iceberg_changelog": ddl.iceberg_changelog_ddl,
    "snowflake_raw": ddl.snowflake_raw_ddl,
    "clickhouse_changes": lambda entity: ddl.clickhouse_changes_ddl(entity, ttl_days=TTL_DAYS),
    "clickhouse_realtime": ddl.clickhouse_realtime_ddl,
    "postgres_source": lambda entity: ";\n".join(ddl.postgres_source_ddl(entity)),
}


def _render(kind: str) -> str:
    return "\n\n".join(RENDERERS[kind](entity) + ";" for entity in all_entities()) + "\n"


@pytest.mark.parametrize("kind", sorted(RENDERERS))
def test_the_ddl_of_every_store_equals_its_golden_file(kind: str) -> None:
    golden = GOLDEN / f"{kind}.sql"
    if os.environ.get("SLACKWATER_GOLDEN") == "write":
        golden.write_text(_render(kind), encoding="utf-8")
    assert golden.read_text(encoding="utf-8") == _render(kind)


@pytest.mark.parametrize("kind", sorted(RENDERERS))
@pytest.mark.parametrize("name", ENTITIES)
def test_every_column_of_an_entity_reaches_every_store(kind: str, name: str) -> None:
    entity = load_entity(name)
    text = RENDERERS[kind](entity)
    assert [c for c in entity.column_names if not re.search(rf"\b{c}\b", text)] == []


@pytest.mark.parametrize("kind", ["iceberg_changelog", "snowflake_raw", "clickhouse_changes"])
@pytest.mark.parametrize("name", ENTITIES)
def test_a_change_keeps_its_source_partition_and_position_in_every_store(kind: str, name: str) -> None:
    text = RENDERERS[kind](load_entity(name))
    for column in ("_epoch", "_source_partition", "_position", "_object_id", "__source_lsn", "__op"):
        assert re.search(rf"^\s+{column} ", text, re.MULTILINE), column


@pytest.mark.parametrize("kind", ["iceberg_changelog", "snowflake_raw", "clickhouse_changes", "postgres_source"])
def test_money_is_decimal_and_never_floating(kind: str) -> None:
    text = _render(kind).lower()
    assert not re.search(r"\b(float|float32|float64|double|real)\b", text)
    assert re.search(r"\bprice (decimal\(10, ?2\)|number\(10,2\)|numeric\(10,2\)|nullable\(decimal\(10, 2\)\))", text)


@pytest.mark.parametrize("types", ["ICEBERG_TYPES", "SNOWFLAKE_TYPES", "CLICKHOUSE_TYPES", "POSTGRES_TYPES"])
def test_every_store_has_a_type_for_every_logical_type(types: str) -> None:
    assert set(getattr(ddl, types)) == set(ColumnType)


def test_a_new_column_of_an_entity_appears_in_every_store() -> None:
    users = load_entity("users")
    extended = users.model_copy(update={"columns": (*users.columns, Column(name="country", type=ColumnType.STRING))})
    assert [kind for kind, render in RENDERERS.items() if not re.search(r"\bcountry\b", render(extended))] == []


def test_a_reference_becomes_a_foreign_key_of_the_source() -> None:
    orders, _ = ddl.postgres_source_ddl(load_entity("orders"))
    assert "references shop.users (id)" in orders


def test_toastable_columns_skip_the_placeholder_in_the_realtime_view() -> None:
    placeholder = "__debezium_unavailable_value"
    assert placeholder in ddl.clickhouse_realtime_ddl(load_entity("products"))
    assert placeholder in ddl.clickhouse_realtime_ddl(load_entity("orders"))
    assert placeholder not in ddl.clickhouse_realtime_ddl(load_entity("users"))
