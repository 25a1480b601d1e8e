"""Verdicts in the warehouse: OPS.CHECK_RESULTS, one row per check, and OPS.CHECK_FAILURES, one row per failing key.

Both are written in one transaction, so nobody sees a check without its keys. Ids, batch ids and file names only.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from slackwater.clients.snowflake import Row, Scalar, Warehouse, as_utc
from slackwater.errors import NotKnown
from slackwater.quality.acceptances import read_acceptances
from slackwater.quality.results import CheckResult, FailingRow, GateVerdict, Layer, Outcome, Severity

ROWS_PER_INSERT = 50

_RESULT_COLUMNS = (
    "refresh_id, check_name, layer, dataset, column_name, outcome, severity, measured, threshold, message,"
    " failing_keys, files, checked_at, owner, remedy, acceptance_id"
)
_FAILURE_COLUMNS = "refresh_id, dataset, check_name, key_number, row_key, batch_id, file_name, checked_at"


@dataclass(frozen=True)
class StoredScan:
    """What the gate found for one refresh, as the warehouse keeps it; checks by layer, dataset and name."""

    refresh_id: str
    checked_at: datetime
    checks: tuple[CheckResult, ...]


def store_verdict(warehouse: Warehouse, verdict: GateVerdict) -> None:
    """Replace the refresh's rows in both tables in one transaction."""
    at = verdict.checked_at.astimezone(UTC).replace(tzinfo=None)
    results = [_result_row(verdict.refresh_id, at, check) for check in verdict.checks]
    failures = [
        (verdict.refresh_id, check.dataset, check.name, number, row.key, row.batch_id, row.file_name, at)
        for check in verdict.checks
        for number, row in enumerate(check.failing_rows, 1)
    ]
    with warehouse.transaction():
        for table, columns, rows in (
            ("OPS.CHECK_RESULTS", _RESULT_COLUMNS, results),
            ("OPS.CHECK_FAILURES", _FAILURE_COLUMNS, failures),
        ):
            warehouse.execute(f"delete from {table} where refresh_id = ?", (verdict.refresh_id,))
            _insert(warehouse, table, columns, rows)


def find_judged_refresh(warehouse: Warehouse, beginning: str = "") -> str:
    """Return the newest refresh the gate has judged, or the one whose id begins so.

    Raises:
        NotKnown: No judged refresh has such an id, or several have.
    """
    rows = warehouse.query(
        "select started.refresh_id from OPS.REFRESH as started"
        " inner join (select distinct refresh_id from OPS.CHECK_RESULTS) as judged"
        " on judged.refresh_id = started.refresh_id where startswith(started.refresh_id, ?)"
        " order by started.refresh_seq desc limit 2",
        (beginning,),
    )
    if not rows:
        raise NotKnown(f"the gate has judged no refresh {beginning}".rstrip())
    if beginning and len(rows) > 1:
        raise NotKnown(f"several refreshes begin with {beginning}; give more of the id")
    return str(rows[0][0])


def read_scan(warehouse: Warehouse, refresh_id: str) -> StoredScan:
    """Read what the gate found for a refresh, failing rows and the decisions that counted then included.

    Raises:
        NotKnown: The gate has not judged it.
    """
    accepted = {one.acceptance_id: one for one in read_acceptances(warehouse)}
    keys: dict[tuple[str, str], list[FailingRow]] = defaultdict(list)
    for dataset, name, *row in warehouse.query(
        "select dataset, check_name, row_key, batch_id, file_name from OPS.CHECK_FAILURES where refresh_id = ?"
        " order by dataset, check_name, key_number",
        (refresh_id,),
    ):
        keys[str(dataset), str(name)].append(FailingRow(*map(str, row)))
    rows = warehouse.query(
        "select check_name, layer, dataset, column_name, outcome, severity, measured, threshold, message, owner,"
        " remedy, acceptance_id, checked_at from OPS.CHECK_RESULTS where refresh_id = ?",
        (refresh_id,),
    )
    if not rows:
        raise NotKnown(f"the gate has not judged refresh {refresh_id}")
    checks = []
    for *stored, acceptance_id, _ in rows:
        check = _check(stored, tuple(keys.get((str(stored[2]), str(stored[0])), ())))
        checks.append(replace(check, acceptance=accepted.get(str(acceptance_id))))
    checks.sort(key=lambda check: (list(Layer).index(check.layer), check.dataset, check.name))
    return StoredScan(refresh_id, as_utc(rows[0][-1]), tuple(checks))


def read_scans(warehouse: Warehouse, *, limit: int) -> tuple[StoredScan, ...]:
    """Read the newest scans, newest first, without their failing rows and messages."""
    accepted = {one.acceptance_id: one for one in read_acceptances(warehouse)}
    rows = warehouse.query(
        "select refresh_id, checked_at, check_name, layer, dataset, column_name, outcome, severity, measured,"
        " threshold, '', owner, '', acceptance_id from OPS.CHECK_RESULTS where refresh_id in (select refresh_id from"
        " (select refresh_id, max(checked_at) as judged_at from OPS.CHECK_RESULTS group by refresh_id"
        f" order by judged_at desc, refresh_id limit {int(limit)}) as newest)"
        " order by checked_at desc, refresh_id, dataset, check_name"
    )
    scans: dict[str, tuple[datetime, list[CheckResult]]] = {}
    for refresh_id, checked_at, *stored, acceptance_id in rows:
        _, checks = scans.setdefault(str(refresh_id), (as_utc(checked_at), []))
        checks.append(replace(_check(stored, ()), acceptance=accepted.get(str(acceptance_id))))
    return tuple(StoredScan(refresh_id, at, tuple(checks)) for refresh_id, (at, checks) in scans.items())


def _check(stored: Sequence[Scalar], rows: tuple[FailingRow, ...]) -> CheckResult:
    name, layer, dataset, column, outcome, severity, measured, threshold, message, owner, remedy = (
        "" if value is None else str(value) for value in stored
    )
    return CheckResult(
        name=name,
        layer=Layer(layer),
        dataset=dataset,
        column=column,
        outcome=Outcome(outcome),
        severity=Severity(severity),
        measured=measured,
        threshold=threshold,
        message=message,
        failing_rows=rows,
        owner=owner,
        remedy=remedy,
    )


def _result_row(refresh_id: str, at: datetime, check: CheckResult) -> Row:
    return (
        *(refresh_id, check.name, check.layer.value, check.dataset, check.column, check.outcome.value),
        *(check.severity.value, check.measured, check.threshold, check.message),
        *(json.dumps(check.failing_keys), json.dumps(check.files), at, check.owner, check.remedy),
        check.acceptance.acceptance_id if check.acceptance else None,
    )


def _insert(warehouse: Warehouse, table: str, columns: str, rows: Sequence[Row]) -> None:
    for start in range(0, len(rows), ROWS_PER_INSERT):
        part = rows[start : start + ROWS_PER_INSERT]
        marks = ", ".join(f"({', '.join('?' for _ in row)})" for row in part)
        warehouse.execute(f"insert into {table} ({columns}) values {marks}", [value for row in part for value in row])
