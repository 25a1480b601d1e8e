"""The figures of the lake: rewrites, folds, the year from nothing, and a day of everything at once."""

import os
from collections.abc import Callable, Mapping
from contextlib import closing

from compaction import Compared, measure_check, measure_choice
from folding import FoldCost, Work, measure_folds
from lake_engine import engine_of
from pyspark import SparkContext
from pyspark.sql import SparkSession
from results import Figure, figure
from stacks import BenchStack
from year_fold import measure_year

from slackwater.clients.iceberg import Lake
from slackwater.lake.policy import TableKind
from slackwater.ledger.store import Ledger
from slackwater.stack import bootstrap
from slackwater.testing.lake_bench import LakeBench
from slackwater.testing.lake_day import MOST_STORED_PER_LIVE, Hour, Pace, simulate
from spark.job_main import session_of_environment
from spark.jobs import fold_changes

OVERHEAD_BUDGET_PCT = 40.0
SIZES = (1_000_000, 5_000_000)
COMPARED_UPTO = 1_000_000
PACE, SEED = Pace(hours=24, files=4), 20101201

MB = 1e6

Say = Callable[[str], None]


def open_session(stack: BenchStack) -> SparkSession:
    """Prepare the stores and return Spark over them; the environment of this process becomes the stack's."""
    bootstrap.apply_stores(stack.profile)
    os.environ.update(stack.env)
    return session_of_environment("bench")


def stop_spark() -> None:
    """Stop Spark if it runs; the next measurement starts it in the folders of its own stack."""
    if SparkContext._active_spark_context is not None:  # asking a session would start one
        SparkContext._active_spark_context.stop()


def compaction_figures(stack: BenchStack, *, say: Say) -> list[Figure]:
    """Measure rewrites."""
    session, found = open_session(stack), []
    for kind in TableKind:
        say(f"a {kind} of 2,000 files ...")
        found += _check_figures(measure_check(stack, session, kind))
    say("few partitions worth it among many ...")
    choice = measure_choice(stack, session)
    told = f"{choice.chosen} of {choice.partitions} partitions"
    return [
        *found,
        figure(
            "bytes rewritten by plan, of a plain rewrite's", "%", 100 * choice.planned_bytes / choice.plain_bytes, 33.3,
            f"{told}; {choice.planned_bytes / MB:.2f} of {choice.plain_bytes / MB:.2f} MB",
        ),
        figure(
            "files it leaves that a plain rewrite removes", "%",
            100 * (1 - choice.planned_removed / choice.plain_removed), 10,
            f"{choice.planned_removed} and {choice.plain_removed} files removed",
        ),
    ]  # fmt: skip


def fold_figures(stack: BenchStack, *, say: Say) -> list[Figure]:
    """Measure folds into growing tables."""
    session = open_session(stack)
    costs = list(measure_folds(stack, session, SIZES, compared_upto=COMPARED_UPTO, say=say))
    figures = [figure for cost in costs for figure in _fold_figures(cost)]
    first, last = costs[0], costs[-1]
    grown = last.rows / first.rows
    return [
        *figures,
        figure(
            f"bytes written by a fold as the table grows {grown:.0f}x", "x",
            last.fold.written_bytes / first.fold.written_bytes, 1.5,
        ),
        figure(
            "bytes read beyond the key scan, the same", "x", _beyond_keys(last) / max(1, _beyond_keys(first)), 1.5,
            f"{_beyond_keys(first) / MB:.1f} and {_beyond_keys(last) / MB:.1f} MB",
        ),
        figure("the key scan itself, the same", "x", last.key_scan.cpu / first.key_scan.cpu, None, "CPU"),
    ]  # fmt: skip


def year_figures(stack: BenchStack, *, say: Say) -> list[Figure]:
    """Measure the folds of the whole year."""
    found = measure_year(stack, open_session(stack), say=say)
    note = f"{found.changes:,} changes into {found.rows:,} keys; CPU-s {found.cpu:.0f}"
    if found.wrong_entities:
        return [Figure("the year from nothing", "s", None, None, os.getloadavg()[0], f"wrong: {found.wrong_entities}")]
    return [figure("the year's changelog folded from nothing", "s", found.wall, None, note)]


def day_figures(stack: BenchStack, *, say: Say) -> list[Figure]:
    """Live through a day; its chart is printed as a Mermaid diagram."""
    session = open_session(stack)
    systems = stack.systems
    with (
        Ledger(systems.ledger.dsn) as writing,
        Ledger(systems.ledger.dsn) as keeping,
        closing(Lake(systems.lake, systems.s3)) as lake,
        closing(Lake(systems.lake, systems.s3)) as kept,
    ):
        writer = LakeBench(writing, lake, stack.store(), systems.landing)
        fold = lambda request: fold_changes.run(session, request)  # noqa: E731
        keeper = LakeBench(keeping, kept, stack.store(), systems.landing, fold_with=fold)
        hours = []
        for hour in simulate(writer, keeper, engine_of(session), systems.lake, pace=PACE, seed=SEED):
            say(str(hour))
            hours.append(hour)
    say(chart(hours))
    return _day_figures(hours)


def _day_figures(hours: list[Hour]) -> list[Figure]:
    early, late = hours[: len(hours) // 2], hours[len(hours) // 2 :]
    different = [hour.number for hour in hours if hour.wrong_keys or hour.lost_changes]
    note = f"{hours[-1].changes:,} changes in {sum(hour.seconds for hour in hours):.0f} s; different: {different}"
    most = max(hour.stored_bytes / hour.live_bytes for hour in late)
    stored = f"{late[-1].stored_bytes / MB:.2f} MB stored, {late[-1].live_bytes / MB:.2f} MB live at its end"
    return [
        figure("a day: hours that differ from the source", "", len(different), 0, note),
        figure(
            "a day: most live files in its second half", "", max(one.live_files for one in late),
            1.5 * max(one.live_files for one in early),
        ),
        figure("a day: stored bytes per live byte, most", "x", most, MOST_STORED_PER_LIVE, stored),
    ]  # fmt: skip


def chart(hours: list[Hour]) -> str:
    """Return a day as a Mermaid chart: files at the end of every hour."""

    def line(values: list[int]) -> str:
        return f"  line [{', '.join(str(value) for value in values)}]"

    axis = ", ".join(str(hour.number + 1) for hour in hours)
    return "\n".join(
        [
            "xychart-beta",
            f'  x-axis "hour" [{axis}]',
            '  y-axis "files"',
            line([hour.stored_files for hour in hours]),
            line([hour.live_files for hour in hours]),
        ]
    )


def _check_figures(found: Compared) -> list[Figure]:
    name = f"{found.kind} of {found.file_count:,} files"
    wall, cpu = (100 * (after / before - 1) for before, after in (
        (found.plain.wall, found.verified.wall), (found.plain.cpu, found.verified.cpu)))  # fmt: skip
    parts = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in found.parts.items())
    queries = [
        figure(
            f"{name}: {query} after, of before", "%", 100 * after / before, None, f"{before:.2f} s, then {after:.2f} s"
        )
        for query, (before, after) in found.queries.items()
    ]
    return [
        figure(f"{name}: plan and plain rewrite", "s", found.plain.wall, None, f"CPU-s {found.plain.cpu:.1f}"),
        figure(
            f"{name}: plan, rewrite and check", "s", found.verified.wall, None,
            f"CPU-s {found.verified.cpu:.1f}; {parts}",
        ),
        figure(f"{name}: overhead of the check", "%", wall, OVERHEAD_BUDGET_PCT, f"of CPU {cpu:.0f} %"),
        *queries,
    ]  # fmt: skip


def _fold_figures(cost: FoldCost) -> list[Figure]:
    name = f"10,000 changes into {cost.rows / MB:.0f} M rows"
    ways: Mapping[str, Work | None] = {
        "fold": cost.fold, "of it the key scan": cost.key_scan, "the table written anew": cost.anew,
        "pyiceberg upsert": cost.upsert,
    }  # fmt: skip
    return [
        figure(f"{name}: {way}", "s", work.wall, None, _told(work, cost.table_bytes))
        for way, work in ways.items()
        if work is not None
    ]


def _told(work: Work, table_bytes: int) -> str:
    read = "" if work.read_bytes is None else f", read {work.read_bytes / MB:.1f} MB"
    return f"CPU-s {work.cpu:.1f}{read}, written {work.written_bytes / MB:.2f} MB; table {table_bytes / MB:.0f} MB"


def _beyond_keys(cost: FoldCost) -> float:
    return (cost.fold.read_bytes or 0) - (cost.key_scan.read_bytes or 0)
