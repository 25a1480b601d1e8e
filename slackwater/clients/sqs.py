"""SQS: receive, delete and ensure a queue. A message is deleted only by an explicit call."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from slackwater.clients.s3 import aws_client, translated
from slackwater.errors import ConfigurationError, StoreRejected
from slackwater.settings import S3Settings

MAX_MESSAGES_PER_CALL = 10


@dataclass(frozen=True)
class Message:
    """One received message; `receipt` deletes it."""

    body: str
    receipt: str
    message_id: str = ""


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

    def receive(self, max_messages: int = MAX_MESSAGES_PER_CALL, wait_seconds: int = 0) -> list[Message]:
        """Take up to 10 messages; they stay hidden for the queue's visibility timeout.

        Args:
            max_messages: 1 to 10.
            wait_seconds: Long poll, 0 to 20; returns as soon as there is a message.

        Raises:
            ConfigurationError: The queue does not exist.
            StoreUnavailable: SQS does not answer.
        """
        answer = self._call("receive_message", MaxNumberOfMessages=max_messages, WaitTimeSeconds=wait_seconds)
        found = answer.get("Messages", [])
        return [Message(item["Body"], item["ReceiptHandle"], item.get("MessageId", "")) for item in found]

    def delete(self, receipts: Sequence[str]) -> None:
        """Delete messages by receipt; a second call with the same receipts does nothing."""
        for start in range(0, len(receipts), MAX_MESSAGES_PER_CALL):
            chunk = receipts[start : start + MAX_MESSAGES_PER_CALL]
            entries = [{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(chunk)]
            self._call("delete_message_batch", Entries=entries)

    def send(self, body: str) -> None:
        """Send one message."""
        self._call("send_message", MessageBody=body)

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

    def _call(self, operation: str, **arguments: object) -> dict:  # type: ignore[type-arg]
        with translated(f"queue {self._name}"):
            if self._cached_url is None:
                self._cached_url = str(self._client.get_queue_url(QueueName=self._name)["QueueUrl"])
        try:
            with translated(f"queue {self._name}"):
                answer = getattr(self._client, operation)(QueueUrl=self._cached_url, **arguments)
        except (ConfigurationError, StoreRejected):
            self._cached_url = None
            raise
        failed = answer.get("Failed")
        if failed:
            raise StoreRejected(f"queue {self._name}: {operation} failed for {len(failed)} entries: {failed[0]}")
        return dict(answer)


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
