"""Steps about the work done on a batch: sealed, appended, loaded, refreshed, built, checked, published. Pure.

The steps stop at the first that has not happened; that one says what is waited for.
"""

from collections.abc import Iterator, Sequence

from slackwater.explain.facts import Silent, Store
from slackwater.explain.model import Mark, Step, StepKind, Value
from slackwater.explain.work_facts import BadCheck, BatchTrail, CheckFacts, Held, RefreshTrail
from slackwater.naming import changelog_table, raw_table

SHOWN_REJECTED = 2
"""Rejected refreshes told one by one; the number of earlier ones is said."""

SHOWN_CHECKS = 3


def batch_steps(trail: BatchTrail, *, silent: Silent, named: Sequence[str] = ()) -> tuple[Step, ...]:
    """Return the steps of a batch from sealing to publication.

    Args:
        trail: The batch and what the stores say of it.
        silent: Stores that did not answer.
        named: Keys and file names the reader asks about; checks that name one of them say so.
    """
    steps = load_steps(trail, silent=silent)
    if steps[-1].kind is StepKind.LOAD and steps[-1].mark is not Mark.WAITING:
        steps = (*steps, *refresh_steps(trail.refreshes, silent=silent, named=named))
    return steps


def load_steps(trail: BatchTrail, *, silent: Silent) -> tuple[Step, ...]:
    """Return the steps of a batch from sealing to raw."""
    steps = (_sealed(trail), _appended(trail, silent=silent))
    return steps if steps[-1].mark is Mark.WAITING else (*steps, _loaded(trail, silent=silent))


def refresh_steps(trails: Sequence[RefreshTrail], *, silent: Silent, named: Sequence[str] = ()) -> tuple[Step, ...]:
    """Return the steps of the refreshes that held a batch, oldest first, up to its publication."""
    steps: list[Step] = []
    published = next((index for index, trail in enumerate(trails) if trail.refresh.state == "published"), None)
    told = list(trails if published is None else trails[: published + 1])
    rejected = [trail for trail in told if trail.refresh.state == "rejected"]
    hidden = max(len(rejected) - SHOWN_REJECTED, 0)
    for trail in told:
        if trail.refresh.state == "rejected" and trail in rejected[:hidden]:
            continue
        steps += one_refresh_steps(trail, silent=silent, named=named)
    if hidden:
        what = f"{hidden} earlier refreshes of it were rejected, too"
        steps.insert(0, Step(StepKind.REFRESH, Mark.FAILED, what, Store.LEDGER.value))
    if not told or told[-1].refresh.state == "rejected":
        what = "waits for the next refresh" if told else "loaded, waits for a refresh"
        steps.append(Step(StepKind.REFRESH, Mark.WAITING, what, Store.LEDGER.value))
    return tuple(steps)


def one_refresh_steps(trail: RefreshTrail, *, silent: Silent, named: Sequence[str] = ()) -> tuple[Step, ...]:
    """Return the steps of one refresh: started, built, checked, and published unless it was rejected."""
    steps = [_refresh(trail), _built(trail), _checked(trail, silent=silent, named=named)]
    if trail.refresh.state == "rejected":
        return tuple(step for step in steps if step.mark is not Mark.WAITING)
    steps.append(_published(trail, silent=silent))
    return tuple(steps)


def _sealed(trail: BatchTrail) -> Step:
    batch = trail.batch
    skipped = f", {batch.skipped_count} of them set aside" if batch.skipped_count else ""
    what = f"batch of {batch.object_count} {_files(batch.object_count)} sealed{skipped}"
    detail = _said(("rows", batch.row_count), ("sealed by", batch.actors.get("sealed")))
    where = f"{Store.LEDGER}, {batch.entity}"
    return Step(StepKind.BATCH, Mark.DONE, what, where, batch.batch_id, batch.sealed_at, detail)


def _appended(trail: BatchTrail, *, silent: Silent) -> Step:
    batch, found = trail.batch, trail.snapshot
    where = f"{Store.LAKE}, {changelog_table(batch.entity)}"
    if found is not None and found.held is Held.ON_MAIN:
        what = f"{found.added_rows or 0:,} rows appended"
        if batch.state == "sealed":
            what += "; the ledger does not know yet, the next attempt will find them"
        files: tuple[tuple[str, Value], ...] = tuple(("data file", name) for name in found.data_files)
        detail = (*_said(("appended by", batch.actors.get("landed"))), *files)
        return Step(StepKind.SNAPSHOT, Mark.DONE, what, where, str(found.snapshot_id), found.committed_at, detail)
    if batch.state == "sealed":
        return Step(StepKind.SNAPSHOT, Mark.WAITING, f"not appended yet{_attempt(trail)}", where)
    if batch.row_count == 0:
        return Step(StepKind.SNAPSHOT, Mark.DONE, "no rows, so no snapshot", where, None, batch.landed_at)
    named = str(batch.snapshot_id) if batch.snapshot_id is not None else None
    if found is not None and found.held is Held.NOT_ON_MAIN:
        what = f"main does NOT hold the {batch.row_count or 0:,} rows the ledger calls landed (rolled back?)"
        return Step(StepKind.SNAPSHOT, Mark.FAILED, what, where, named, batch.landed_at)
    why = "the lake did not answer" if Store.LAKE in silent else "older than the table's history"
    what = f"{batch.row_count or 0:,} rows appended by the ledger's word; {why}"
    return Step(StepKind.SNAPSHOT, Mark.UNKNOWN, what, where, named, batch.landed_at)


def _loaded(trail: BatchTrail, *, silent: Silent) -> Step:
    batch, load = trail.batch, trail.load
    where = f"{Store.WAREHOUSE}, {raw_table(batch.entity)}"
    if load is not None:
        detail = _said(("load sequence", load.load_seq), ("attempt", load.attempt), ("loaded by", load.actor))
        if load.query_id is None and load.rows_loaded:
            detail = (*detail, ("query id", "not recorded for this load"))
        what = f"{load.rows_loaded:,} rows inserted as load {load.load_seq}"
        return Step(StepKind.LOAD, Mark.DONE, what, where, load.query_id, load.loaded_at, detail)
    if batch.state != "loaded":
        return Step(StepKind.LOAD, Mark.WAITING, f"not loaded yet{_attempt(trail)}", where)
    if Store.WAREHOUSE in silent:
        what = f"load {batch.load_seq} by the ledger's word; the warehouse did not answer"
        return Step(StepKind.LOAD, Mark.UNKNOWN, what, where, None, batch.loaded_at)
    what = f"OPS.LOAD_HISTORY does NOT hold the batch the ledger calls loaded (load {batch.load_seq})"
    return Step(StepKind.LOAD, Mark.FAILED, what, where, None, batch.loaded_at)


def _refresh(trail: RefreshTrail) -> Step:
    refresh = trail.refresh
    words = {"building": "refresh is being built", "tested": "refresh is tested, not published yet"}
    what = words.get(refresh.state, f"refresh over {refresh.batch_count} batches {refresh.state}")
    mark = {"rejected": Mark.FAILED, "published": Mark.DONE}.get(refresh.state, Mark.WAITING)
    detail = _said(
        ("as of", refresh.as_of),
        ("reasons", "; ".join(refresh.reasons) or None),
        ("report", refresh.report),
        ("run by", refresh.actor),
    )
    return Step(StepKind.REFRESH, mark, what, Store.LEDGER.value, refresh.refresh_id, refresh.started_at, detail)


def _built(trail: RefreshTrail) -> Step:
    refresh = trail.refresh
    where = f"{Store.WAREHOUSE}, STAGING and CANDIDATE"
    if refresh.dbt_invocation_id is not None:
        what = "dbt built the touched rows"
        return Step(StepKind.BUILD, Mark.DONE, what, where, refresh.dbt_invocation_id, refresh.dbt_built_at)
    if refresh.state == "building":
        return Step(StepKind.BUILD, Mark.WAITING, "dbt has not ended yet", where)
    return Step(StepKind.BUILD, Mark.UNKNOWN, "dbt's invocation was not recorded for this refresh", where)


def _checked(trail: RefreshTrail, *, silent: Silent, named: Sequence[str]) -> Step:
    where = f"{Store.WAREHOUSE}, OPS.CHECK_RESULTS"
    checks = trail.checks
    if checks is None or not checks.counts:
        if Store.WAREHOUSE in silent:
            return Step(StepKind.CHECKS, Mark.UNKNOWN, "the warehouse did not answer", where)
        is_open = trail.refresh.state == "building"
        what = "not checked yet" if is_open else "no results of the checks are kept"
        return Step(StepKind.CHECKS, Mark.WAITING if is_open else Mark.UNKNOWN, what, where)
    total = sum(checks.counts.values())
    has_failed = set(checks.counts) & {"failed", "not_evaluated"}
    return Step(
        kind=StepKind.CHECKS,
        mark=Mark.FAILED if has_failed and trail.refresh.state == "rejected" else Mark.DONE,
        what=f"{total} {'check' if total == 1 else 'checks'}: {_counted(checks)}",
        where=where,
        id=trail.refresh.refresh_id,
        at=checks.checked_at,
        detail=tuple(_bad_checks(checks.bad, named)),
    )


def _published(trail: RefreshTrail, *, silent: Silent) -> Step:
    refresh, found = trail.refresh, trail.publication
    where = f"{Store.WAREHOUSE}, MARTS.PUBLICATION"
    if found is not None:
        what = f"published: {found.rows_inserted:,} rows written, {found.rows_deleted:,} taken out"
        if refresh.state != "published":
            what += "; the ledger does not know yet"
        detail = _said(("publication number", found.publication_seq))
        return Step(StepKind.PUBLICATION, Mark.DONE, what, where, found.publication_id, found.published_at, detail)
    if refresh.state != "published":
        return Step(StepKind.PUBLICATION, Mark.WAITING, "not published yet", where)
    if Store.WAREHOUSE in silent:
        what = "published by the ledger's word; the warehouse did not answer"
        return Step(StepKind.PUBLICATION, Mark.UNKNOWN, what, where, refresh.publication_id, refresh.ended_at)
    what = "MARTS.PUBLICATION does NOT hold what the ledger calls published"
    return Step(StepKind.PUBLICATION, Mark.FAILED, what, where, refresh.publication_id, refresh.ended_at)


def _bad_checks(bad: Sequence[BadCheck], named: Sequence[str]) -> Iterator[tuple[str, Value]]:
    ours = [check for check in bad if set(named) & {*check.failing_keys, *check.files}]
    others = [check for check in bad if check not in ours]
    for check in [*ours, *others][: max(SHOWN_CHECKS, len(ours))]:
        this = " (names what you ask about)" if check in ours else ""
        yield check.outcome, f"{check.dataset} {check.name}{this}: {check.message}"
    hidden = len(bad) - max(SHOWN_CHECKS, len(ours))
    if hidden > 0:
        yield "more", f"{hidden} further checks did not pass"


def _counted(checks: CheckFacts) -> str:
    return ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in sorted(checks.counts.items()))


def _attempt(trail: BatchTrail) -> str:
    batch = trail.batch
    if batch.is_leased:
        return f": attempt {batch.attempt} is at work"
    if batch.last_error:
        return f": attempt {batch.attempt} failed with {batch.last_error}"
    return f": {batch.attempt} attempts so far" if batch.attempt else ": no run has begun"


def _files(count: int) -> str:
    return "file" if count == 1 else "files"


def _said(*facts: tuple[str, Value]) -> tuple[tuple[str, Value], ...]:
    return tuple((name, value) for name, value in facts if value is not None)
