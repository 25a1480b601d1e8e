"""SQS: receive, delete and ensure a queue. A message is deleted only by an explicit call."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from slackwater.clients.s3 import aws_client, translated
from slackwater.errors import QueueMissing, SlackwaterError, StoreRejected
from slackwater.settings import S3Settings

MAX_MESSAGES_PER_CALL = 10
_ASKED_ATTRIBUTES = ["SentTimestamp", "ApproximateReceiveCount", "DeadLetterQueueSourceArn"]


@dataclass(frozen=True)
class Message:
    """One received message.

    Attributes:
        body: As it was sent.
        receipt: Deletes it; valid until the message is received again.
        message_id: SQS's own id.
        sent_at: When it was sent, UTC; None when the queue does not say.
        receive_count: How often it was received, this time included.
        source_queue: Of a message in a dead-letter queue: the name of the queue it came from, where it is known.
    """

    body: str
    receipt: str
    message_id: str = ""
    sent_at: datetime | None = None
    receive_count: int = 1
    source_queue: str | None = None


class Queue:
    """One SQS queue by name; its address is looked up at first use and again after it vanished."""

    def __init__(self, settings: S3Settings, name: str) -> None:
        self._client = aws_client("sqs", settings)
        self._name = name
        self._cached_url: str | None = None

    @property
    def name(self) -> str:
        """Return the queue's name."""
        return self._name

    def receive(
        self, max_messages: int = MAX_MESSAGES_PER_CALL, wait_seconds: int = 0, *, hidden_seconds: int | None = None
    ) -> list[Message]:
        """Take up to 10 messages; they stay hidden for the queue's visibility timeout.

        Args:
            max_messages: 1 to 10.
            wait_seconds: Long poll, 0 to 20; returns as soon as there is a message.
            hidden_seconds: Another visibility timeout for these messages, 0 to 43,200.

        Raises:
            ConfigurationError: The queue does not exist.
            StoreUnavailable: SQS does not answer.
        """
        hidden = {} if hidden_seconds is None else {"VisibilityTimeout": hidden_seconds}
        answer = self._call(
            "receive_message",
            MaxNumberOfMessages=max_messages,
            WaitTimeSeconds=wait_seconds,
            MessageSystemAttributeNames=_ASKED_ATTRIBUTES,
            **hidden,
        )
        return [_message(item) for item in answer.get("Messages", [])]

    def delete(self, receipts: Sequence[str]) -> int:
        """Delete messages by receipt; a second call with the same receipts does nothing.

        Returns:
            How many were not deleted because they were received again meanwhile; those come once more.
        """
        entries = [{"ReceiptHandle": receipt} for receipt in receipts]
        return self._call_in_chunks("delete_message_batch", entries)

    def release(self, receipts: Sequence[str]) -> None:
        """Make received messages visible again at once; those received again meanwhile are left alone."""
        entries = [{"ReceiptHandle": receipt, "VisibilityTimeout": 0} for receipt in receipts]
        self._call_in_chunks("change_message_visibility_batch", entries)

    def send(self, body: str) -> None:
        """Send one message."""
        self._call("send_message", MessageBody=body)

    def send_many(self, bodies: Sequence[str]) -> None:
        """Send messages, ten per request.

        Raises:
            StoreRejected: The queue did not take one of them; others may have been sent.
        """
        for start in range(0, len(bodies), MAX_MESSAGES_PER_CALL):
            chunk = bodies[start : start + MAX_MESSAGES_PER_CALL]
            entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(chunk)]
            failed = self._call("send_message_batch", Entries=entries).get("Failed")
            if failed:
                raise StoreRejected(f"queue {self._name} did not take {len(failed)} messages: {failed[0]}")

    def exists(self) -> bool:
        """Say whether the queue is there, asking anew."""
        self._cached_url = None
        try:
            self.depth()
        except QueueMissing:
            return False
        return True

    def depth(self) -> tuple[int, int]:
        """Return the approximate numbers of visible and of hidden (received, undeleted) messages."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._call("get_queue_attributes", AttributeNames=names).get("Attributes", {})
        return int(found.get(names[0], 0)), int(found.get(names[1], 0))

    def arn(self) -> str:
        """Return the queue's ARN."""
        return str(self._call("get_queue_attributes", AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])

    def ensure(
        self,
        *,
        dead_letter_arn: str | None = None,
        max_receive_count: int = 100,
        visibility_timeout_seconds: int = 60,
        allow_from_bucket: str | None = None,
    ) -> str:
        """Create the queue or bring its attributes in line, and return its ARN.

        Args:
            dead_letter_arn: Queue that takes messages received more than `max_receive_count` times.
            max_receive_count: Backstop, at least 100.
            visibility_timeout_seconds: How long a received message stays hidden.
            allow_from_bucket: Bucket whose notifications may send to this queue (needed on AWS).
        """
        attributes = {"VisibilityTimeout": str(visibility_timeout_seconds)}
        if dead_letter_arn is not None:
            policy = {"deadLetterTargetArn": dead_letter_arn, "maxReceiveCount": str(max_receive_count)}
            attributes["RedrivePolicy"] = json.dumps(policy)
        with translated(f"queue {self._name}"):
            url = str(self._client.create_queue(QueueName=self._name)["QueueUrl"])
        self._cached_url = url
        arn = self.arn()
        if allow_from_bucket is not None:
            attributes["Policy"] = json.dumps(_send_policy(arn, allow_from_bucket))
        self._call("set_queue_attributes", Attributes=attributes)
        return arn

    def _call_in_chunks(self, operation: str, entries: Sequence[Mapping[str, object]]) -> int:
        """Call an operation for ten entries at a time and return how many it could not find."""
        missed = 0
        for start in range(0, len(entries), MAX_MESSAGES_PER_CALL):
            chunk = [
                {"Id": str(number), **entry}
                for number, entry in enumerate(entries[start : start + MAX_MESSAGES_PER_CALL])
            ]
            failed = self._call(operation, Entries=chunk).get("Failed", [])
            odd = [entry for entry in failed if "ReceiptHandle" not in str(entry.get("Code"))]
            if odd:
                raise StoreRejected(f"queue {self._name}: {operation} failed for {len(odd)} entries: {odd[0]}")
            missed += len(failed)
        return missed

    def _call(self, operation: str, **arguments: object) -> dict:  # type: ignore[type-arg]
        with translated(f"queue {self._name}"):
            if self._cached_url is None:
                self._cached_url = str(self._client.get_queue_url(QueueName=self._name)["QueueUrl"])
        try:
            with translated(f"queue {self._name}"):
                answer = getattr(self._client, operation)(QueueUrl=self._cached_url, **arguments)
        except SlackwaterError:
            self._cached_url = None
            raise
        return dict(answer)


def _message(item: Mapping[str, object]) -> Message:
    said = item.get("Attributes")
    attributes = said if isinstance(said, dict) else {}
    sent, source = attributes.get("SentTimestamp"), attributes.get("DeadLetterQueueSourceArn")
    return Message(
        body=str(item["Body"]),
        receipt=str(item["ReceiptHandle"]),
        message_id=str(item.get("MessageId", "")),
        sent_at=datetime.fromtimestamp(int(sent) / 1000, UTC) if sent else None,
        receive_count=int(attributes.get("ApproximateReceiveCount", 1)),
        source_queue=str(source).rsplit(":", 1)[-1] if source else None,
    )


def _send_policy(queue_arn: str, bucket: str) -> dict[str, object]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "s3.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue_arn,
                "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{bucket}"}},
            }
        ],
    }
