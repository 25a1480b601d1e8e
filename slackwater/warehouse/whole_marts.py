"""When a publication has to compare a whole mart, and not only the rows that its refresh touches.

`OPS.WHOLE_MARTS` tells when dbt was about to build a candidate whole (the macro `note_whole_build`) and when a
publication compared the whole of it. All times are the warehouse's own.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from slackwater.clients.snowflake import Warehouse
from slackwater.errors import TerminalError
from slackwater.warehouse.marts import Mart

WHOLE_COMPARISON_EVERY = timedelta(days=1)
"""What somebody changed in a published mart by hand is right again after so long at the latest."""


def is_in_doubt(built_at: datetime | None, compared_at: datetime | None, *, now: datetime) -> bool:
    """Return whether rows of a mart can differ from its candidate that no refresh has touched.

    Args:
        built_at: When the candidate was last about to be built whole.
        compared_at: When a publication last began to compare the whole mart; None if none has.
        now: The time.
    """
    if compared_at is None or now - compared_at > WHOLE_COMPARISON_EVERY:
        return True
    return built_at is not None and built_at >= compared_at


def marts_in_doubt(warehouse: Warehouse, marts: Sequence[Mart]) -> set[str]:
    """Return which marts that are built in parts have to be compared whole, and note that this transaction does.

    Call it before a candidate is read: a build that begins later is then noted later.
    """
    rows = warehouse.query(
        "select table_name, max(iff(event = 'built', happened_at, null)),"
        " max(iff(event = 'compared', happened_at, null)) from OPS.WHOLE_MARTS group by table_name"
    )
    known = {str(name).lower(): (_time(built_at), _time(compared_at)) for name, built_at, compared_at in rows}
    now = _time(warehouse.scalar("select sysdate()"))
    if now is None:
        raise TerminalError("the warehouse does not tell its time")
    doubtful = {
        mart.name for mart in marts if mart.impact and is_in_doubt(*known.get(mart.name, (None, None)), now=now)
    }
    for name in sorted(doubtful):
        table = name.upper()
        # What lay before is settled by this comparison.
        warehouse.execute(
            "delete from OPS.WHOLE_MARTS where table_name = ? and happened_at < cast(? as timestamp_ntz(6))",
            (table, now),
        )
        warehouse.execute(
            "insert into OPS.WHOLE_MARTS (table_name, event, happened_at)"
            " select ?, 'compared', cast(? as timestamp_ntz(6))",
            (table, now),
        )
    return doubtful


def _time(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None
