"""A queue that is gone is made anew by the bootstrap: whoever asks it meanwhile waits and does not give up."""

import pytest

from slackwater.clients.sqs import Queue
from slackwater.errors import StoreUnavailable

pytestmark = pytest.mark.integration


def test_a_missing_queue_is_a_transient_error(sandbox) -> None:
    queue = Queue(sandbox.s3, f"{sandbox.name}-never-created")
    with pytest.raises(StoreUnavailable, match="does not exist"):
        queue.depth()
