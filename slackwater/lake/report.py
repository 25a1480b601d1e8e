"""What was done to the lake, as Markdown for the artifacts of a run."""

from collections.abc import Sequence

from slackwater.lake.fold import FoldDecision, FoldJobResult


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
