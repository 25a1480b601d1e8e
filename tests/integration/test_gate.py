"""The gate over real dbt results and real contracts: what it names, what it stores, what it lets through."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from slackwater.cli import app
from slackwater.clients.iceberg import Lake
from slackwater.clients.snowflake import Warehouse
from slackwater.errors import TerminalError
from slackwater.ledger.store import Ledger
from slackwater.quality.gate import run_gate
from slackwater.quality.results import FailingRow, GateVerdict, Layer, Outcome, Severity
from slackwater.quality.stored import read_scan
from slackwater.settings import WarehouseSettings
from slackwater.testing.dbt_session import DbtSession
from slackwater.testing.warehouse_path import WarehousePath
from slackwater.warehouse.dbt_cli import RUN_RESULTS, data_test_command, run_command
from slackwater.warehouse.refresh import Refresh, frozen_values

pytestmark = pytest.mark.integration

AT = datetime(2010, 12, 1, 9)  # noqa: DTZ001 - UTC without a zone, as in the landing files
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _order(key: int, **changed):
    row = {"id": key, "user_id": 1, "status": "shipped", "total_amount": Decimal("5.00")}
    return row | {"created_at": AT, "updated_at": AT} | changed


def _item(key: int, order: int):
    return {
        "id": key,
        "order_id": order,
        "product_id": 1,
        "quantity": 1,
        "unit_price": Decimal("5.00"),
        "created_at": AT,
    }


@dataclass
class Judged:
    """A built and tested refresh whose data breaks some rules, in one warehouse."""

    settings: WarehouseSettings
    warehouse: Warehouse
    refresh: Refresh
    run_results: Path
    first_orders: str  # batch ids
    second_orders: str
    items: str
    env: Mapping[str, str]

    def judge(self, reports_dir: Path, **changed) -> GateVerdict:
        arguments = {
            "warehouse_settings": self.settings,
            "dbt_run_results": self.run_results,
            "reports_dir": reports_dir,
            "clock": lambda: NOW,
        }
        return run_gate(self.refresh.refresh_id, **(arguments | changed))

    def file_of(self, batch_id: str) -> str:
        rows = self.warehouse.query(
            "select distinct file_name from RAW.ORDERS where batch_id = ?"
            " union select distinct file_name from RAW.ORDER_ITEMS where batch_id = ?",
            (batch_id, batch_id),
        )
        ((name,),) = rows
        return str(name)


@pytest.fixture(scope="module")
def judged(module_sandbox, tmp_path_factory) -> Iterator[Judged]:
    sandbox, target = module_sandbox, tmp_path_factory.mktemp("dbt")
    env = sandbox.env | {
        "SLACKWATER_QUALITY_ORPHAN_GRACE_MINUTES": "0",
        "SLACKWATER_QUALITY_DBT_TARGET_DIR": str(target),
    }
    with Warehouse(sandbox.warehouse) as warehouse, Ledger(sandbox.ledger.dsn) as ledger:
        path = WarehousePath(ledger, Lake(sandbox.lake, sandbox.s3), warehouse)
        path.load("users", {"id": 1, "email": "a@shop.example", "created_at": AT, "updated_at": AT})
        path.load("products", {"id": 1, "name": "Mug", "price": Decimal("5.00"), "created_at": AT, "updated_at": AT})
        # 7 is sound at first and breaks in a later file: that file has to be named.
        first = path.load("orders", *[_order(key) for key in range(1, 10)], _order(10, status="lost"))
        second = path.load("orders", _order(7, total_amount=Decimal("-5.00"), op="u"))
        items = path.load("order_items", *[_item(key, key) for key in range(1, 9)], _item(99, 999))
        refresh, _ = path.start()
        frozen = frozen_values(refresh)
        with DbtSession(env=env, target_dir=target) as dbt:
            dbt.run(run_command(frozen, target_dir=target))
            dbt.run(data_test_command(frozen, target_dir=target))
        yield Judged(
            settings=sandbox.warehouse,
            warehouse=warehouse,
            refresh=refresh,
            run_results=target / RUN_RESULTS,
            first_orders=first.batch_id,
            second_orders=second.batch_id,
            items=items.batch_id,
            env=sandbox.env,
        )


@pytest.fixture(scope="module")
def verdict(judged, tmp_path_factory) -> GateVerdict:
    return judged.judge(tmp_path_factory.mktemp("reports"))


def _check(verdict: GateVerdict, dataset: str, part: str):
    (found,) = [check for check in verdict.checks if check.dataset == dataset and part in check.name]
    return found


def test_share_of_bad_rows_rejects_and_names_key_batch_and_file_of_the_newest_version(judged, verdict):
    check = _check(verdict, "STAGING.STG_ORDERS", "TOTAL_AMOUNT is not negative")
    assert (check.outcome, check.severity, check.layer) == (Outcome.FAILED, Severity.ERROR, Layer.STAGING)
    assert Decimal(check.measured) == 10
    assert check.failing_rows == (FailingRow("7", judged.second_orders, judged.file_of(judged.second_orders)),)


def test_broken_reference_found_by_dbt_names_key_and_file(judged, verdict):
    (check,) = [c for c in verdict.checks if c.dataset == "STAGING.STG_ORDER_ITEMS" and c.outcome is Outcome.FAILED]
    assert check.column == "ORDER_ID"
    assert check.failing_rows == (FailingRow("99", judged.items, judged.file_of(judged.items)),)


def test_value_that_is_not_accepted_names_the_keys_that_hold_it(judged, verdict):
    check = _check(verdict, "STAGING.STG_ORDERS", "accepted_values_stg_orders_status")
    assert not check.is_rejecting  # a bad row is flagged, not a reason to hold back the others
    assert check.failing_rows == (FailingRow("10", judged.first_orders, judged.file_of(judged.first_orders)),)


def test_verdict_is_rejected_for_exactly_the_planted_reasons(verdict):
    assert not verdict.is_passed
    assert sorted(check.dataset for check in verdict.rejecting_checks) == [
        "STAGING.STG_ORDERS",
        "STAGING.STG_ORDER_ITEMS",
    ]
    assert len(verdict.reasons) == len(verdict.rejecting_checks)


def test_every_check_of_every_layer_is_stored_and_judging_again_replaces_it(judged, verdict, tmp_path):
    judged.judge(tmp_path)
    stored = judged.warehouse.query(
        "select layer, dataset, check_name, outcome, failing_keys, files from OPS.CHECK_RESULTS where refresh_id = ?",
        (judged.refresh.refresh_id,),
    )
    assert len(stored) == len(verdict.checks)
    assert {str(row[0]) for row in stored} == {"raw", "staging", "marts"}
    (bad,) = [row for row in stored if row[2] == "TOTAL_AMOUNT is not negative"]
    assert bad[3] == "failed"
    assert json.loads(bad[4]) == ["7"]
    assert json.loads(bad[5]) == [judged.file_of(judged.second_orders)]


def test_every_failing_key_is_kept_once_with_batch_and_file(judged, verdict, tmp_path):
    judged.judge(tmp_path)  # replaces, does not add
    kept = judged.warehouse.query(
        "select dataset, check_name, key_number, row_key, batch_id, file_name from OPS.CHECK_FAILURES"
        " where refresh_id = ? order by dataset, check_name, key_number",
        (judged.refresh.refresh_id,),
    )
    expected = [
        (check.dataset, check.name, number, row.key, row.batch_id, row.file_name)
        for check in verdict.checks
        for number, row in enumerate(check.failing_rows, 1)
    ]
    assert kept == sorted(expected)
    assert ("STAGING.STG_ORDERS", "TOTAL_AMOUNT is not negative", 1, "7") in {row[:4] for row in kept}


def test_kept_verdict_is_the_one_that_was_given(judged, verdict, tmp_path):
    again = judged.judge(tmp_path)
    assert read_scan(judged.warehouse, judged.refresh.refresh_id).checks == again.checks


def _command(judged, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["gate", *arguments], env=judged.env)


def test_person_accepts_what_failed_and_it_rejects_again_when_the_day_is_over(judged, verdict, tmp_path):
    refresh_id, today = judged.refresh.refresh_id, datetime.now(UTC)
    amount, orphan = "TOTAL_AMOUNT is not negative", next(c.name for c in verdict.checks if c.column == "ORDER_ID")
    last_day = (today + timedelta(days=1)).date()
    try:
        for check in (amount, f"STAGING.STG_ORDER_ITEMS: {orphan}"):
            shown = json.loads(_command(judged, "show", "--json").output)
            assert shown["refresh_id"] == refresh_id
            assert "slackwater gate accept" in shown["next_step"]
            told = _command(
                judged, "accept", refresh_id[:10], check, "--reason", "finance knows", "--expires", str(last_day)
            )
            assert told.exit_code == 0, told.output
        assert "Drive it again: prefect deployment run refresh-marts/on-due" in told.output

        again = judged.judge(tmp_path, clock=lambda: today)
        assert again.is_passed
        assert {check.name for check in again.accepted_checks} == {amount, orphan}
        assert all(check.outcome is Outcome.FAILED for check in again.accepted_checks)
        assert "failed and does not reject: accepted by cli:" in again.report_html.read_text(encoding="utf-8")
        shown = _command(judged, "show").output
        assert "failed, accepted" in shown
        assert f"until {last_day}: finance knows" in shown

        late = judged.judge(tmp_path, clock=lambda: today + timedelta(days=2))
        assert sorted(check.name for check in late.rejecting_checks) == sorted([amount, orphan])
        assert judged.warehouse.scalar("select count(*) from OPS.CHECK_ACCEPTANCE") == 2  # the record stays
    finally:
        judged.warehouse.execute("delete from OPS.CHECK_ACCEPTANCE")


@pytest.mark.parametrize(
    ("check", "day", "told"),
    [
        ("TOTAL_AMOUNT is filled", "2100-01-01", "passed and rejects nothing"),
        ("TOTAL_AMOUNT is green", "2100-01-01", 'no check "TOTAL_AMOUNT is green"'),
        ("TOTAL_AMOUNT is not negative", "2020-01-01", "2020-01-01 is over"),
        ("TOTAL_AMOUNT is not negative", "tomorrow", "tomorrow"),
    ],
    ids=["did not fail", "unknown", "past", "no date"],
)
def test_what_cannot_be_accepted_is_a_clear_error_and_records_nothing(judged, verdict, check, day, told):
    done = _command(judged, "accept", judged.refresh.refresh_id, check, "--reason", "x", "--expires", day)
    assert done.exit_code != 0
    assert told in done.output + done.stderr
    assert judged.warehouse.scalar("select count(*) from OPS.CHECK_ACCEPTANCE") == 0


def test_refresh_nobody_judged_is_a_clear_error(judged, verdict):
    done = _command(judged, "show", "ffffffff")
    assert done.exit_code == 1
    assert "judged no refresh ffffffff" in done.output + done.stderr


def test_index_shows_this_scan_and_the_trend_of_its_checks(judged, verdict, tmp_path):
    again = judged.judge(tmp_path)
    page = again.report_index.read_text(encoding="utf-8")
    assert f'href="{judged.refresh.refresh_id}.html"' in page
    assert page.count('<svg class="trend"') == len(again.checks)


def test_report_names_the_failing_key_and_its_file(judged, verdict):
    page = verdict.report_html.read_text(encoding="utf-8")
    assert "Rejected" in page
    assert judged.file_of(judged.second_orders) in page
    data = json.loads(verdict.report_json.with_name("latest.json").read_text(encoding="utf-8"))
    assert data["refresh_id"] == judged.refresh.refresh_id


def test_report_holds_no_personal_data(verdict):
    assert "a@shop.example" not in verdict.report_html.read_text(encoding="utf-8")
    assert "a@shop.example" not in verdict.report_json.read_text(encoding="utf-8")


def test_rows_beyond_the_bound_are_not_judged(judged, verdict, tmp_path):
    judged.warehouse.execute("insert into RAW.USERS select * from RAW.USERS")
    judged.warehouse.execute("update RAW.USERS set load_seq = 99, __op = 'x' where load_seq = 1 and id = 1")
    try:
        again = judged.judge(tmp_path)
        assert _check(again, "RAW.USERS", "operation").outcome is Outcome.PASSED
    finally:
        judged.warehouse.execute("update RAW.USERS set load_seq = 1, __op = 'c'")
        judged.warehouse.execute("create or replace table RAW.USERS as select distinct * from RAW.USERS")


def test_row_lost_from_raw_fails_the_volume_check(judged, tmp_path):
    judged.warehouse.execute("delete from RAW.ORDERS where id = 1")
    check = _check(judged.judge(tmp_path), "RAW.ORDERS", "volume")
    assert (check.outcome, Decimal(check.measured)) == (Outcome.FAILED, -1)
    judged.warehouse.execute(
        "insert into RAW.ORDERS select * replace (1 as id) from RAW.ORDERS where id = 2"  # the volume is right again
    )
    assert _check(judged.judge(tmp_path), "RAW.ORDERS", "volume").outcome is Outcome.PASSED


def test_line_that_a_view_doubles_fails_the_volume_check_of_the_view(judged, tmp_path):
    assert _check(judged.judge(tmp_path), "STAGING.ORDER_ITEMS_ENHANCED", "volume").outcome is Outcome.PASSED
    judged.warehouse.execute("create table STAGING.KEPT as select * from STAGING.HIST_PRODUCTS")
    judged.warehouse.execute("insert into STAGING.HIST_PRODUCTS select * from STAGING.KEPT")  # two prices at once
    try:
        again = judged.judge(tmp_path)
        check = _check(again, "STAGING.ORDER_ITEMS_ENHANCED", "volume")
        assert (check.outcome, Decimal(check.measured), check.owner) == (Outcome.FAILED, 8, "analytics")
        assert check.is_rejecting
        assert _check(again, "STAGING.STG_ORDER_ITEMS", "volume").outcome is Outcome.PASSED
    finally:
        judged.warehouse.execute("create or replace table STAGING.HIST_PRODUCTS as select * from STAGING.KEPT")
        judged.warehouse.execute("drop table STAGING.KEPT")


def test_row_lost_between_base_and_staging_fails_the_volume_check_of_staging(judged, tmp_path):
    judged.warehouse.execute("update STAGING.BASE_USERS set __op = 'd' where id = 1")  # staging still has it
    try:
        check = _check(judged.judge(tmp_path), "STAGING.STG_USERS", "volume")
        assert (check.outcome, Decimal(check.measured), check.owner) == (Outcome.FAILED, 1, "platform")
    finally:
        judged.warehouse.execute("update STAGING.BASE_USERS set __op = 'c' where id = 1")


def test_contract_whose_table_is_gone_rejects_as_not_evaluated(judged, tmp_path):
    contracts = tmp_path / "contracts"
    shutil.copytree(Path(__file__).resolve().parents[2] / "soda" / "contracts", contracts)
    path = contracts / "marts" / "daily_business_metrics.yml"
    path.write_text(path.read_text().replace("DAILY_BUSINESS_METRICS", "NOT_THERE"))
    verdict = judged.judge(tmp_path / "reports", contracts_dir=contracts)

    gone = [check for check in verdict.checks if check.dataset == "CANDIDATE.NOT_THERE"]
    assert gone
    assert not [check.name for check in gone if check.outcome is Outcome.PASSED]
    unknown = [check for check in gone if check.outcome is Outcome.NOT_EVALUATED]
    assert unknown
    assert all(check.is_rejecting and "NOT_THERE" in check.message for check in unknown)


def test_refresh_that_was_never_started_is_refused(judged, tmp_path):
    with pytest.raises(TerminalError, match="has no bounds"):
        run_gate("nobody", warehouse_settings=judged.settings, dbt_run_results=judged.run_results, reports_dir=tmp_path)
