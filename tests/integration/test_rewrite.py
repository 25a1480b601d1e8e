"""Rewrites of data files with real Spark: no answer changes, whatever the rewrite does, whoever writes meanwhile."""

import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from pyiceberg.expressions import EqualTo

from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_contents import count_batch_rows, main_history
from slackwater.clients.iceberg_partition_files import name_unreadable, table_files, unreadable_files
from slackwater.clients.iceberg_partitions import rows_by_date
from slackwater.clients.s3 import ObjectStore
from slackwater.entities.model import arrow_schema, changelog_schema, load_entity, state_columns
from slackwater.errors import CommitConflict, ConfigurationError, RewriteRejected, StoreRejected
from slackwater.lake.fold import FoldRequest
from slackwater.lake.policy import TableKind
from slackwater.lake.rewrite import BRANCH, Outcome, RewriteRequest, require_good
from slackwater.naming import changelog_table, state_table
from spark import rewriting, verified_rewrite, versions
from spark.comparison import NOTHING_SEEN, Version
from spark.jobs import fold_changes, rewrite_files
from spark.rewriting import rewrite_days, rewrite_statement
from spark.tables import current_snapshot_id, folded_batches
from spark.versions import create_branch, drop_branch, named_versions

pytestmark = [pytest.mark.integration, pytest.mark.spark]

ENTITY = load_entity("orders")
STATE, CHANGES = state_table("orders"), changelog_table("orders")
MONDAY, TUESDAY, WEDNESDAY = (date(2010, 12, day) for day in (6, 7, 8))
FILES, KEYS_PER_FILE = 6, 5
DELETED_KEY, UPDATED_KEY = 1, 2
FOLDED = "batch-folded"


def order(key, day, *, op="c", lsn=10, batch="b"):
    """One change of an order, as both tables hold it; a delete has its key alone."""
    at = datetime.combine(day, time(9))
    of_entity = {"id": key}
    if op != "d":
        of_entity |= {"user_id": None, "status": f"s{lsn}", "total_amount": Decimal("1.25"), "shipping_address": "x",
                      "created_at": at, "updated_at": at}  # fmt: skip
    return of_entity | {
        "__op": op, "__ts_ms": at, "__source_ts_ms": at, "__source_lsn": lsn, "_batch_id": batch, "_file_name": "k",
        "_object_id": f"o-{batch}", "_epoch": 0, "_source_partition": "p", "_position": key, "date": day,
    }  # fmt: skip


def keys_of(number, day):
    first = (day.day * 100 + number) * KEYS_PER_FILE
    return range(first, first + KEYS_PER_FILE)


class Tables:
    """The two tables of one entity with small files on three days, and a way to read them."""

    def __init__(self, session, lake):
        self.session, self.lake = session, lake
        self._fill_changelog()
        self._fill_state()
        self.built = {table: current_snapshot_id(session, table) for table in (STATE, CHANGES)}

    def append(self, batch, days, *, number=0):
        rows = [order(key, day, batch=batch) for day in days for key in keys_of(number, day)]
        table = pa.Table.from_pylist(rows, schema=changelog_schema(ENTITY))
        return self.lake.append_batch_rows("orders", table, batch_id=batch)

    def rows(self, table):
        return self.lake.load_table(table).scan().to_arrow().to_pylist()

    def content(self, table):
        return sorted(map(repr, self.rows(table)))

    def files(self, table):
        found = table_files(self.lake, table).partitions
        return {one.day: (len(one.file_bytes), one.delete_count) for one in found}

    def sizes(self, table, day):
        found = self.lake.load_table(table).scan(row_filter=EqualTo("date", day)).plan_files()
        return {task.file.file_path: task.file.file_size_in_bytes for task in found}

    def reset(self):
        for table, snapshot_id in self.built.items():
            self.session.sql(f"call lake.system.set_current_snapshot('{table}', {snapshot_id})")
            for name, kind in [(row.name, row.type) for row in self.session.table(f"{table}.refs").collect()]:
                if name != "main":
                    self.session.sql(f"alter table {table} drop {kind} `{name}`")

    def _fill_changelog(self):
        for number in range(FILES):
            self.append(f"batch-{number}", (MONDAY, TUESDAY), number=number)
        self.append("batch-lone", (WEDNESDAY,))

    def _fill_state(self):
        schema = arrow_schema(ENTITY.model_copy(update={"columns": ()}), state_columns(ENTITY))
        for number in range(FILES):
            rows = [order(key, day) for day in (MONDAY, TUESDAY) for key in keys_of(number, day)]
            rows += [order(key, MONDAY) for key in (DELETED_KEY, UPDATED_KEY) if number == 0]
            held = pa.Table.from_pylist([{**row, "_shipping_address_order": ""} for row in rows], schema=schema)
            self.lake.load_table(STATE).append(held)
        changes = [order(DELETED_KEY, MONDAY, op="d", lsn=20), order(UPDATED_KEY, MONDAY, op="u", lsn=20)]
        table = pa.Table.from_pylist([{**row, "_batch_id": FOLDED} for row in changes], schema=changelog_schema(ENTITY))
        self.lake.append_batch_rows("orders", table, batch_id=FOLDED)
        request = FoldRequest(entity="orders", batch_ids=(FOLDED,), dates=(MONDAY,), row_count=2)
        fold_changes.run(self.session, request)


@pytest.fixture(scope="module")
def built(module_sandbox):
    session = module_sandbox.spark()
    with closing(Lake(module_sandbox.lake, module_sandbox.s3)) as lake:
        yield Tables(session, lake)


@pytest.fixture
def tables(built):
    """Both tables as they were filled, without branches and tags."""
    built.reset()
    return built


def request(kind, *, rewrite_id="r1", days=(MONDAY, TUESDAY), **others):
    given = {"target_file_bytes": 2**20, "min_inputs": 2, **others}
    return RewriteRequest(rewrite_id=rewrite_id, kind=kind, entity="orders", days=days, **given)


def state_request(**others):
    return request(TableKind.STATE, is_sorted_by_key=True, **others)


def changelog_request(**others):
    return request(TableKind.CHANGELOG, **others)


def refs(tables, table):
    return set(named_versions(tables.session, table, prefix="")) - {"main"}


def then(*statements):
    """A faulty rewrite: the real one, then statements on the table or branch it wrote to."""

    def rewrite(session, request, start):
        seen = rewrite_days(session, request, start)
        for statement in statements:
            session.sql(statement.format(t=written(request)))
        return seen

    return rewrite


def only(statement):
    """A rewrite that does nothing but harm: costs less than one that also rewrites."""

    def rewrite(session, request, start):
        session.sql(statement.format(t=written(request)))
        return NOTHING_SEEN

    return rewrite


def written(request):
    return f"{request.table}.branch_{BRANCH}"


def a_start(tables, table):
    """Where a rewrite begins that goes through Iceberg's procedure alone."""
    return Version(current_snapshot_id(tables.session, table), {})


DROPS = then("delete from {t} where id = 3003")
DOUBLES = then("insert into {t} select * from {t} where id = 3003")
CHANGES_A_VALUE = only("update {t} set user_id = 7 where id = 3003")
SWAPS_NULLS = only("update {t} set status = null, user_id = 0 where id = 3003")
LOSES_THE_TOMBSTONE = only(f"delete from {{t}} where id = {DELETED_KEY}")
TOUCHES_ANOTHER_DAY = only(f"delete from {{t}} where id = {keys_of(0, TUESDAY)[0]}")


def revives(session, request, start):
    """Brings back the row a delete file hides, as a rewrite does that does not apply it."""
    first = session.sql(f"select min_by(snapshot_id, committed_at) from {STATE}.snapshots").first()[0]
    seen = rewrite_days(session, request, start)
    session.sql(f"insert into {written(request)} select * from {STATE} version as of {first} where id = {DELETED_KEY}")
    return seen


def test_a_state_table_has_fewer_files_no_deletes_and_the_same_rows(tables):
    before = tables.content(STATE)
    assert tables.files(STATE)[MONDAY][1] > 0
    result = rewrite_files.run(tables.session, state_request())
    assert (result.outcome, tables.files(STATE)) == (Outcome.REWRITTEN, {MONDAY: (1, 0), TUESDAY: (1, 0)})
    assert tables.content(STATE) == before
    assert {one.day: (one.files_after, one.deletes_after) for one in result.counts} == tables.files(STATE)
    assert (refs(tables, STATE), result.snapshot_id) == (set(), current_snapshot_id(tables.session, STATE))


@pytest.mark.parametrize("kind", list(TableKind))
def test_small_files_are_read_once_for_the_rewrite_and_its_check(tables, module_sandbox, kind):
    """After the rewrite has read them they may be gone: the check knows what they held."""
    table = kind.table("orders")
    before, store = tables.content(table), ObjectStore(module_sandbox.s3)
    old = [task.file.file_path.removeprefix("s3://") for task in tables.lake.load_table(table).scan().plan_files()]
    kept = {address: store.get(*address.split("/", 1)) for address in old}

    def rewrite(session, request, start):
        seen = rewrite_days(session, request, start)
        for address in old:
            store.put(*address.split("/", 1), b"gone")
        return seen

    try:
        result = rewrite_files.run(tables.session, request(kind, days=(TUESDAY,)), rewrite=rewrite)
    finally:
        for address, data in kept.items():
            store.put(*address.split("/", 1), data)
    assert (result.outcome, tables.content(table)) == (Outcome.REWRITTEN, before)


@pytest.mark.parametrize("kind", list(TableKind))
def test_of_a_great_day_only_the_small_files_are_rewritten_and_checked(tables, kind):
    table, small = kind.table("orders"), set(tables.sizes(kind.table("orders"), TUESDAY))
    one = tables.session.table(table).where(f"date = date '{TUESDAY}'").limit(1).drop("shipping_address")
    many = one.crossJoin(tables.session.range(3_000).selectExpr("sha2(cast(id as string), 256) as shipping_address"))
    many.coalesce(1).writeTo(table).append()
    [(great, size)] = [item for item in tables.sizes(table, TUESDAY).items() if item[0] not in small]
    before, target = tables.content(table), int(size / 1.7)
    assert sum(tables.sizes(table, TUESDAY).values()) > 2 * target
    result = rewrite_files.run(tables.session, request(kind, days=(TUESDAY,), target_file_bytes=target))
    assert (result.outcome, tables.content(table)) == (Outcome.REWRITTEN, before)
    after = set(tables.sizes(table, TUESDAY))
    assert (great in after, len(after), small & after) == (True, 2, set())


def test_a_column_that_was_added_since_is_no_difference(tables):
    tables.session.sql(f"alter table {CHANGES} add column added string")
    try:
        result = rewrite_files.run(tables.session, changelog_request())
        assert (result.outcome, tables.files(CHANGES)[MONDAY]) == (Outcome.REWRITTEN, (1, 0))
        assert {row["added"] for row in tables.rows(CHANGES)} == {None}
    finally:
        tables.session.sql(f"alter table {CHANGES} drop column added")


def test_batches_that_were_folded_before_a_rewrite_are_still_found(tables):
    rewrite_files.run(tables.session, state_request())
    assert FOLDED in folded_batches(tables.session, STATE)


def test_days_with_deleted_rows_are_written_in_the_order_of_the_key(tables):
    rewrite_files.run(tables.session, state_request(days=(MONDAY,)))
    ids = [row["id"] for row in tables.rows(STATE) if row["date"] == MONDAY]
    assert len(ids) > KEYS_PER_FILE
    assert ids == sorted(ids)


def test_a_second_rewrite_finds_nothing_to_do(tables):
    rewrite_files.run(tables.session, state_request())
    head = current_snapshot_id(tables.session, STATE)
    result = rewrite_files.run(tables.session, state_request(rewrite_id="r2"))
    assert (result.outcome, current_snapshot_id(tables.session, STATE)) == (Outcome.UNCHANGED, head)


@pytest.mark.parametrize(
    ("rewrite", "day", "told"),
    [
        pytest.param(DROPS, MONDAY, "32 rows became 31", id="drops a row"),
        pytest.param(DOUBLES, MONDAY, "32 rows became 33", id="doubles a row"),
        pytest.param(revives, MONDAY, "32 rows became 33", id="a deleted row comes back"),
        pytest.param(LOSES_THE_TOMBSTONE, MONDAY, "32 rows became 31", id="loses a tombstone"),
        pytest.param(CHANGES_A_VALUE, MONDAY, "32 rows, other values", id="changes a value"),
        pytest.param(SWAPS_NULLS, MONDAY, "32 rows, other values", id="moves a null to another column"),
        pytest.param(TOUCHES_ANOTHER_DAY, TUESDAY, "30 rows became 29", id="touches a day it was not given"),
    ],
)
def test_a_bad_rewrite_of_a_state_table_is_never_seen_and_kept_as_evidence(tables, rewrite, day, told):
    before, head = tables.content(STATE), current_snapshot_id(tables.session, STATE)
    result = rewrite_files.run(tables.session, state_request(days=(MONDAY,)), rewrite=rewrite)
    assert result.outcome is Outcome.REJECTED
    assert [(one.day, one.told) for one in result.differences] == [(day, f"{day}: {told}")]
    assert (tables.content(STATE), current_snapshot_id(tables.session, STATE)) == (before, head)
    assert refs(tables, STATE) == {"rejected-r1"} == {result.evidence_tag}
    evidence = tables.session.sql(f"select * from {STATE} version as of 'rejected-r1'").count()
    assert evidence == len(before) + (result.differences[0].after.row_count - result.differences[0].before.row_count)
    with pytest.raises(RewriteRejected, match="rejected-r1"):
        require_good(result)


@pytest.mark.parametrize("kind", list(TableKind))
def test_a_branch_left_by_a_killed_rewrite_is_removed_first(tables, kind):
    table = kind.table("orders")
    before = tables.content(table)
    create_branch(tables.session, table, BRANCH, current_snapshot_id(tables.session, table))
    DROPS(tables.session, request(kind), a_start(tables, table))
    result = rewrite_files.run(tables.session, request(kind, rewrite_id="r2"))
    assert (result.outcome, tables.content(table), refs(tables, table)) == (Outcome.REWRITTEN, before, set())


@pytest.mark.parametrize("kind", list(TableKind))
def test_a_table_of_which_others_deleted_a_row_is_rewritten_anew_and_after_a_bound_skipped(tables, kind):
    table = kind.table("orders")
    gone = list(keys_of(1, MONDAY))

    def raced(times):
        left = [times]

        def rewrite(session, request, start):
            seen = rewrite_days(session, request, start)
            if left[0]:
                left[0] -= 1
                session.sql(f"delete from {table} where id = {gone[left[0]]}")
            return seen

        return rewrite

    once = rewrite_files.run(tables.session, request(kind), rewrite=raced(1))
    assert (once.outcome, once.attempts, tables.files(table)[MONDAY]) == (Outcome.REWRITTEN, 2, (1, 0))
    assert gone[0] not in {row["id"] for row in tables.rows(table)}
    tables.reset()
    always = rewrite_files.run(tables.session, request(kind, attempts=2), rewrite=raced(2))
    assert (always.outcome, always.attempts, refs(tables, table)) == (Outcome.SKIPPED, 2, set())
    assert "2 times" in always.reason
    assert tables.files(table)[TUESDAY] == (FILES, 0)


@pytest.mark.parametrize(("rewrite", "outcome"), [(rewrite_days, Outcome.REWRITTEN), (DROPS, Outcome.REJECTED)])
def test_what_was_done_is_told_though_the_branch_could_not_be_dropped(tables, monkeypatch, rewrite, outcome):
    dropped = []

    def drop_once(session, table, name):
        dropped.append(name)
        if len(dropped) == 2:
            raise CommitConflict("Table metadata refresh is required")
        drop_branch(session, table, name)

    monkeypatch.setattr(versions, "drop_branch", drop_once)
    result = rewrite_files.run(tables.session, changelog_request(), rewrite=rewrite)
    assert (result.outcome, result.attempts, len(dropped)) == (outcome, 1, 2)
    monkeypatch.undo()
    again = rewrite_files.run(tables.session, changelog_request(rewrite_id="r2"))
    assert again.outcome is (Outcome.UNCHANGED if outcome is Outcome.REWRITTEN else Outcome.REWRITTEN)
    assert BRANCH not in refs(tables, CHANGES)


def test_what_another_run_put_on_the_branch_after_the_check_is_not_published(tables, monkeypatch):
    before, compare = tables.content(CHANGES), verified_rewrite.compare_days

    def compare_and_stall(session, *given, **named):
        found = compare(session, *given, **named)
        tables.append("meanwhile", (WEDNESDAY,), number=70)
        drop_branch(session, CHANGES, BRANCH)
        create_branch(session, CHANGES, BRANCH, current_snapshot_id(session, CHANGES))
        DROPS(session, changelog_request(rewrite_id="other"), a_start(tables, CHANGES))
        return found

    monkeypatch.setattr(verified_rewrite, "compare_days", compare_and_stall)
    result = rewrite_files.run(tables.session, changelog_request(attempts=1))
    rows = tables.rows(CHANGES)
    assert result.outcome is Outcome.REWRITTEN
    assert sorted(repr(row) for row in rows if row["_batch_id"] != "meanwhile") == before
    assert sum(row["_batch_id"] == "meanwhile" for row in rows) == KEYS_PER_FILE


def test_what_the_procedure_does_to_a_day_that_is_written_anew_is_noticed(tables, monkeypatch):
    lost = keys_of(0, MONDAY)[0]
    asked = changelog_request(days=(MONDAY, WEDNESDAY))  # Wednesday has one file: it goes through the procedure
    harm = f"delete from {written(asked)} where id = {lost}"
    monkeypatch.setattr(rewriting, "rewrite_statement", lambda *_, **__: harm)
    result = rewrite_files.run(tables.session, asked)
    assert (result.outcome, [one.day for one in result.differences]) == (Outcome.REJECTED, [MONDAY])
    assert lost in {row["id"] for row in tables.rows(CHANGES)}


def test_rows_that_were_counted_twice_are_no_difference(tables):
    def miscounted(session, request, start):
        seen = rewrite_days(session, request, start)
        return replace(seen, check=seen.check.model_copy(update={"row_count": seen.check.row_count + 1}))

    before = tables.content(STATE)
    result = rewrite_files.run(tables.session, state_request(), rewrite=miscounted)
    assert (result.outcome, tables.content(STATE)) == (Outcome.REWRITTEN, before)


def test_a_changelog_is_appended_to_while_it_is_rewritten_and_nothing_is_lost(tables):
    before, done = tables.content(CHANGES), []
    stop = threading.Event()

    def write():
        with closing(Lake(tables.lake._settings, tables.lake._s3)) as lake:
            writer = Tables.__new__(Tables)
            writer.lake = lake
            while not stop.is_set():
                # The first goes into a day that is being rewritten, although the plan saw no claim there.
                day = MONDAY if not done else WEDNESDAY
                writer.append(f"live-{len(done)}", (day,), number=50 + len(done))
                done.append(day)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        result = rewrite_files.run(tables.session, changelog_request())
    finally:
        stop.set()
        thread.join()
    assert (result.outcome, len(done) > 1) == (Outcome.REWRITTEN, True)
    rows = tables.content(CHANGES)
    assert set(before) < set(rows)
    assert len(rows) == len(before) + len(done) * KEYS_PER_FILE
    assert tables.files(CHANGES)[TUESDAY] == (1, 0)
    assert tables.files(CHANGES)[MONDAY][0] <= 2
    assert refs(tables, CHANGES) == set()


def test_what_the_lake_knows_of_a_batch_stays_the_same_after_its_rows_were_rewritten(tables):
    history, rows = main_history(tables.lake, "orders"), count_batch_rows(tables.lake, "orders")
    held, days = tables.lake.held("orders", "batch-3"), rows_by_date(tables.lake.load_table(CHANGES))
    rewrite_files.run(tables.session, changelog_request())
    assert main_history(tables.lake, "orders").by_batch == history.by_batch
    assert count_batch_rows(tables.lake, "orders") == rows
    assert rows_by_date(tables.lake.load_table(CHANGES)) == days
    assert tables.lake.held("orders", "batch-3") == held
    assert tables.lake.files_of_batch("orders", "batch-3") == list(held.data_files)
    assert tables.append("batch-3", (MONDAY,)).was_held


@pytest.mark.parametrize(
    ("rewrite", "day"),
    [
        pytest.param(DROPS, MONDAY, id="drops a row"),
        pytest.param(DOUBLES, MONDAY, id="doubles a row"),
        pytest.param(CHANGES_A_VALUE, MONDAY, id="changes a value"),
        pytest.param(TOUCHES_ANOTHER_DAY, TUESDAY, id="touches a day it was not given"),
    ],
)
def test_a_bad_rewrite_of_a_changelog_is_never_seen_and_what_was_appended_meanwhile_stays(tables, rewrite, day):
    before = tables.content(CHANGES)

    def with_append(session, request, start):
        seen = rewrite(session, request, start)
        tables.append("meanwhile", (day,), number=60)
        return seen

    result = rewrite_files.run(tables.session, changelog_request(days=(MONDAY,)), rewrite=with_append)
    assert (result.outcome, [one.day for one in result.differences]) == (Outcome.REJECTED, [day])
    rows = tables.rows(CHANGES)
    assert sorted(repr(row) for row in rows if row["_batch_id"] != "meanwhile") == before
    assert sum(row["_batch_id"] == "meanwhile" for row in rows) == KEYS_PER_FILE
    assert refs(tables, CHANGES) == {"rejected-r1"}
    evidence = tables.session.sql(f"select * from {CHANGES} version as of 'rejected-r1'")
    assert evidence.count() != len(before) or evidence.where("user_id = 7").count() == 1
    with pytest.raises(RewriteRejected, match="not published"):
        require_good(result)


def test_a_rewrite_whose_files_cannot_be_read_is_rejected(tables, module_sandbox):
    before = tables.content(CHANGES)

    def rewrite(session, request, start):
        seen = rewrite_days(session, request, start)
        address = next(
            task.file.file_path
            for task in tables.lake.load_table(CHANGES).scan().use_ref(BRANCH).plan_files()
            if task.file.record_count > KEYS_PER_FILE
        )
        bucket, key = address.removeprefix("s3://").split("/", 1)
        ObjectStore(module_sandbox.s3).put(bucket, key, b"no Parquet")
        return seen

    result = rewrite_files.run(tables.session, changelog_request(), rewrite=rewrite)
    assert (result.outcome, tables.content(CHANGES)) == (Outcome.REJECTED, before)
    assert "cannot be read" in result.differences[0].told


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(lambda data: bytes(len(data)), id="no Parquet"),
        pytest.param(lambda data: data[: len(data) // 2], id="too short"),
        pytest.param(lambda data: data[:4] + bytes(len(data) // 2) + data[4 + len(data) // 2 :], id="a hole"),
        pytest.param(None, id="gone"),
    ],
)
def test_a_data_file_that_cannot_be_read_is_named_and_main_stays_as_it_was(tables, module_sandbox, damaged):
    head = current_snapshot_id(tables.session, CHANGES)
    address = next(task.file.file_path for task in tables.lake.load_table(CHANGES).scan().plan_files())
    bucket, key = address.removeprefix("s3://").split("/", 1)
    store, days = ObjectStore(module_sandbox.s3), (MONDAY, TUESDAY, WEDNESDAY)
    good = store.get(bucket, key)
    if damaged is None:
        store.delete(bucket, key)
    else:
        store.put(bucket, key, damaged(good))
    try:
        with pytest.raises(StoreRejected) as refused:
            rewrite_files.run(tables.session, changelog_request(days=days))
        named = name_unreadable(refused.value, tables.lake, CHANGES, days=days)
        assert f"1 files cannot be read: {address};" in str(named)
    finally:
        store.put(bucket, key, good)
    assert (current_snapshot_id(tables.session, CHANGES), refs(tables, CHANGES)) == (head, set())
    assert unreadable_files(tables.lake, CHANGES, days=days) == ()


def test_a_rewrite_planned_at_a_snapshot_main_does_not_come_from_is_refused(tables):
    head = current_snapshot_id(tables.session, STATE)
    with pytest.raises(StoreRejected, match="plan anew"):
        rewrite_files.run(tables.session, state_request(planned_snapshot_id=head + 1))
    assert rewrite_files.run(tables.session, state_request(planned_snapshot_id=head)).outcome is Outcome.REWRITTEN


def test_a_missing_table_is_a_wrong_configuration(tables):
    with pytest.raises(ConfigurationError, match="stack up"):
        rewrite_files.run(tables.session, state_request().model_copy(update={"entity": "nothing"}))


def test_the_files_of_a_table_are_known_per_day_with_the_time_of_their_commit(tables):
    began = datetime.now(UTC)
    tables.append("fresh", (TUESDAY,), number=70)
    found = {one.day: one for one in table_files(tables.lake, CHANGES).partitions}
    assert {day: len(one.file_bytes) for day, one in found.items()} == {MONDAY: 7, TUESDAY: 7, WEDNESDAY: 1}
    assert (found[TUESDAY].row_count, found[TUESDAY].delete_count) == (7 * KEYS_PER_FILE, 0)
    assert found[MONDAY].written_at < began <= found[TUESDAY].written_at + timedelta(seconds=1)
    held = {one.day: one for one in table_files(tables.lake, STATE).partitions}[MONDAY]
    assert (held.deleted_row_count, held.delete_bytes > 0) == (2, True)


def test_the_statement_names_branch_days_sizes_and_order_and_for_main_and_bin_packing_none():
    of_state = RewriteRequest(
        rewrite_id="r1", kind=TableKind.STATE, entity="orders", days=(MONDAY, TUESDAY), target_file_bytes=1_000,
        min_inputs=5, is_sorted_by_key=True,
    )  # fmt: skip
    assert rewrite_statement(of_state, (MONDAY, TUESDAY), branch="rewrite", catalog="lake") == (
        "call lake.system.rewrite_data_files(table => 'ecommerce.orders', branch => 'rewrite', strategy => 'sort',"
        " sort_order => 'id ASC NULLS LAST', where => 'date in (date \"2010-12-06\", date \"2010-12-07\")',"
        " options => map('target-file-size-bytes', '1000', 'min-file-size-bytes', '750', 'max-file-size-bytes', '1800',"
        " 'min-input-files', '5'))"
    )
    of_log = of_state.model_copy(update={"kind": TableKind.CHANGELOG, "is_sorted_by_key": False})
    told = rewrite_statement(of_log, (MONDAY,), branch=None, catalog="lake")
    assert ("'changes.orders'" in told, "branch" in told, "strategy => 'binpack'" in told) == (True, False, True)
