"""`slackwater lake`: the past of the lake's tables, going back to it, and what their upkeep would take away."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from slackwater.commands.context import EXIT_PROBLEM, AsJson, current_systems, open_ledger, operator, out, plain_errors
from slackwater.commands.lake_plan import lake_plan
from slackwater.commands.query import print_rows
from slackwater.errors import ConfigurationError

if TYPE_CHECKING:  # the drivers cost seconds, and every command imports this module
    from slackwater.clients.iceberg import Lake
    from slackwater.lake.history import Snapshot, SnapshotDifference, TableHistory
    from slackwater.ledger.store import Ledger
    from slackwater.stack.systems import Systems

app = typer.Typer(no_args_is_help=True, help="The lake's tables: their snapshots, going back, branches, upkeep.")

app.command("plan")(lake_plan)

TableName = Annotated[str, typer.Argument(help="Such as changes.orders or ecommerce.orders.")]

_NAMED_AT_MOST = 3


class BranchAction(StrEnum):
    """What is done with branches."""

    LIST = "list"
    CREATE = "create"
    DROP = "drop"


@app.command("snapshots")
def lake_snapshots(table: TableName, is_json: AsJson = False) -> None:
    """List a table's snapshots, newest first, with the batches each appended or folded."""
    from slackwater.clients.iceberg_snapshots import read_history
    from slackwater.lake.history import entity_of

    with _opened() as (_, lake, _systems):
        entity_of(table)
        history = read_history(lake, table)
    ancestors = {one.snapshot_id for one in history.ancestors(history.current_id)}
    snapshots = history.snapshots[::-1]
    if is_json:
        print(json.dumps([_document(one, history, ancestors) for one in snapshots], indent=2))
        return
    print_rows(
        (
            "snapshot",
            "committed (UTC)",
            "operation",
            "rows +",
            "rows -",
            "files",
            "batches",
            "on main",
            "branches, tags",
        ),
        [
            (
                *(str(one.snapshot_id), f"{one.committed_at:%Y-%m-%d %H:%M:%S}", one.operation),
                *(one.added_rows, one.deleted_rows, one.total_files, _named(one.batch_ids)),
                _place(one, history, ancestors),
                ", ".join(history.names_of(one.snapshot_id)),
            )
            for one in snapshots
        ],
    )


@app.command("diff")
def lake_diff(
    table: TableName,
    before: Annotated[int, typer.Argument(help="A snapshot.")],
    after: Annotated[int, typer.Argument(help="Another snapshot.")],
    is_json: AsJson = False,
) -> None:
    """Say what two snapshots of a table show differently: batches of a changelog, keys of a state table."""
    from slackwater.lake.look_back import compare_snapshots

    with _opened() as (_, lake, _systems):
        found = compare_snapshots(lake, table, before, after)
    if is_json:
        print(json.dumps(asdict(found), indent=2))
    else:
        _print_difference(found)


@app.command("rollback")
def lake_rollback(
    table: TableName,
    snapshot: Annotated[int, typer.Argument(help="The snapshot main is set to; one of its ancestors.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the ledger.")],
    is_json: AsJson = False,
) -> None:
    """Set a table back to an earlier snapshot; what it loses is appended or folded again."""
    from slackwater.lake.history import is_changelog
    from slackwater.lake.rollback import keeping_lake, roll_back

    with _opened() as (ledger, lake, _systems), keeping_lake(ledger, actor=operator()) as (lease, _):
        done = roll_back(ledger=ledger, lake=lake, table=table, snapshot_id=snapshot, lease=lease, reason=reason)
    if is_json:
        print(json.dumps(asdict(done), indent=2))
        return
    if not done.lost:
        out.print(f"{table} is at snapshot {snapshot} already; nothing was changed.")
        return
    out.print(f"{table} is at snapshot {snapshot} again; {len(done.lost)} snapshots are no longer part of it.")
    if is_changelog(table):
        named = _named(done.reopened) or "none"
        out.print(f"{len(done.reopened)} batches were opened again; the sweep has them appended: {named}")
    else:
        out.print(f"{done.refolded} batches will be folded again by the next fold.")


@app.command("branch")
def lake_branch(
    table: TableName,
    action: Annotated[BranchAction, typer.Argument(help="list, create or drop.")],
    name: Annotated[str, typer.Argument(help="Name of the branch.")] = "",
    snapshot: Annotated[int | None, typer.Option(help="Where a new branch is; by default where main is.")] = None,
    is_json: AsJson = False,
) -> None:
    """List, make or remove branches: a snapshot with a branch does not expire and can be read by its name."""
    from slackwater.clients.iceberg_snapshots import read_history
    from slackwater.lake.history import entity_of
    from slackwater.lake.rollback import create_branch, remove_branch

    with _opened() as (ledger, lake, _systems):
        entity_of(table)
        if action is not BranchAction.LIST and not name:
            raise ConfigurationError(f"name the branch: slackwater lake branch {table} {action} NAME")
        if action is BranchAction.CREATE:
            actor = operator()
            create_branch(ledger=ledger, lake=lake, table=table, branch=name, snapshot_id=snapshot, actor=actor)
        elif action is BranchAction.DROP:
            remove_branch(ledger=ledger, lake=lake, table=table, branch=name, actor=operator())
        history = read_history(lake, table)
    rows = [(ref, "tag" if ref in history.tags else "branch", str(held)) for ref, held in sorted(history.refs.items())]
    if is_json:
        print(json.dumps([{"name": ref, "kind": kind, "snapshot_id": int(held)} for ref, kind, held in rows], indent=2))
    else:
        print_rows(("name", "kind", "snapshot"), rows)


@app.command("file")
def lake_file(
    address: Annotated[str, typer.Argument(help="Address of a data file, such as s3://.../data/...parquet.")],
    is_json: AsJson = False,
) -> None:
    """Say which snapshot and which batches brought a data file, so that a damaged one can be replaced."""
    from slackwater.lake.look_back import origin_of_file

    with _opened() as (_, lake, _systems):
        found = origin_of_file(lake, address)
    if is_json:
        print(json.dumps(asdict(found), indent=2, default=str))
        return
    file, snapshot = found.file, found.snapshot
    kind = "data" if file.is_data else "row deletes"
    out.print(f"{found.table}, {kind} of {file.day}: {file.row_count} rows, {file.size_bytes} bytes", markup=False)
    out.print("Main names it." if found.is_live else "Main does not name it; older snapshots do.")
    told = f"{snapshot.operation}, {snapshot.committed_at:%Y-%m-%d %H:%M:%S} UTC" if snapshot else "expired"
    out.print(f"Committed by snapshot {file.added_by} ({told}).")
    out.print(f"Batches: {', '.join(found.batch_ids) or found.problem or 'none'}", markup=False)
    if found.is_live and snapshot is not None and snapshot.parent_id is not None:
        out.print(f"Before it: slackwater lake rollback {found.table} {snapshot.parent_id} --reason ...", markup=False)


@app.command("maintain")
def lake_maintain(
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would go, and why.")] = False,
    is_json: AsJson = False,
) -> None:
    """Do what the flow maintain-lake does every day; with --dry-run only say what would go."""
    from slackwater.clients.spark import SparkJobs
    from slackwater.lake.maintenance import MaintainRequest, MaintainResult
    from slackwater.lake.maintenance_report import as_document, maintenance_markdown
    from slackwater.lake.rollback import keeping_lake
    from slackwater.lake.run_maintenance import maintain
    from slackwater.settings import ProjectSettings, SparkSettings

    jobs = SparkJobs(SparkSettings(), ProjectSettings(), os.environ)
    with _opened() as (ledger, lake, systems), ExitStack() as held:
        lease, check = (None, None) if is_dry else held.enter_context(keeping_lake(ledger, actor=operator()))

        def run_spark(request: MaintainRequest) -> MaintainResult:
            return jobs.run("maintain_tables", request, MaintainResult, check=check or (lambda: None))

        report = maintain(
            ledger=ledger, lake=lake, settings=systems.lake, now=datetime.now(UTC), lease=lease, run_spark=run_spark
        )
    if is_json:
        print(json.dumps(as_document(report), indent=2, default=str))
    else:
        out.print(maintenance_markdown(report), markup=False)
    if any(one.spark and one.spark.error for one in report.tables):
        raise typer.Exit(EXIT_PROBLEM)


@contextmanager
def _opened() -> "Iterator[tuple[Ledger, Lake, Systems]]":
    from slackwater.clients.iceberg import Lake

    systems = current_systems()
    with plain_errors(), open_ledger(systems) as ledger, closing(Lake(systems.lake, systems.s3)) as lake:
        yield ledger, lake, systems


def _document(one: "Snapshot", history: "TableHistory", ancestors: set[int]) -> dict[str, object]:
    document = asdict(one)
    document["committed_at"] = one.committed_at.isoformat()
    document["last_current_at"] = one.last_current_at.isoformat() if one.last_current_at else None
    document["is_current"] = one.snapshot_id == history.current_id
    document["is_ancestor"] = one.snapshot_id in ancestors
    document["refs"] = list(history.names_of(one.snapshot_id))
    return document


def _place(one: "Snapshot", history: "TableHistory", ancestors: set[int]) -> str:
    if one.snapshot_id == history.current_id:
        return "current"
    return "ancestor" if one.snapshot_id in ancestors else "no"


def _named(batch_ids: tuple[str, ...]) -> str:
    more = f" and {len(batch_ids) - _NAMED_AT_MOST} more" if len(batch_ids) > _NAMED_AT_MOST else ""
    return ", ".join(batch_ids[:_NAMED_AT_MOST]) + more


def _print_difference(found: "SnapshotDifference") -> None:
    out.print(f"{found.table}: {found.before_rows} rows at {found.before_id}, {found.after_rows} at {found.after_id}")
    if found.batches is not None:
        rows = [(one.batch_id, one.before_rows, one.after_rows) for one in found.batches]
        print_rows(("batch", f"rows at {found.before_id}", f"rows at {found.after_id}"), rows)
    if found.keys is not None:
        print_rows(("keys", "count"), [(name.replace("_", " "), count) for name, count in asdict(found.keys).items()])
        out.print(f"Folded into {found.after_id} alone: {_named(found.folded) or 'nothing'}", markup=False)
        out.print(f"Folded into {found.before_id} alone: {_named(found.unfolded) or 'nothing'}", markup=False)
