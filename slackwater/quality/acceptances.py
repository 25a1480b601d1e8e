"""OPS.CHECK_ACCEPTANCE: what people decided about failing checks. Rows are added and never changed or deleted.

What may be decided is `verdict.plan_acceptance`; whether a decision counts is `verdict.with_acceptances`.
"""

from datetime import UTC, date

from slackwater.clients.snowflake import Row, Warehouse, as_utc
from slackwater.errors import TerminalError
from slackwater.quality.results import Acceptance

_COLUMNS = "acceptance_id, dataset, check_name, refresh_id, measured, reason, accepted_by, accepted_at, expires_on"


def record_acceptance(warehouse: Warehouse, acceptance: Acceptance) -> None:
    """Add a decision; a second call with the same id adds nothing."""
    one = acceptance
    warehouse.execute(
        "merge into OPS.CHECK_ACCEPTANCE as held using (select cast(? as varchar) as acceptance_id) as wanted"
        " on held.acceptance_id = wanted.acceptance_id"
        f" when not matched then insert ({_COLUMNS}) values (wanted.acceptance_id, ?, ?, ?, ?, ?, ?,"
        " cast(? as timestamp_ntz(6)), cast(? as date))",
        (
            *(one.acceptance_id, one.dataset, one.check_name, one.refresh_id, one.measured, one.reason),
            *(one.accepted_by, one.accepted_at.astimezone(UTC).replace(tzinfo=None), one.expires_on),
        ),
    )


def read_acceptances(warehouse: Warehouse) -> tuple[Acceptance, ...]:
    """Return every decision that was ever recorded, oldest first."""
    rows = warehouse.query(f"select {_COLUMNS} from OPS.CHECK_ACCEPTANCE order by accepted_at, acceptance_id")
    return tuple(_acceptance(row) for row in rows)


def _acceptance(row: Row) -> Acceptance:
    *texts, accepted_at, expires_on = row
    if not isinstance(expires_on, date):
        raise TerminalError(f"OPS.CHECK_ACCEPTANCE holds {expires_on!r}, expected a date")
    acceptance_id, dataset, check_name, refresh_id, measured, reason, accepted_by = map(str, texts)
    return Acceptance(
        acceptance_id=acceptance_id,
        dataset=dataset,
        check_name=check_name,
        refresh_id=refresh_id,
        measured=measured,
        reason=reason,
        accepted_by=accepted_by,
        accepted_at=as_utc(accepted_at),
        expires_on=expires_on,
    )
