"""Which queues the bridge reads."""

import pytest
from pydantic import ValidationError

from slackwater.settings import LandingSettings


@pytest.mark.parametrize(
    ("further", "names"),
    [("", ("main",)), ("b", ("main", "b")), ("b,c-2", ("main", "b", "c-2")), ("b,main,b", ("main", "b"))],
)
def test_every_named_queue_is_read_once_and_the_buckets_own_first(further, names):
    assert LandingSettings(queue_name="main", further_queue_names=further).queue_names == names


@pytest.mark.parametrize("further", ["b c", "b;c", "https://sqs/queue"])
def test_a_list_of_queues_that_is_none_is_refused_at_the_start(further):
    with pytest.raises(ValidationError):
        LandingSettings(further_queue_names=further)
