"""OPS.AUDIT_LOG: what was done to the system's structure or data on somebody's behalf, one row per deed.

DDL cannot share a transaction with the row that tells of it. So the row is written first, as `begun`, and becomes
`applied` afterwards: whoever is killed between the two leaves a row that the next one finishes or takes over.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from slackwater.clients.snowflake import Warehouse

SCHEMA_CHANGE = "schema_change"
MODEL_CHANGE = "model_change"
DATA_TRANSFORMATION = "data_transformation"

AUDIT_LOG_DDL = """create table if not exists OPS.AUDIT_LOG (
        recorded_at timestamp_ntz(6) not null, actor varchar not null, kind varchar not null, object varchar not null,
        detail varchar not null)"""

_BEGUN, _APPLIED = "begun", "applied"


@dataclass(frozen=True)
class Deed:
    """What is done to one object.

    Attributes:
        kind: Such as `SCHEMA_CHANGE`.
        object: What it is done to, such as `RAW.PRODUCTS.BRAND`.
        detail: What exactly; the same deed has the same detail.
    """

    kind: str
    object: str
    detail: Mapping[str, str]

    def text(self, state: str) -> str:
        """Return the detail with its state as JSON, always in the same form."""
        return json.dumps({**self.detail, "state": state}, sort_keys=True)


def begin(warehouse: Warehouse, deed: Deed, *, actor: str) -> None:
    """Write that a deed has begun, unless such a row is open already."""
    warehouse.execute(
        "merge into OPS.AUDIT_LOG as held using (select cast(? as varchar) as kind, cast(? as varchar) as object,"
        " cast(? as varchar) as detail, cast(? as varchar) as actor) as wanted"
        " on held.kind = wanted.kind and held.object = wanted.object and held.detail = wanted.detail"
        " when not matched then insert (recorded_at, actor, kind, object, detail)"
        " values (sysdate(), wanted.actor, wanted.kind, wanted.object, wanted.detail)",
        (deed.kind, deed.object, deed.text(_BEGUN), actor),
    )


def finish(warehouse: Warehouse, deed: Deed) -> None:
    """Write that a deed that has begun is done; nothing happens when no such row is open."""
    warehouse.execute(
        "update OPS.AUDIT_LOG set detail = ? where kind = ? and object = ? and detail = ?",
        (deed.text(_APPLIED), deed.kind, deed.object, deed.text(_BEGUN)),
    )


def record(warehouse: Warehouse, deeds: Sequence[Deed], *, actor: str) -> None:
    """Write deeds of one kind that are done, in one statement; those that are written already are left alone."""
    if not deeds:
        return
    (kind,) = {deed.kind for deed in deeds}
    rows = " union all ".join(["select cast(? as varchar) as object, cast(? as varchar) as detail"] * len(deeds))
    warehouse.execute(
        "insert into OPS.AUDIT_LOG (recorded_at, actor, kind, object, detail)"
        f" select sysdate(), ?, ?, done.object, done.detail from ({rows}) as done where not exists (select 1 from"
        " OPS.AUDIT_LOG as held where held.kind = ? and held.object = done.object and held.detail = done.detail)",
        (actor, kind, *(value for deed in deeds for value in (deed.object, deed.text(_APPLIED))), kind),
    )


def done_deeds(warehouse: Warehouse, kind: str) -> list[tuple[str, Mapping[str, str]]]:
    """Return object and detail of every done deed of a kind, oldest first."""
    rows = warehouse.query(
        "select object, detail from OPS.AUDIT_LOG where kind = ? order by recorded_at, object, detail", (kind,)
    )
    return [(str(name), json.loads(str(text))) for name, text in rows if is_applied(str(text))]


def open_deeds(warehouse: Warehouse, kind: str) -> Iterable[Deed]:
    """Return the deeds that have begun and were not seen done."""
    rows = warehouse.query("select object, detail from OPS.AUDIT_LOG where kind = ?", (kind,))
    for name, text in rows:
        detail = {str(key): str(value) for key, value in json.loads(str(text)).items()}
        if detail.pop("state", None) == _BEGUN:
            yield Deed(kind, str(name), detail)


def is_applied(detail: str) -> bool:
    """Say whether a row's detail tells of a deed that is done."""
    return bool(json.loads(detail).get("state") == _APPLIED)
