"""The one definition of the daily metrics: what follows from it without a store."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from slackwater.errors import ConfigurationError
from slackwater.reconciliation.compile import compile_clickhouse, compile_snowflake, within_frontier
from slackwater.reconciliation.metrics import Metrics, divide, load_metrics

REPOSITORY = Path(__file__).resolve().parents[2]

FRONTIER = {("orders", "shop.orders+0"): 7, ("orders", "shop.orders+1"): 9, ("users", "shop.users+0"): 3}


@pytest.mark.parametrize(
    ("numerator", "denominator", "decimals", "expected"),
    [
        ("18.05", "2", 2, "9.03"),
        ("10.05", "2", 2, "5.03"),
        ("2", "3", 4, "0.6667"),
        ("1", "3", 4, "0.3333"),
        ("-18.05", "2", 2, "-9.03"),
        ("0", "5", 2, "0.00"),
        ("123456789012345.67", "1", 2, "123456789012345.67"),
    ],
)
def test_ratio_rounds_half_away_from_zero(numerator, denominator, decimals, expected):
    assert divide(Decimal(numerator), Decimal(denominator), decimals=decimals) == Decimal(expected)


def test_ratio_with_denominator_zero_is_zero():
    assert divide(Decimal("5"), Decimal(0), decimals=2) == 0


def test_status_sets_and_service_category_equal_those_of_the_dbt_project():
    project = yaml.safe_load((REPOSITORY / "dbt" / "dbt_project.yml").read_text(encoding="utf-8"))["vars"]
    metrics = load_metrics()
    assert list(metrics.statuses.counted) == project["counted_statuses"]
    assert list(metrics.statuses.completed) == project["completed_statuses"]
    assert list(metrics.statuses.cancelled) == project["cancelled_statuses"]
    assert metrics.service_category == project["service_category"]


def test_every_published_metric_is_a_column_of_the_mart_and_the_other_way_round():
    path = REPOSITORY / "dbt" / "models" / "marts" / "daily_business_metrics.yml"
    model = yaml.safe_load(path.read_text(encoding="utf-8"))["models"][0]
    columns = {column["name"] for column in model["columns"]}
    assert columns - {"date"} == set(load_metrics().published_names)


def test_internal_aggregate_is_not_published():
    assert "counted_orders" not in load_metrics().published_names


@pytest.mark.parametrize(
    "aggregate",
    [
        {"of": "orders", "count": "rows", "where": ["is_goods"]},
        {"of": "lines", "sum": "amount"},
        {"of": "orders", "sum": "amount", "count": "rows"},
        {"of": "orders"},
    ],
    ids=["condition of the other fact", "value of the other fact", "two kinds", "no kind"],
)
def test_aggregate_that_cannot_be_compiled_is_refused(aggregate):
    document = load_metrics().model_dump() | {"aggregates": {"x": aggregate}, "ratios": {}}
    with pytest.raises(ValidationError):
        Metrics.model_validate(document)


def test_both_queries_name_every_aggregate_in_declared_order():
    metrics = load_metrics()
    wanted = list(metrics.aggregates)
    for sql in (compile_clickhouse(metrics, FRONTIER).sql, compile_snowflake(metrics, FRONTIER).sql):
        last_select = sql[sql.rindex("select daily_orders.day") :]
        assert [name for name in last_select.replace(",", " ").split() if name in wanted] == wanted


def test_snowflake_binds_values_in_the_order_of_their_marks():
    query = compile_snowflake(load_metrics(), FRONTIER, from_date=date(2010, 12, 1), to_date=date(2010, 12, 2))
    assert query.sql.count("?") == len(query.params)
    assert query.params == ("shop.users+0", 3, "shop.orders+0", 7, "shop.orders+1", 9, "2010-12-01", "2010-12-02")


def test_clickhouse_binds_every_value_by_name():
    query = compile_clickhouse(load_metrics(), FRONTIER, from_date=date(2010, 12, 1))
    assert sorted(map(str, query.params.values())) == sorted(
        ["shop.users+0", "3", "shop.orders+0", "7", "shop.orders+1", "9", "2010-12-01"]
    )
    assert all(f"{{{name}:" in query.sql for name in query.params)


def test_entity_without_frontier_reads_nothing():
    sql = compile_snowflake(load_metrics(), FRONTIER).sql
    products = sql[sql.index("newest_products") : sql.index("newest_orders")]
    assert "1 = 0" in products


def test_unknown_entity_is_an_error_and_not_an_empty_side():
    with pytest.raises(ConfigurationError):
        within_frontier(_NoBinding(), "baskets", FRONTIER)


class _NoBinding:
    settings = ""

    def bind(self, value):
        return "?"

    def day(self, column):
        return column

    def newest(self, entity, within):
        return ""
