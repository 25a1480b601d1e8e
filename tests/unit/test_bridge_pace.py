"""How the bridge paces events while the bus is away, and what it says about the age of a queue."""

import pytest

from slackwater.landing.bridge import FIRST_EMIT_PAUSE_SECONDS, LONGEST_EMIT_PAUSE_SECONDS, EmitPace, Tick
from slackwater.landing.health import queue_age
from slackwater.landing.intake import Received


def done(*, emitted=0, failed=0):
    return Tick(
        Received(),
        0,
        emitted_events=emitted,
        failed_events=failed,
        is_waiting=False,
        has_more=False,
        is_held_back=False,
    )


def test_events_are_tried_less_and_less_often_while_the_bus_is_away_and_at_once_when_it_is_back():
    now = [0.0]
    pace = EmitPace(lambda: now[0])
    pauses = []
    for _ in range(8):
        assert pace.is_due()
        pace.note(done(failed=3))
        begin = now[0]
        while not pace.is_due():
            now[0] += 0.5
        pauses.append(now[0] - begin)
    assert pauses[:3] == [FIRST_EMIT_PAUSE_SECONDS, 2 * FIRST_EMIT_PAUSE_SECONDS, 4 * FIRST_EMIT_PAUSE_SECONDS]
    assert pauses[-1] == LONGEST_EMIT_PAUSE_SECONDS
    pace.note(done(emitted=3))
    assert pace.is_due()
    pace.note(done(failed=1))
    now[0] += FIRST_EMIT_PAUSE_SECONDS
    assert pace.is_due()


def test_a_round_that_tried_no_event_does_not_shorten_the_pause():
    now = [0.0]
    pace = EmitPace(lambda: now[0])
    pace.note(done(failed=1))
    pace.note(done())
    assert not pace.is_due()
    now[0] += FIRST_EMIT_PAUSE_SECONDS
    pace.note(done(failed=1))
    now[0] += FIRST_EMIT_PAUSE_SECONDS
    assert not pace.is_due()
    now[0] += FIRST_EMIT_PAUSE_SECONDS
    assert pace.is_due()


@pytest.mark.parametrize(
    ("brought", "messages", "age"),
    [(None, 0, 0.0), (3.0, 0, 0.0), (3.0, 7, 3.0), (None, 7, 15.0)],
    ids=["empty", "emptied", "being read", "nobody reads it"],
)
def test_a_queue_nobody_reads_grows_old(brought, messages, age):
    assert queue_age(10.0, elapsed=5.0, brought=brought, messages=messages) == age
