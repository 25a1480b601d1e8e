"""What a run of dbt did, for OPS.AUDIT_LOG: each model it ran, and each model whose SQL is another than last time.

The SQL of a model names the refresh, its bounds and its time; what belongs to one refresh is taken out before it is
hashed. A model has two forms, of the touched rows and of the whole table, and each has a history of its own.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from slackwater.clients.snowflake import Warehouse
from slackwater.warehouse import audit
from slackwater.warehouse.audit import DATA_TRANSFORMATION, MODEL_CHANGE, Deed
from slackwater.warehouse.dbt_cli import FrozenValue, NodeOutcome, NodeResult

_BOUND = re.compile(r"(\bload_seq\s*[<>]=?\s*)\d+", re.IGNORECASE)


class Form(StrEnum):
    """Which rows a model's SQL computes."""

    TOUCHED = "touched"  # the rows a refresh touches
    WHOLE = "whole"  # the whole table


@dataclass(frozen=True)
class ModelSql:
    """The SQL of one model as it ran, without what belongs to its refresh."""

    table: str
    form: Form
    sha256: str


def record_build(
    warehouse: Warehouse,
    nodes: Sequence[NodeResult],
    *,
    refresh_id: str,
    invocation_id: str,
    frozen: Mapping[str, FrozenValue],
    actor: str,
) -> None:
    """Write what a run of dbt did; a second call with the same run writes nothing.

    Args:
        warehouse: Session that writes.
        nodes: Results of the run.
        refresh_id: The refresh it built.
        invocation_id: Of the run.
        frozen: What dbt was told of the refresh.
        actor: Who ran it.
    """
    ran = [node for node in nodes if node.kind == "model" and node.outcome is not NodeOutcome.SKIPPED]
    audit.record(warehouse, [_transformation(node, refresh_id, invocation_id) for node in ran], actor=actor)
    built = [model_sql(node, frozen) for node in ran if node.compiled_sql]
    changed = changed_models(built, audit.done_deeds(warehouse, MODEL_CHANGE))
    audit.record(warehouse, [_model_change(one, refresh_id) for one in changed], actor=actor)


def model_sql(node: NodeResult, frozen: Mapping[str, FrozenValue]) -> ModelSql:
    """Return the hash of a model's SQL; two refreshes of an unchanged model have the same."""
    sql = node.compiled_sql or ""
    refresh_id, as_of = str(frozen.get("refresh_id", "")), str(frozen.get("as_of", ""))
    form = Form.TOUCHED if refresh_id and refresh_id in sql else Form.WHOLE
    for value, name in ((refresh_id, "refresh_id"), (as_of, "as_of")):
        if value:
            sql = sql.replace(value, f"<{name}>")
    sql = _BOUND.sub(r"\1<bound>", sql)
    return ModelSql(node.table or node.name.upper(), form, hashlib.sha256(sql.strip().encode()).hexdigest())


def changed_models(built: Iterable[ModelSql], known: Iterable[tuple[str, Mapping[str, str]]]) -> tuple[ModelSql, ...]:
    """Return the models whose SQL differs from the last one known in the same form, and those never seen.

    Args:
        built: What ran.
        known: Table and detail of every model change recorded so far, oldest first.
    """
    last = {(table, detail["form"]): detail["sha256"] for table, detail in known}
    return tuple(one for one in built if last.get((one.table, one.form.value)) != one.sha256)


def _transformation(node: NodeResult, refresh_id: str, invocation_id: str) -> Deed:
    detail = {
        "refresh_id": refresh_id,
        "invocation_id": invocation_id,
        "outcome": node.outcome.value,
        "seconds": f"{node.seconds:.3f}",
    }
    rows = {} if node.rows_affected is None else {"rows_affected": str(node.rows_affected)}
    return Deed(DATA_TRANSFORMATION, node.table or node.name.upper(), detail | rows)


def _model_change(one: ModelSql, refresh_id: str) -> Deed:
    return Deed(MODEL_CHANGE, one.table, {"refresh_id": refresh_id, "form": one.form.value, "sha256": one.sha256})
