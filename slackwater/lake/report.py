"""What was done to the lake, as Markdown for the artifacts of a run."""

from collections.abc import Sequence

from slackwater.lake.compaction import Decision
from slackwater.lake.fold import FoldDecision, FoldJobResult
from slackwater.lake.run_compaction import CompactionReport, TablePlan

LISTED_AT_MOST = 40
"""Partitions of a table a report lists; OPS.COMPACTION_LOG has all of them."""


def fold_markdown(result: FoldJobResult) -> str:
    """Return what folds did: one line per entity, then what failed."""
    lines = [
        "## Folded into the state tables",
        "",
        "| entity | batches | changes | keys | new | newer | only told columns | moved | snapshot | seconds |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|---:|",
    ]
    lines += [
        f"| {one.entity} | {len(one.batch_ids)} | {one.change_count} | {one.key_count} | {one.new_count}"
        f" | {one.newer_count} | {one.told_count} | {one.moved_count} | `{one.snapshot_id or 'nothing newer'}`"
        f" | {sum(one.seconds.values()):.1f} |"
        for one in result.done
    ]
    if result.failed:
        lines += ["", "### Failed", ""]
        lines += [f"- {one.entity}: **{one.error['kind']}** {one.error['message']}" for one in result.failed]
    return "\n".join(lines)


def decisions_markdown(decisions: Sequence[FoldDecision]) -> str:
    """Return why each entity is folded or not."""
    lines = [f"- **{one.entity}**: {one.reason}" for one in decisions]
    return "\n".join(["## What waits for a fold", "", *(lines or ["Nothing."])])


def compaction_markdown(report: CompactionReport) -> str:
    """Return what was decided on every table's partitions, what a rewrite brought, and what went wrong."""
    lines = [
        f"## Compaction `{report.run_id}`",
        "",
        "| table | partitions | compacted | skipped | files less | bytes rewritten |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for one in report.plans:
        less = sum(result.removed_files for result in report.results if result.table == one.plan.table)
        chosen = len(one.plan.chosen)
        lines.append(
            f"| {one.plan.table} | {len(one.plan.decisions)} | {chosen} | {len(one.plan.decisions) - chosen} | {less}"
            f" | {one.plan.rewrite_bytes} |"
        )
    for result in report.bad:
        lines += ["", f"**{result.table}: {result.outcome.value}.** {result.reason} Evidence: `{result.evidence_tag}`"]
    for one in report.plans:
        lines += _decisions(one)
    return "\n".join(lines)


def _decisions(one: TablePlan) -> list[str]:
    """List a table's decisions, what is compacted first."""
    ordered = sorted(one.plan.decisions, key=lambda decision: (decision.decision is Decision.SKIP, decision.day))
    if not ordered:
        return []
    more = len(ordered) - LISTED_AT_MOST
    shown = [f"- {decision.told}" for decision in ordered[:LISTED_AT_MOST]]
    return ["", f"### {one.plan.table}", "", *shown, *([f"- and {more} more"] if more > 0 else [])]
