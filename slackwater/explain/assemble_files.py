"""Stories about an object or a batch, forwards to the publications and the rows they reach. Pure.

One chapter per object version (newest first) or batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slackwater.explain.assemble import STAGE_WORDS, own_publication, sentence_of, set_aside_words, silent_notes
from slackwater.explain.facts import MartDay, ObjectFacts, RawPart, Silent, SpeedPart
from slackwater.explain.model import Chapter, Mark, Step, StepKind, Story
from slackwater.explain.steps import mart_step, object_step, speed_part_step
from slackwater.explain.versions import Stage, carrying_batch, stage_of_batch
from slackwater.explain.work_facts import BatchTrail
from slackwater.explain.work_steps import batch_steps
from slackwater.naming import raw_table


@dataclass(frozen=True)
class ObjectStory:
    """Everything the stores say of one object version."""

    found: ObjectFacts
    raw: RawPart | None = None
    days: Sequence[MartDay] = ()
    speed: SpeedPart | None = None


def object_story(
    asked: str, items: Sequence[ObjectStory], trails: Mapping[str, BatchTrail], *, silent: Silent
) -> Story:
    """Return the story of a landing key or object id.

    Args:
        asked: What was asked for.
        items: The object versions, newest first, at least one.
        trails: Every batch that names one of them.
        silent: Stores that did not answer.
    """
    chapters = tuple(
        Chapter(f"Object {item.found.object_id} ({item.found.state})", _object_steps(item, trails, silent=silent))
        for item in items
    )
    stage = _object_stage(items[0].found, trails)
    others = f" (the newest of {len(items)} versions of its key)" if len(items) > 1 else ""
    missing = [f"The file is {items[0].found.state}: {set_aside_words(items[0].found)}"] * (stage is Stage.STOPPED)
    if stage is not Stage.PUBLISHED and not missing:
        missing.append(f"Its rows are not published: {STAGE_WORDS[stage]}.")
    return Story(asked, f"{sentence_of(STAGE_WORDS[stage])}{others}.", chapters, tuple(missing), silent_notes(silent))


def batch_story(
    trail: BatchTrail,
    objects: Sequence[ObjectFacts],
    *,
    raw: RawPart | None,
    days: Sequence[MartDay],
    speed: SpeedPart | None,
    silent: Silent,
) -> Story:
    """Return the story of a batch: its objects, then what was done with it."""
    batch = trail.batch
    steps = [object_step(item) for item in objects]
    work = list(batch_steps(trail, silent=silent, named=[item.key for item in objects]))
    stage = stage_of_batch(trail)
    steps += [*work, *_after_work(trail, batch.entity, raw=raw, days=days, stage=stage, silent=silent)]
    expected = batch.row_count if batch.state != "sealed" else None
    steps.append(speed_part_step(batch.entity, speed, expected=expected, named=batch.batch_id, silent=silent))
    is_published = stage is Stage.PUBLISHED
    missing = () if is_published else (f"The batch is not published: {STAGE_WORDS[stage]}.",)
    answer = (
        f"{sentence_of(STAGE_WORDS[stage])}: {batch.object_count} objects of {batch.entity}, {batch.row_count} rows."
    )
    return Story(
        f"batch {batch.batch_id}",
        answer,
        (Chapter(f"Batch {batch.batch_id}", tuple(steps)),),
        missing,
        silent_notes(silent),
    )


def _object_steps(item: ObjectStory, trails: Mapping[str, BatchTrail], *, silent: Silent) -> tuple[Step, ...]:
    found = item.found
    steps = [object_step(found)]
    for batch_id in found.batch_ids:
        trail = trails.get(batch_id)
        if trail is None:
            continue
        if batch_id in found.skipped_in:
            what = "a batch went on without it"
            where = f"the ledger, {found.entity}"
            steps.append(Step(StepKind.BATCH, Mark.FAILED, what, where, batch_id, trail.batch.landed_at))
            continue
        steps += batch_steps(trail, silent=silent, named=[found.key])
        stage = stage_of_batch(trail)
        steps += _after_work(trail, found.entity or "", raw=item.raw, days=item.days, stage=stage, silent=silent)
    if found.entity is not None and found.first_position is not None:
        expected, named = found.row_count, f"{found.source_partition}@{found.first_position}-{found.last_position}"
        steps.append(speed_part_step(found.entity, item.speed, expected=expected, named=named, silent=silent))
    return tuple(steps)


def _after_work(
    trail: BatchTrail,
    entity: str,
    *,
    raw: RawPart | None,
    days: Sequence[MartDay],
    stage: Stage,
    silent: Silent,
) -> list[Step]:
    """Say what an object's or batch's rows are in raw, and which mart rows they reach; nothing before the load."""
    if stage < Stage.LOADED:
        return []
    steps: list[Step] = []
    if raw is not None:
        what = f"{raw.rows:,} changes, LSN {raw.first_lsn} to {raw.last_lsn}"
        where = f"the warehouse, {raw_table(entity)}"
        detail = (("first event", raw.first_event_at), ("last event", raw.last_event_at))
        loaded_at = trail.load.loaded_at if trail.load else None
        steps.append(Step(StepKind.CHANGE, Mark.DONE, what, where, None, loaded_at, detail))
    steps.append(mart_step(days, own_publication(trail), is_published=stage is Stage.PUBLISHED, silent=silent))
    return steps


def _object_stage(found: ObjectFacts, trails: Mapping[str, BatchTrail]) -> Stage:
    if found.state == "seen":
        return Stage.SEEN
    trail = trails.get(carrying_batch(found) or "")
    return stage_of_batch(trail) if trail is not None and found.state == "batched" else Stage.STOPPED
