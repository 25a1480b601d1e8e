"""What an append says on the event bus of the files it left out."""

from slackwater.lake.append import AppendResult
from slackwater.ledger.model import Skipped
from slackwater.naming import EVENT_BATCH_LANDED, EVENT_OBJECT_QUARANTINED, EVENT_SCHEMA_CHANGED
from tasks.append_to_lake import append_events


def _events(*skipped: Skipped) -> list[tuple[str, dict, str]]:
    result = AppendResult("b1", "orders", 7, 3, skipped, 1, (), 0.1, False)
    return [(event, dict(payload), event_id) for event, payload, event_id in append_events(result)]


def test_batch_that_left_nothing_out_has_landed_and_that_is_all():
    assert _events() == [
        (EVENT_BATCH_LANDED, {"batch_id": "b1", "entity": "orders", "row_count": 7}, f"{EVENT_BATCH_LANDED}:b1")
    ]


def test_file_of_another_shape_is_quarantined_and_a_schema_change_and_another_bad_file_is_none():
    events = _events(
        Skipped("o1", "a.parquet", "schema_change", "column brand is not declared"), Skipped("o2", "b", "x")
    )
    assert [event for event, _, _ in events] == [
        EVENT_BATCH_LANDED,
        EVENT_OBJECT_QUARANTINED,
        EVENT_SCHEMA_CHANGED,
        EVENT_OBJECT_QUARANTINED,
    ]
    _, told, _ = events[2]
    assert (told["object"], "column brand is not declared" in told["what"]) == ("a.parquet", True)


def test_every_event_of_an_append_has_an_id_of_its_own_that_a_repetition_has_too():
    skipped = (Skipped("o1", "a", "schema_change"), Skipped("o2", "b", "schema_change"))
    ids = [event_id for _, _, event_id in _events(*skipped)]
    assert len(set(ids)) == len(ids) == 5
    assert ids == [event_id for _, _, event_id in _events(*skipped)]
