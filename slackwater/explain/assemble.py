"""Stories about a key, put together from facts. Pure.

One chapter per version, newest first; the answer and what is missing come from the newest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from slackwater.explain.facts import MartDay, ObjectFacts, Silent, Store
from slackwater.explain.model import Chapter, Step, Story
from slackwater.explain.steps import (
    OPERATIONS,
    change_step,
    mart_step,
    object_step,
    shop_step,
    speed_step,
)
from slackwater.explain.versions import Stage, Version, batch_of, stage_of
from slackwater.explain.work_facts import BatchTrail, PublicationFacts
from slackwater.explain.work_steps import batch_steps

STAGE_WORDS: Mapping[Stage, str] = {
    Stage.UNKNOWN: "how far it came is not known, because the ledger did not answer",
    Stage.SHOP_ONLY: "only the shop has it; no file brought it yet",
    Stage.UNSEEN: "ClickHouse has it; the file that holds it was never seen in the landing bucket",
    Stage.STOPPED: "its file was set aside; readers do not see it",
    Stage.SEEN: "its file was seen and waits for a batch",
    Stage.SEALED: "its batch is sealed and waits for its append to the lake",
    Stage.LANDED: "it is in the lake and waits for its load into the warehouse",
    Stage.LOADED: "loaded, waits for a refresh",
    Stage.REJECTED: "loaded; the refresh that held it was rejected, it waits for the next one",
    Stage.PUBLISHED: "published",
}


@dataclass(frozen=True)
class KeyFacts:
    """Everything the stores say of one key.

    Attributes:
        versions: Newest first, at least one.
        objects: By id; those of the rows, and those that hold a position no known object of a row holds.
        trails: By batch id.
        days: The days of the daily mart it reaches, oldest first.
        has_history: Whether the shop keeps this entity's history.
        quarantined: How many objects of the entity are in quarantine.
    """

    entity: str
    key: int
    versions: Sequence[Version]
    objects: Mapping[str, ObjectFacts]
    trails: Mapping[str, BatchTrail]
    days: Sequence[MartDay] = ()
    has_history: bool = False
    quarantined: int = 0
    silent: Silent = field(default_factory=dict)


def key_story(facts: KeyFacts) -> Story:
    """Return the story of a key."""
    is_known = Store.LEDGER not in facts.silent
    stages = [
        stage_of(version, objects=facts.objects, trails=facts.trails, is_ledger_known=is_known)
        for version in facts.versions
    ]
    total = len(facts.versions)
    chapters = []
    for index, (version, stage) in enumerate(zip(facts.versions, stages, strict=True)):
        before = facts.versions[index + 1] if index + 1 < total else None
        title = _version_title(version, number=total - index, total=total, stage=stage)
        chapters.append(Chapter(title, _version_steps(version, before, facts=facts, stage=stage)))
    return Story(
        subject=f"{facts.entity} {facts.key}",
        answer=_key_answer(facts, stages),
        chapters=tuple(chapters),
        missing=_key_missing(facts, stages),
        notes=silent_notes(facts.silent),
    )


def silent_notes(silent: Silent) -> tuple[str, ...]:
    """Return one sentence per store that did not answer."""
    return tuple(f"{sentence_of(store.value)} did not answer: {said}" for store, said in silent.items())


def _version_steps(version: Version, before: Version | None, *, facts: KeyFacts, stage: Stage) -> tuple[Step, ...]:
    silent, row = facts.silent, version.change
    steps = [
        shop_step(version, entity=facts.entity, is_kept=facts.has_history, silent=silent),
        change_step(version, before=before),
    ]
    if row is None:
        return tuple(steps)
    found = facts.objects.get(row.object_id)
    steps.append(object_step(found, row, also_in=version.also_in))
    trail = facts.trails.get(batch_of(version, facts.objects) or "")
    if trail is not None:
        named = [str(facts.key), *([found.key] if found else [])]
        steps += batch_steps(trail, silent=silent, named=named)
        if stage >= Stage.LOADED:
            steps.append(
                mart_step(facts.days, own_publication(trail), is_published=stage is Stage.PUBLISHED, silent=silent)
            )
    steps.append(speed_step(facts.entity, version.speed, silent=silent))
    return tuple(steps)


def own_publication(trail: BatchTrail) -> PublicationFacts | None:
    """Return the publication that brought a batch to the marts, as the warehouse knows it."""
    return trail.published_by.publication if trail.published_by else None


def _version_title(version: Version, *, number: int, total: int, stage: Stage) -> str:
    op = version.change.op if version.change else version.shop.operation if version.shop else "?"
    newest = ", the newest" if number == total else ""
    at = f" of {_time(version.event_at)}" if version.event_at else ""
    return f"Version {number} of {total}{newest}: {OPERATIONS[op]}{at}; {STAGE_WORDS[stage]}"


def _key_answer(facts: KeyFacts, stages: Sequence[Stage]) -> str:
    total = len(stages)
    newest, stage = facts.versions[0], stages[0]
    gone = " It is a delete." if newest.change is not None and newest.change.op == "d" else ""
    if stage is Stage.PUBLISHED:
        return f"Published: the newest of {total} versions is what readers see.{gone}"
    shown = next((index for index, found in enumerate(stages) if found is Stage.PUBLISHED), None)
    readers = "readers see none of them" if shown is None else f"readers see version {total - shown}"
    return f"Version {total} of {total}: {STAGE_WORDS[stage]}; {readers}.{gone}"


def _key_missing(facts: KeyFacts, stages: Sequence[Stage]) -> tuple[str, ...]:
    total = len(stages)
    missing = []
    for index, (version, stage) in enumerate(zip(facts.versions, stages, strict=True)):
        if stage is Stage.PUBLISHED:
            continue
        found = facts.objects.get(version.change.object_id) if version.change else None
        why = set_aside_words(found) if stage is Stage.STOPPED and found else f"{STAGE_WORDS[stage]}."
        missing.append(f"Version {total - index} is not published: {why}")
    if facts.quarantined:
        files = "1 file" if facts.quarantined == 1 else f"{facts.quarantined} files"
        missing.append(
            f"{files} of {facts.entity} in quarantine: changes in them are not seen here (slackwater quarantine list)."
        )
    return tuple(missing)


def set_aside_words(found: ObjectFacts) -> str:
    """Say why an object was set aside and what to do."""
    said = f"{found.reason or found.state}: {found.message}" if found.message else found.reason or found.state
    if found.overwritten_by is not None:
        return f"file {found.key} is {found.state} ({said}); object {found.overwritten_by} has its key now."
    advice = "slackwater quarantine retry OBJECT once the cause is mended" if found.state == "quarantined" else ""
    return f"file {found.key} is {found.state} ({said}). {advice}".strip()


def sentence_of(text: str) -> str:
    """Return a text with a capital letter first."""
    return text[:1].upper() + text[1:]


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"
