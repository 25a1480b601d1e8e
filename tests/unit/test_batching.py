"""When waiting objects become a batch."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.landing.batching import BATCHES_IN_FLIGHT, HOLD_FACTOR, SealRules, plan_seals
from slackwater.ledger.model import OpenObject

RULES = SealRules(max_objects=3, max_bytes=100, max_age_seconds=10, idle_seconds=2)


def waiting(*ages, entity="orders", size_bytes=1):
    return [OpenObject(f"{entity}-{i}", entity, size_bytes, age) for i, age in enumerate(ages)]


def causes(objects, *, unloaded=None, rules=RULES):
    return [(len(p.object_ids), p.cause) for p in plan_seals(objects, unloaded=unloaded or {}, rules=rules)]


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        ([], []),
        ([1.9], []),
        ([2.0], [(1, "idle")]),
        ([9.9, 0.1], []),
        ([10.0, 0.1], [(2, "age")]),
        ([5, 2], [(2, "idle")]),
        ([0.3, 0.2, 0.1], [(3, "size")]),
        ([0.4, 0.3, 0.2, 0.1], [(3, "size")]),
        ([12, 0.3, 0.2, 0.1], [(3, "size")]),
        ([12, 11, 10.5, 10.1], [(3, "size"), (1, "age")]),
    ],
)
def test_a_batch_is_sealed_by_size_age_or_idleness(ages, expected):
    assert causes(waiting(*ages)) == expected


def test_bytes_bound_a_batch_and_a_larger_object_is_a_batch_alone():
    assert causes(waiting(0.3, 0.2, size_bytes=60)) == [(1, "size")]
    assert causes(waiting(0.1, size_bytes=500)) == [(1, "size")]


def test_entities_do_not_mix():
    plans = plan_seals([*waiting(3), *waiting(3, entity="users")], unloaded={}, rules=RULES)
    assert [(p.entity, p.object_ids) for p in plans] == [("orders", ("orders-0",)), ("users", ("users-0",))]


def test_objects_gather_while_batches_of_their_entity_are_on_their_way():
    busy = {"orders": BATCHES_IN_FLIGHT}
    assert causes(waiting(12, 11), unloaded=busy) == []
    assert causes(waiting(12, 11), unloaded={"orders": BATCHES_IN_FLIGHT - 1}) == [(2, "age")]
    assert causes(waiting(12, 11), unloaded={"users": 9}) == [(2, "age")]


def test_gathering_ends_at_its_bound_so_a_stuck_batch_does_not_hold_up_its_entity():
    busy = {"orders": 50}
    assert causes(waiting(HOLD_FACTOR * RULES.max_age_seconds, 1), unloaded=busy) == [(2, "age")]
    assert causes(waiting(3, 2, 1), unloaded=busy) == [(3, "size")]


def test_a_burst_of_a_thousand_objects_becomes_few_batches():
    rules = replace(RULES, max_objects=500, max_bytes=2**28)
    assert causes(waiting(*[5.0] * 1_000), rules=rules) == [(500, "size"), (500, "size")]


def test_of_an_entity_that_is_not_shown_whole_only_full_batches_are_made():
    shown = waiting(12, 11, 10, 9, 8)
    plans = plan_seals(shown, unloaded={}, rules=RULES, cut_off={"orders"})
    assert [(len(p.object_ids), p.cause) for p in plans] == [(3, "size")]
    assert causes(shown) == [(3, "size"), (2, "idle")]


objects = st.builds(
    OpenObject,
    object_id=st.uuids().map(str),
    entity=st.sampled_from(["orders", "users"]),
    size_bytes=st.integers(0, 150),
    age_seconds=st.floats(0, 100),
)


@given(st.lists(objects, max_size=30, unique_by=lambda item: item.object_id))
def test_no_object_is_in_two_plans_and_no_plan_exceeds_its_bounds(items):
    by_id = {item.object_id: item for item in items}
    plans = plan_seals(items, unloaded={}, rules=RULES)
    planned = [object_id for plan in plans for object_id in plan.object_ids]
    assert len(planned) == len(set(planned))
    for plan in plans:
        assert {by_id[object_id].entity for object_id in plan.object_ids} == {plan.entity}
        assert len(plan.object_ids) <= RULES.max_objects
        assert len(plan.object_ids) == 1 or sum(by_id[i].size_bytes for i in plan.object_ids) <= RULES.max_bytes
    for item in items:
        assert item.object_id in planned or item.age_seconds < RULES.max_age_seconds
