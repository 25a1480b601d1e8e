"""Asks the stores in order and tells the story: the entry points of `slackwater explain`. Only reads.

First the rows (shop, raw, ClickHouse, what only the lake has), then the ledger by the ids they name, then what each
store says of the work. A store that does not answer costs its own steps; see `Stores`.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import NoReturn

from slackwater.clients.postgres import Connection
from slackwater.clients.snowflake import Scalar
from slackwater.errors import NotKnown
from slackwater.explain import read_ledger as ledger
from slackwater.explain.assemble import KeyFacts, key_story
from slackwater.explain.assemble_day import DayFacts, day_story
from slackwater.explain.assemble_files import ObjectStory, batch_story, object_story
from slackwater.explain.facts import MartDay, ObjectFacts
from slackwater.explain.model import Story
from slackwater.explain.stores import Stores
from slackwater.explain.trails import read_refresh_trails, read_trails
from slackwater.explain.versions import Version, batch_of, versions_of
from slackwater.explain.work_facts import BatchTrail
from slackwater.ledger.batches import unloaded_counts
from slackwater.naming import ENTITIES

_ID = re.compile(r"[0-9a-f]{4,32}")
"""An id or a beginning of one."""

_ADDRESS = re.compile(r"s3://(?P<bucket>[^/]+)/(?P<key>.+)")


def explain_key(stores: Stores, entity: str, key: int) -> Story:
    """Tell the way of every version of a key, newest first.

    Raises:
        NotKnown: No store that answered has it.
    """
    from slackwater.explain.read_shop import shop_versions
    from slackwater.explain.read_speed import speed_versions
    from slackwater.explain.read_warehouse import raw_versions

    shop = stores.shop(lambda found: shop_versions(found, entity, key))
    raw = stores.warehouse(lambda found: raw_versions(found, entity, key)) or ()
    speed = stores.speed(lambda found: speed_versions(found, entity, key)) or ()
    unloaded = stores.ledger(lambda found: ledger.landed_batches(found, entity)) or ()
    lake = stores.lake_versions(entity, key, unloaded) or () if unloaded else ()
    versions = versions_of(raw=raw, lake=lake, speed=speed, shop=shop or ())
    if not versions:
        _not_known(stores, f"{entity} {key}")
    objects = stores.ledger(lambda found: _objects_of_versions(found, entity, versions)) or {}
    carried = [batch_of(version, objects) for version in versions]
    batch_ids = list(dict.fromkeys(batch_id for batch_id in carried if batch_id))
    day = versions[0].event_at.date() if versions[0].event_at else None
    trails = read_trails(stores, batch_ids, with_files=batch_ids[:1], day=day)
    return key_story(
        KeyFacts(
            entity=entity,
            key=key,
            versions=versions,
            objects=objects,
            trails=trails,
            days=_days(stores, entity, column="id", values=[key]) if raw else (),
            has_history=shop is not None,
            quarantined=(stores.ledger(ledger.quarantined_counts) or {}).get(entity, 0),
            silent=stores.silent,
        )
    )


def explain_object(stores: Stores, name: str) -> Story:
    """Tell what became of an object, by its key or an unambiguous beginning of its id; forwards to the publications.

    Raises:
        NotKnown: The ledger has no such object, or several begin so.
    """
    found = _find_object(stores, name)
    batch_ids = list(dict.fromkeys(batch_id for item in found for batch_id in item.batch_ids))
    trails = read_trails(stores, batch_ids)
    items = [_object_facts(stores, item) for item in found]
    return object_story(f"object {name}", items, trails, silent=stores.silent)


def explain_batch(stores: Stores, beginning: str) -> Story:
    """Tell what became of a batch, by an unambiguous beginning of its id.

    Raises:
        NotKnown: The ledger has no such batch, or several begin so.
    """
    from slackwater.explain.read_speed import speed_part
    from slackwater.explain.read_warehouse import raw_part

    ids = stores.ledger(lambda found: ledger.batches_beginning(found, beginning)) or ()
    batch_id = _the_one(stores, ids, asked=f"batch {beginning}")
    objects = stores.ledger(lambda found: ledger.objects_of_batch(found, batch_id)) or ()
    trail = read_trails(stores, [batch_id])[batch_id]
    entity = trail.batch.entity
    kept = [item for item in objects if batch_id not in item.skipped_in]
    return batch_story(
        trail,
        objects,
        raw=stores.warehouse(lambda found: raw_part(found, entity, column="batch_id", value=batch_id)),
        days=_days(stores, entity, column="batch_id", values=[batch_id]),
        speed=stores.speed(lambda found: speed_part(found, entity, kept)),
        silent=stores.silent,
    )


def explain_day(stores: Stores, day: date) -> Story:
    """Tell where the published row of a day comes from.

    Raises:
        NotKnown: Nothing is published of the day, and nothing that is loaded reaches it.
    """
    from slackwater.explain.read_speed import speed_day
    from slackwater.explain.read_warehouse import day_parts, day_row, publication_refresh

    row = stores.warehouse(lambda found: day_row(found, day))
    parts = stores.warehouse(lambda found: day_parts(found, day)) or ()
    waiting = _waiting_on(stores, day)
    if row is None and not parts and not waiting:
        _not_known(stores, f"the day {day}")
    batch_ids = list(dict.fromkeys(part.batch_id for part in parts))
    trails = read_trails(stores, batch_ids)
    written_by = stores.warehouse(lambda found: publication_refresh(found, row.publication_id) if row else None)
    refreshes = stores.ledger(lambda found: ledger.refreshes_since(found, written_by) if written_by else ()) or ()
    objects = stores.ledger(lambda found: ledger.objects_by_id(found, [part.object_id for part in parts])) or {}
    return day_story(
        DayFacts(
            day=day,
            row=row,
            parts=parts,
            trails=trails,
            refreshes=read_refresh_trails(stores, refreshes),
            waiting=waiting,
            first_seen={object_id: item.first_seen_at for object_id, item in objects.items()},
            unloaded=stores.ledger(unloaded_counts) or {},
            quarantined=stores.ledger(ledger.quarantined_counts) or {},
            speed=stores.speed(lambda found: speed_day(found, day)),
            silent=stores.silent,
        )
    )


def _find_object(stores: Stores, name: str) -> tuple[ObjectFacts, ...]:
    """Return the object of an id, or every version of a key, newest first."""
    if _ID.fullmatch(name):
        found = stores.ledger(lambda connection: ledger.objects_beginning(connection, name)) or ()
        _the_one(stores, [item.object_id for item in found], asked=f"object {name}")
        return found
    address = _ADDRESS.fullmatch(name)
    bucket, key = (address["bucket"], address["key"]) if address else (stores.bucket, name)
    found = stores.ledger(lambda connection: ledger.objects_of_key(connection, bucket, key)) or ()
    if not found:
        _not_known(stores, f"an object with the key {key} in bucket {bucket}")
    return found


def _object_facts(stores: Stores, item: ObjectFacts) -> ObjectStory:
    """Ask the warehouse and ClickHouse what they hold of an object."""
    from slackwater.explain.read_speed import speed_part
    from slackwater.explain.read_warehouse import raw_part

    entity = item.entity
    if entity not in ENTITIES:
        return ObjectStory(item)
    return ObjectStory(
        item,
        raw=stores.warehouse(lambda found: raw_part(found, entity, column="_object_id", value=item.object_id)),
        days=_days(stores, entity, column="_object_id", values=[item.object_id]),
        speed=stores.speed(lambda found: speed_part(found, entity, [item])),
    )


def _objects_of_versions(connection: Connection, entity: str, versions: Sequence[Version]) -> dict[str, ObjectFacts]:
    """Return the objects the versions' rows name; for a row of an unknown one, which holds its position."""
    rows = [version.change for version in versions if version.change is not None]
    found = ledger.objects_by_id(connection, list({row.object_id for row in rows}))
    for row in rows:
        if row.object_id not in found:
            holding = ledger.objects_at(connection, entity, row.source_partition, row.position)
            if holding:
                found[row.object_id] = holding[0]
    return found


def _days(stores: Stores, entity: str, *, column: str, values: Sequence[Scalar]) -> tuple[MartDay, ...]:
    from slackwater.explain.read_warehouse import touched_days

    return stores.warehouse(lambda found: touched_days(found, entity, column=column, values=values)) or ()


def _waiting_on(stores: Stores, day: date) -> tuple[BatchTrail, ...]:
    """Return the loaded, unpublished batches that reach a day."""
    ids = stores.ledger(ledger.unpublished_batches) or ()
    trails: Mapping[str, BatchTrail] = read_trails(stores, ids) if ids else {}
    reaching = []
    for entity in ENTITIES:
        mine = [batch_id for batch_id, trail in trails.items() if trail.batch.entity == entity]
        for batch_id in mine:
            days = _days(stores, entity, column="batch_id", values=[batch_id])
            if any(touched.day == day for touched in days):
                reaching.append(trails[batch_id])
    return tuple(reaching)


def _the_one(stores: Stores, ids: Sequence[str], *, asked: str) -> str:
    if not ids:
        _not_known(stores, asked)
    if len(ids) > 1:
        raise NotKnown(f"several ids begin like {asked}: {', '.join(ids)} ...; write more of it")
    return ids[0]


def _not_known(stores: Stores, asked: str) -> NoReturn:
    silent = "".join(f"; {store.value} did not answer: {said}" for store, said in stores.silent.items())
    raise NotKnown(f"no store knows {asked}{silent}")
