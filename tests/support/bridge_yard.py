"""A bridge with all that it works on, for tests that turn it by hand."""

import json
from urllib.parse import quote_plus

from slackwater.clients.s3 import ObjectStore
from slackwater.clients.sqs import Queue
from slackwater.landing import bridge
from slackwater.landing.health import Health
from slackwater.landing.intake import open_intake, receive
from slackwater.ledger.store import Ledger
from slackwater.settings import BridgeSettings
from slackwater.testing.ledger_bench import RecordingBus


class Yard:
    """A landing bucket with its queue, a ledger, a bus that remembers."""

    def __init__(self, sandbox):
        self.landing = sandbox.landing.model_copy(update={"batch_idle_seconds": 0.3, "batch_max_age_seconds": 2.0})
        self.s3 = sandbox.s3
        self.store = ObjectStore(sandbox.s3)
        self.queue = Queue(sandbox.s3, self.landing.queue_name)
        self.ledger = Ledger(sandbox.ledger.dsn)
        self.bus = RecordingBus()
        self.settings = BridgeSettings(receivers=2)
        self.queues = [self.queue]

    def put(self, file):
        return self.store.put(self.landing.bucket, file.key(), file.parquet())

    def notify(self, file, etag, queue=None):
        """Send what S3 sends, once more or to another queue."""
        item = {"key": quote_plus(file.key()), "size": 10, "eTag": etag}
        record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": self.landing.bucket}, "object": item}}
        (queue or self.queue).send(json.dumps({"Records": [record]}))

    def tick(self, *, ledger=None, **arguments):
        with open_intake(self.queues, receivers=self.settings.receivers) as intake:
            return bridge.tick(
                ledger or self.ledger, intake, self.bus, self.landing, self.settings, wait_seconds=1, **arguments
            )

    def settle_queue(self):
        """Take the test event a new notification sends."""
        while self.receive().messages:
            pass

    def receive(self):
        """Only receive and record: nothing is sealed."""
        with open_intake(self.queues, receivers=1) as intake:
            return receive(self.ledger, intake, self.landing, wait_seconds=1, max_messages=10, actor="test")

    def health(self, ledger=None):
        dead_letters = Queue(self.s3, self.landing.dead_letter_queue_name)
        return Health(ledger or self.ledger, self.queues, dead_letters, stale_seconds=60)

    def settle(self, *, rounds=20):
        """Tick until a round brings nothing and nothing waits."""
        for _ in range(rounds):
            done = self.tick()
            if not done.is_waiting and done.received.messages == 0:
                return
        raise AssertionError("the bridge did not settle")
