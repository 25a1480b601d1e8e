"""Fold changelog rows of some batches into the state tables: newest change per key, once per batch.

`python -m spark.jobs.fold_changes REQUEST RESULT` reads a `FoldJob` and writes a `FoldJobResult`, both JSON. A fold
reads the table's keys and places (narrow), then commits one MERGE whose snapshot names the batches. The MERGE names old
dates as literals, so that Spark reads and rewrites nothing of other dates. One fold per table at a time: the caller's
lease.
"""

from collections import Counter

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

from slackwater.entities.model import Entity, load_entity, state_columns, told_order_column
from slackwater.errors import LoadMismatch, SlackwaterError
from slackwater.lake.fold import FailedFold, FoldJob, FoldJobResult, FoldRequest, FoldResult
from slackwater.naming import SNAPSHOT_FOLDED_BATCHES, changelog_table, state_table
from slackwater.spark_runtime.failures import error_document
from spark.spark_errors import spark_errors
from spark.tables import current_snapshot_id, folded_batches, require_format, snapshot_property
from spark.timing import timed
from spark.transforms import newest

SOURCE_VIEW = "slackwater_fold"


def run_all(session: SparkSession, job: FoldJob) -> FoldJobResult:
    """Do several folds, one after the other; one that fails is reported, and the others are done all the same."""
    done, failed = [], []
    for request in job.folds:
        try:
            with spark_errors():
                done.append(run(session, request))
        except SlackwaterError as exc:
            failed.append(FailedFold(entity=request.entity, error=error_document(exc)["error"]))
    return FoldJobResult(done=tuple(done), failed=tuple(failed))


def run(session: SparkSession, request: FoldRequest) -> FoldResult:
    """Fold the batches of a request; those a former fold committed are left out.

    Args:
        session: As `spark.session.open_session` returns it.
        request: What to fold.

    Raises:
        LoadMismatch: The changelog holds another number of rows of these batches than the ledger counted.
    """
    entity, seconds = load_entity(request.entity), dict[str, float]()
    state = state_table(entity.name)
    require_format(session, state)
    done = folded_batches(session, state)
    held = tuple(sorted(done.intersection(request.batch_ids)))
    changes = session.table(changelog_table(entity.name)).where(f.col("_batch_id").isin(*request.batch_ids))
    if request.dates:
        changes = changes.where(f.col("date").isin(*request.dates))
    with timed(seconds, "read"):
        found = changes.count()
    if found != request.row_count:
        raise LoadMismatch(
            f"{changelog_table(entity.name)} holds {found} rows of batches {', '.join(request.batch_ids)}, expected"
            f" {request.row_count}; compare them: slackwater ledger verify"
        )
    if len(held) == len(request.batch_ids):
        return FoldResult(entity=entity.name, batch_ids=request.batch_ids, was_folded=held, seconds=seconds)
    incoming = newest.newest_of_batch(changes.where(~f.col("_batch_id").isin(*held)), entity).cache()
    with timed(seconds, "newest"):
        key_count = incoming.count()
    keys = incoming.select(entity.key)
    places = newest.held_places(session.table(state), entity).join(f.broadcast(keys), entity.key, "left_semi")
    plan = newest.plan_changes(incoming, places, entity).cache()
    with timed(seconds, "find"):
        counts, moved_count = _count(plan)  # before the MERGE: Spark forgets what it kept of a table it writes to
    if counts:
        with timed(seconds, "merge"), snapshot_property(session, SNAPSHOT_FOLDED_BATCHES, ",".join(request.batch_ids)):
            _merge(session, plan, entity, state)
    snapshot_id = current_snapshot_id(session, state) if counts else None
    result = FoldResult(
        entity=entity.name,
        batch_ids=request.batch_ids,
        change_count=found,
        key_count=key_count,
        new_count=counts[newest.NEW],
        newer_count=counts[newest.NEWER],
        told_count=counts[newest.TELLS],
        moved_count=moved_count,
        snapshot_id=snapshot_id,
        was_folded=held,
        seconds=seconds,
    )
    plan.unpersist()
    incoming.unpersist()
    return result


def merge_statement(entity: Entity, *, state: str, dates: list[str], keeps: set[str], has_tells: bool) -> str:
    """Return the MERGE of a fold.

    A column of the target is named only where its own value is kept: Spark reads no other wide column of it.

    Args:
        entity: The entity.
        state: The state table.
        dates: Dates of the rows that are replaced, ISO; empty when all keys are new.
        keeps: Toastable columns of which some row keeps the table's value.
        has_tells: Whether some row has nothing but toastable columns replaced.
    """
    names = [column.name for column in state_columns(entity)]
    told = {told_order_column(name): name for name in entity.toastable_names}

    def assigned(name: str) -> str:
        toastable = told.get(name, name)
        if toastable not in keeps:
            return f"t.{name} = s.{name}"
        return f"t.{name} = case when s.{newest.keeps_column(toastable)} then t.{name} else s.{name} end"

    every = ", ".join(assigned(name) for name in names)
    within = ", ".join(f"date '{day}'" for day in dates)
    condition = f"t.{entity.key} = s.{entity.key} and t.date = s.{newest.HELD_DATE} and t.date in ({within})"
    lines = [
        f"merge into {state} as t using {SOURCE_VIEW} as s",
        f"on {condition if dates else 'false'}",
    ]
    if dates:
        if has_tells:
            only = ", ".join(assigned(name) for name in names if name in told or name in told.values())
            lines.append(f"when matched and s.{newest.ACTION} = '{newest.TELLS}' then update set {only}")
        lines.append(f"when matched then update set {every}")
    values = ", ".join(f"s.{name}" for name in names)
    lines.append(f"when not matched then insert ({', '.join(names)}) values ({values})")
    return "\n".join(lines)


def _merge(session: SparkSession, plan: DataFrame, entity: Entity, state: str) -> None:
    held = plan.where(f.col(newest.HELD_DATE).isNotNull())
    dates = sorted(str(row[0]) for row in held.select(newest.HELD_DATE).distinct().collect())
    flags = [f.max(f.col(newest.keeps_column(name)).cast("int")).alias(name) for name in entity.toastable_names]
    has_tells = f.max((f.col(newest.ACTION) == newest.TELLS).cast("int")).alias("_has_tells")
    told = held.agg(has_tells, *flags).first() if dates else None
    keeps = {name for name in entity.toastable_names if told is not None and told[name]}
    plan.createOrReplaceTempView(SOURCE_VIEW)
    try:
        has_tells_only = bool(told is not None and told["_has_tells"])
        session.sql(merge_statement(entity, state=state, dates=dates, keeps=keeps, has_tells=has_tells_only))
    finally:
        session.catalog.dropTempView(SOURCE_VIEW)


def _count(plan: DataFrame) -> tuple[Counter[str], int]:
    """Return how many keys a plan has per action, and how many of its rows move to another date."""
    moves = (f.col(newest.ACTION) == newest.NEWER) & (f.col(newest.HELD_DATE) != f.col("date"))
    rows = plan.groupBy(newest.ACTION).agg(f.count(f.lit(1)).alias("keys"), f.count_if(moves).alias("moved")).collect()
    return Counter({row[newest.ACTION]: row["keys"] for row in rows}), sum(row["moved"] for row in rows)


if __name__ == "__main__":
    from spark.job_main import main

    raise SystemExit(main(FoldJob, run_all))
