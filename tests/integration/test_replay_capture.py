"""The replay beside the real things: pgoutput as the oracle of its files, S3 and the speed layer as its targets."""

import gzip
import json
from dataclasses import dataclass, field
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sample_year import planned_year

from slackwater.clients.clickhouse import SpeedStore
from slackwater.clients.postgres import connect
from slackwater.clients.s3 import ObjectStore
from slackwater.entities.casting import cast_landing_table
from slackwater.entities.model import load_entity
from slackwater.naming import ENTITIES
from slackwater.replay.files import FileForm
from slackwater.replay.run import PlannedYear, replay
from slackwater.replay.source_schema import PUBLICATION
from slackwater.replay.targets import Landing
from slackwater.testing.pgoutput import DecodedChange, decode

pytestmark = pytest.mark.integration

SLOT_DAY = date(2010, 12, 10)  # inserts, updates, deletes and a cancellation; some orders change twice


@dataclass
class Folder:
    objects: dict[str, bytes] = field(default_factory=dict)

    def put(self, bucket: str, key: str, data: bytes) -> str:
        self.objects[key] = data
        return "etag"


@pytest.fixture(scope="module")
def year() -> PlannedYear:
    return planned_year()


def read(key: str, data: bytes) -> pa.Table:
    if key.endswith(".parquet"):
        return pq.read_table(pa.BufferReader(data))
    return pa.Table.from_pylist([json.loads(line) for line in gzip.decompress(data).splitlines()])


def captured_rows(entity: str, changes: list[DecodedChange]) -> pa.Table:
    """Return decoded changes as a landing table would hold them: PostgreSQL's text, made the JSON form of each type."""
    declared = load_entity(entity)
    integers = {c.name for c in declared.columns if c.type.value.startswith("int")}
    rows = []
    for change in changes:
        values = {name: int(str(v)) if name in integers and v is not None else v for name, v in change.values.items()}
        capture = {"__op": change.op, "__ts_ms": 0, "__source_ts_ms": 0, "__source_lsn": 0}
        rows.append(values | capture)
    return cast_landing_table(declared, pa.Table.from_pylist(rows))


@pytest.mark.parametrize("form", list(FileForm))
def test_a_slices_files_say_what_pgoutput_says_of_the_same_writes(sandbox, year: PlannedYear, form: FileForm) -> None:
    dsn = sandbox.shop.dsn
    replay(dsn, Landing(Folder(), "landing"), feed=None, year=year, to_date=SLOT_DAY - timedelta(days=1))
    slot = f"{sandbox.name}_capture"
    with connect(dsn, autocommit=True) as connection:
        connection.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,))
        try:
            folder = Folder()
            replay(dsn, Landing(folder, "landing", form=form), feed=None, year=year, to_date=SLOT_DAY)
            messages = connection.execute(
                "select data from pg_logical_slot_get_binary_changes(%s, null, null, 'proto_version', '1',"
                " 'publication_names', %s)",
                (slot, PUBLICATION),
            ).fetchall()
        finally:
            connection.execute("select pg_drop_replication_slot(%s)", (slot,))
    decoded = list(decode(bytes(message) for (message,) in messages))
    operations = set()
    for entity in ENTITIES:
        declared = load_entity(entity)
        columns = [*declared.column_names, "__op"]
        parts = [cast_landing_table(declared, read(k, d)) for k, d in folder.objects.items() if f"cdc/{entity}/" in k]
        sent = pa.concat_tables(parts).select(columns).to_pylist()
        captured = captured_rows(entity, [c for c in decoded if c.table == entity]).select(columns).to_pylist()
        assert len(captured) == len(sent) > 0
        # Per key and in order: a stable sort by key keeps each key's order on both sides.
        assert sorted(sent, key=lambda row: row["id"]) == sorted(captured, key=lambda row: row["id"])
        operations |= {(entity, row["__op"]) for row in sent}
    assert operations >= {
        (e, op)
        for e, ops in {"users": "c", "products": "cu", "orders": "cu", "order_items": "cud"}.items()
        for op in ops
    }


def test_files_reach_s3_and_rows_the_speed_layer_once(sandbox, year: PlannedYear) -> None:
    store = ObjectStore(sandbox.s3)
    landing = Landing(store, sandbox.landing.bucket, prefix=sandbox.landing.prefix, epoch=sandbox.landing.epoch)
    with SpeedStore(sandbox.clickhouse) as speed:
        first = replay(sandbox.shop.dsn, landing, feed=speed, year=year, to_date=date(2010, 12, 2))
        listed = {item.key: item.etag for item in store.list(landing.bucket)}
        assert len(listed) == first.file_count == 8
        again = replay(
            sandbox.shop.dsn, landing, feed=speed, year=year, from_date=date(2010, 12, 1), to_date=date(2010, 12, 2)
        )
        assert {item.key: item.etag for item in store.list(landing.bucket)} == listed
        assert (again.file_count, again.fed_rows) == (8, 0)
        for entity in ENTITIES:
            counted = speed.query(
                f"select count() as n, uniqExact(_position) as u, max(_position) as m from {entity}_changes"
            )
            (row,) = counted.to_pylist()
            expected = sum(count for (name, _), count in first.sent_rows.items() if name == entity)
            assert (row["n"], row["u"], row["m"]) == (expected, expected, expected - 1)
