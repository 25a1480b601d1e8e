"""The dead-letter queue: looking changes nothing, redriving loses nothing."""

import json

import pytest
from typer.testing import CliRunner

from slackwater.cli import app
from slackwater.clients.sqs import Queue
from slackwater.landing.dead_letters import list_dead_letters, redrive
from slackwater.landing.intake import open_intake, receive
from slackwater.ledger import listings
from slackwater.ledger.store import Ledger
from slackwater.testing.landing_files import LandingFile

pytestmark = pytest.mark.integration


class Yard:
    """A landing queue and its dead-letter queue; the bucket's notification is not needed."""

    def __init__(self, sandbox):
        self.s3 = sandbox.s3
        self.landing = sandbox.systems.landing
        self.dead_letters = Queue(sandbox.s3, self.landing.dead_letter_queue_name)
        self.queue = Queue(sandbox.s3, self.landing.queue_name)
        dead_letter_arn = self.dead_letters.ensure()
        self.queue.ensure(dead_letter_arn=dead_letter_arn, max_receive_count=2)

    def list(self, limit=100):
        return list_dead_letters(self.dead_letters, default_source=self.queue.name, limit=limit)

    def redrive(self, open_queue=None):
        open_queue = open_queue or (lambda name: Queue(self.s3, name))
        return redrive(self.dead_letters, open_queue=open_queue, default_source=self.queue.name)

    def wear_out(self, body):
        """Send a message and receive it until SQS itself gives it up."""
        self.queue.send(body)
        while self.queue.receive(hidden_seconds=0):
            pass
        assert sum(self.dead_letters.depth()) == 1


@pytest.fixture
def yard(sandbox):
    return Yard(sandbox)


def notification(file):
    item = {"key": file.key().replace("+", "%2B"), "size": 10, "eTag": "e"}
    return json.dumps(
        {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": item}}]}
    )


def test_a_message_says_what_it_tells_of_or_why_nobody_can_read_it(yard):
    yard.dead_letters.send(notification(LandingFile()))
    yard.dead_letters.send("what is this " + "x" * 1_000)
    found = {letter.reason is None: letter for letter in yard.list()}
    assert found[True].keys == (LandingFile().key(),)
    assert found[False].reason.startswith("not JSON")
    assert found[False].body.startswith("what is this x")
    assert len(found[False].body) < 200
    assert all(letter.receive_count == 1 for letter in found.values())
    assert all(0 <= letter.age_seconds < 60 for letter in found.values())


def test_looking_leaves_every_message_where_it_is_and_visible(yard):
    for number in range(23):
        yard.dead_letters.send(f"message {number}")
    assert len(yard.list()) == 23
    assert yard.dead_letters.depth() == (23, 0)
    assert len(yard.list(limit=5)) == 5
    assert yard.dead_letters.depth() == (23, 0)


def test_what_sqs_gave_up_goes_back_to_its_queue_and_is_dealt_with(yard, sandbox):
    yard.wear_out(notification(LandingFile()))
    assert yard.list()[0].source_queue == yard.queue.name
    assert yard.redrive().moved == {yard.queue.name: 1}
    assert yard.dead_letters.depth() == (0, 0)
    with Ledger(sandbox.ledger.dsn) as ledger, open_intake([yard.queue], receivers=1) as intake:
        done = receive(ledger, intake, yard.landing, wait_seconds=1, max_messages=10, actor="test")
        assert (done.messages, done.new_objects) == (1, 1)
        assert len(ledger.open_objects()) == 1
        assert listings.list_quarantine(ledger) == ()
    assert yard.queue.depth() == (0, 0)


def test_a_message_that_cannot_be_sent_back_is_not_deleted(yard):
    for number in range(3):
        yard.dead_letters.send(f"message {number}")
    done = yard.redrive(open_queue=lambda name: Queue(yard.s3, f"{name}-gone"))
    assert done.moved == {}
    assert "does not exist" in done.error
    assert sum(yard.dead_letters.depth()) == 3


def test_a_message_comes_again_when_it_is_not_deleted_between_sending_and_the_end(yard):
    """Killed between sending and deleting: the message is in both queues, and lost in neither."""
    yard.dead_letters.send("message")

    class Dies(Queue):
        def send(self, body):
            super().send(body)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        yard.redrive(open_queue=lambda name: Dies(yard.s3, name))
    assert yard.queue.depth()[0] == 1
    assert sum(yard.dead_letters.depth()) == 1


def run(sandbox, *words):
    return CliRunner().invoke(app, words, env=sandbox.env)


def test_the_commands_list_and_redrive(yard, sandbox):
    yard.dead_letters.send("what is this")
    yard.dead_letters.send(notification(LandingFile()))
    listed = json.loads(run(sandbox, "dlq", "list", "--json").stdout)
    assert {letter["reason"] is None for letter in listed} == {True, False}
    assert "not JSON" in run(sandbox, "dlq", "list").stdout
    done = run(sandbox, "dlq", "redrive", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"moved": {yard.queue.name: 2}, "error": None})
    assert run(sandbox, "dlq", "redrive").stdout == "The dead-letter queue is empty.\n"
    assert yard.queue.depth()[0] == 2


def test_redrive_ends_with_status_1_while_the_queue_is_gone(yard, sandbox):
    yard.dead_letters.send("message")
    env = {**sandbox.env, "SLACKWATER_LANDING_QUEUE_NAME": "never-created"}
    done = CliRunner().invoke(app, ["dlq", "redrive", "--json"], env=env)
    assert done.exit_code == 1
    assert "does not exist" in done.stdout
    assert sum(yard.dead_letters.depth()) == 1
