"""What the kit is built on: the source table, the definition, and the files it writes."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from slackwater.entities.model import load_entity
from slackwater.errors import MalformedObject
from slackwater.landing.reader import parse_object
from slackwater.naming import TOAST_PLACEHOLDER
from slackwater.testing.conformance.change_files import (
    FAULTS_OF_ANY_ENTITY,
    ChangeFile,
    DeleteForm,
    Fault,
    FileForm,
    cut,
    make_case,
    sent_again,
    usual_orders,
    with_fault,
)
from slackwater.testing.conformance.histories import generated_cases
from slackwater.testing.conformance.kit import Mismatch, check
from slackwater.testing.conformance.landing_bytes import landing_object
from slackwater.testing.conformance.oracle import state_after
from slackwater.testing.conformance.reference_merge import ReferenceMerge
from slackwater.testing.conformance.runs import KEYS_PER_RUN, plan_runs
from slackwater.testing.conformance.source import Change, Delete, Rekey, Restore, Snapshot, Transaction, Write, run

PRODUCTS = load_entity("products")
AT = datetime.fromisoformat("2010-12-01 08:00:00")


def told(history):
    return [(c.epoch, c.lsn, c.op, c.key, c.values.get("description")) for c in history.changes]


def each(*statements):
    return [Transaction((statement,)) for statement in statements]


def test_the_source_tells_an_update_of_a_key_as_delete_and_insert_at_one_lsn():
    history = run(PRODUCTS, each(Write(1, {"description": "A"}), Rekey(1, 2)), first_lsn=0)

    assert told(history) == [(0, 10, "c", 1, "A"), (0, 20, "d", 1, None), (0, 20, "c", 2, "A")]
    assert {key: row["description"] for key, row in history.table.items()} == {2: "A"}


def test_the_source_withholds_an_unchanged_large_value_but_no_null():
    history = run(
        PRODUCTS, each(Write(1, {"description": "A"}), Write(1, {"name": "n"}, withholds=True), Write(2),
                       Write(2, withholds=True), Write(1, {"description": "B"}, withholds=True)), first_lsn=0,
    )  # fmt: skip

    assert [entry[2:] for entry in told(history)] == [
        ("c", 1, "A"), ("u", 1, TOAST_PLACEHOLDER), ("c", 2, None), ("u", 2, None), ("u", 1, "B"),
    ]  # fmt: skip
    assert {key: row["description"] for key, row in history.table.items()} == {1: "B", 2: None}


def test_a_value_that_a_change_of_key_withheld_is_unknowable_until_it_is_told():
    begun = each(Write(1, {"description": "A"}), Rekey(1, 2, withholds=True), Write(2, {"name": "n"}, withholds=True))

    assert run(PRODUCTS, begun).table[2]["description"] is None
    assert run(PRODUCTS, [*begun, *each(Write(2))]).table[2]["description"] == "A"
    assert run(PRODUCTS, [*begun, *each(Snapshot())]).table[2]["description"] == "A"


def test_a_snapshot_shares_one_lsn_and_may_share_its_neighbours():
    begun = each(Write(1), Write(2))

    later = run(PRODUCTS, [*begun, *each(Snapshot(ties_later=True), Delete(1))], first_lsn=0)
    earlier = run(PRODUCTS, [*begun, *each(Snapshot(ties_earlier=True), Delete(1))], first_lsn=0)

    assert [entry[1:4] for entry in told(later)[2:]] == [(30, "r", 1), (30, "r", 2), (30, "d", 1)]
    assert [entry[1:4] for entry in told(earlier)[2:]] == [(20, "r", 1), (20, "r", 2), (30, "d", 1)]


def test_a_restore_begins_an_epoch_with_smaller_lsns_and_tells_what_vanished():
    history = run(PRODUCTS, each(Write(1, {"description": "A"}), Write(1), Write(2), Restore(back_to=1)), first_lsn=500)

    assert told(history)[3:] == [(1, 10, "r", 1, "A"), (1, 10, "d", 2, None)]
    assert set(history.table) == {1}


def test_one_transaction_may_share_its_lsn():
    history = run(PRODUCTS, [Transaction((Write(1), Write(1), Delete(1)), shares_lsn=True)], first_lsn=0)

    assert [entry[1:4] for entry in told(history)] == [(10, "c", 1), (10, "u", 1), (10, "d", 1)]


def change(op, lsn, description=None, *, epoch=0):
    values = {} if op == "d" else {"description": description}
    return Change(epoch, lsn, op, 1, values, AT)


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        pytest.param([change("c", 10, "A"), change("u", 30, TOAST_PLACEHOLDER), change("u", 20, "B")], "B", id="late"),
        pytest.param([change("u", 20, "B"), change("r", 20, "A")], "B", id="streamed over snapshot"),
        pytest.param([change("r", 21, "A"), change("u", 20, "B")], "A", id="newer snapshot"),
        pytest.param([change("u", 10, "B", epoch=1), change("u", 99, "A")], "B", id="epoch before lsn"),
        pytest.param([change("c", 10, "A"), change("c", 10, "B")], "B", id="position at equal lsn"),
        pytest.param([change("c", 10, "A"), change("u", 20), change("u", 30, TOAST_PLACEHOLDER)], None, id="null told"),
        pytest.param([change("c", 10, "A"), change("d", 20), change("u", 40, TOAST_PLACEHOLDER)], None, id="after a d"),
        pytest.param([change("c", 10, "A"), change("c", 20, TOAST_PLACEHOLDER)], None, id="insert withholds"),
        pytest.param([change("u", 20, TOAST_PLACEHOLDER)], None, id="nothing known"),
        pytest.param([change("d", 30), change("u", 20, "A")], "no row", id="late change after a delete"),
    ],
)
def test_the_definition_by_hand(changes, description):
    files = [ChangeFile((one,), number, epoch=one.epoch) for number, one in enumerate(changes)]

    state = state_after(PRODUCTS, [(file, f"object {file.first}") for file in files])

    assert (state[1]["description"] if 1 in state else "no row") == description


def test_the_definition_counts_an_object_once_and_a_faulty_one_not_at_all():
    first, second = ChangeFile((change("c", 10, "A"),), 0), ChangeFile((change("u", 20, "B"),), 1)

    assert state_after(PRODUCTS, [(second, "2"), (first, "1"), (second, "2")])[1]["description"] == "B"
    assert state_after(PRODUCTS, [(first, "1"), (with_fault(second, Fault.YEAR_1), "2")])[1]["description"] == "A"


def test_a_case_whose_table_contradicts_its_files_is_the_kits_own_fault():
    history = run(PRODUCTS, each(Write(1, {"name": "a"})))
    case = make_case("wrong", history, cut(history, ()))

    with pytest.raises(AssertionError, match="contradicts the source: key 1"):
        check(ReferenceMerge(), [replace(case, table={})])


def test_the_table_is_not_known_when_a_file_is_missing_or_faulty():
    history = run(PRODUCTS, each(Write(1), Write(1, {"name": "b"})))
    first, second = cut(history, [1])

    assert make_case("whole", history, [first, second]).table == history.table
    assert make_case("missing", history, [first]).table is None
    assert make_case("faulty", history, [first, with_fault(second, Fault.DROPPED_COLUMN)]).table is None


def test_changes_sent_again_grow_to_the_end_of_their_lsn():
    history = run(PRODUCTS, [Transaction((Write(1),)), Transaction((Write(1), Delete(1)), shares_lsn=True)])

    assert [one.op for one in sent_again(history, 0, 2, first=9).changes] == ["c", "u", "d"]
    assert [one.op for one in sent_again(history, 0, 1, first=9).changes] == ["c"]


def test_a_file_ends_where_an_epoch_ends():
    history = run(PRODUCTS, each(Write(1), Restore(back_to=1), Write(1)))

    assert [(file.first, file.last, file.epoch) for file in cut(history, ())] == [(0, 0, 0), (1, 2, 1)]


def test_the_usual_orders_are_different_and_one_repeats_a_file():
    orders = usual_orders(4)

    assert len(set(orders)) == len(orders) == 4
    assert all(set(order) == {0, 1, 2, 3} for order in orders)
    assert sorted(map(len, orders)) == [4, 4, 4, 5]


FULL = {
    "name": "e\u0301\n", "description": "A", "price": Decimal("-99999999.99"), "stock_quantity": -(2**31),
    "category": "", "created_at": datetime.fromisoformat("1900-01-01 00:00:00"),
    "updated_at": datetime.fromisoformat("2299-12-31 23:59:59.999999"),
}  # fmt: skip


def read(file):
    item = landing_object(file, entity=PRODUCTS, source="run0", first_key=KEYS_PER_RUN)
    is_json = item.key.endswith(".jsonl.gz")
    return parse_object(item.data, entity=PRODUCTS, is_json=is_json, expected_rows=len(file.changes)).to_pylist()


@pytest.mark.parametrize("form", FileForm)
@pytest.mark.parametrize("deletes", DeleteForm)
def test_every_physical_form_is_read_back_exactly_and_deletes_hold_their_key_alone(form, deletes):
    history = run(PRODUCTS, each(Write(1, FULL), Write(2), Delete(1)), first_lsn=2**62)
    (file,) = cut(history, (), forms=[form], deletes=deletes)

    written, empty, deleted = read(file)

    assert {name: written[name] for name in FULL} == FULL
    assert (written["id"], written["__source_lsn"], written["__source_ts_ms"]) == (10_001, 2**62 + 10, AT)
    assert {name: empty[name] for name in FULL} == dict.fromkeys(FULL)
    assert {name: deleted[name] for name in FULL} == dict.fromkeys(FULL)
    assert (deleted["id"], deleted["__op"]) == (10_001, "d")
    assert deleted["__source_ts_ms"] == AT + timedelta(minutes=2)


@pytest.mark.parametrize("form", FileForm)
@pytest.mark.parametrize("fault", FAULTS_OF_ANY_ENTITY)
def test_a_faulty_file_is_refused_for_its_reason(form, fault):
    history = run(PRODUCTS, each(Write(1, FULL), Write(2), Delete(1)))
    (file,) = cut(history, (), forms=[form])

    with pytest.raises(MalformedObject) as refused:
        read(with_fault(file, fault))

    assert refused.value.reason == fault.reason


def test_every_run_has_keys_positions_and_objects_of_its_own():
    runs = plan_runs(generated_cases(20, seed_number=1, files_max=6))

    keys = [run.first_key for run in runs]
    assert len(set(keys)) == len(runs) > 20
    assert len({item.source_partition for run in runs for item in run.objects}) == len(runs)
    ids = [item.object_id for run in runs for item in run.objects]
    assert len(set(ids)) == len(ids)
    assert all(key % KEYS_PER_RUN == 0 for key in keys)


def test_the_same_seed_generates_the_same_cases_and_another_seed_others():
    def shape(number):
        cases = generated_cases(10, seed_number=number, files_max=6)
        return [(case.files, case.orders) for case in cases]

    assert shape(1) == shape(1)
    assert shape(1) != shape(2)


def test_a_mismatch_shows_the_wrong_key_alone_with_its_changes_in_order_of_arrival():
    history = run(PRODUCTS, each(Write(1, {"name": "a"}), Write(2), Write(1, {"name": "b"})), first_lsn=0)
    (wrong,) = plan_runs([make_case("two names", history, cut(history, [1]), orders=[(1, 0)])])
    rows = {1: {"name": "b"}, 2: {"name": None}}

    shown = str(Mismatch(wrong, 2, rows, {1: {"name": "a"}, 2: {"name": None}}))

    assert shown.splitlines() == [
        "two names (products), after 2 of 2 files:",
        "  key 1.name: expected 'b', found 'a'",
        "  files in order of arrival (of other keys nothing is shown):",
        "    1. positions 1 to 2, parquet",
        "         epoch 0 lsn 30 position 2: u key 1 {'name': 'b'}",
        "    2. positions 0 to 0, parquet",
        "         epoch 0 lsn 10 position 0: c key 1 {'name': 'a'}",
    ]
