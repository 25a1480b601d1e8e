"""S3: the landing and lake buckets as this project uses them, boto3's errors translated once.

Objects are small (at most a batch), so they are read and written whole. Listing is lazy.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from slackwater.errors import (
    ConfigurationError,
    MalformedObject,
    ObjectSuperseded,
    QueueMissing,
    StoreRejected,
    StoreUnavailable,
)
from slackwater.settings import S3Settings

NOTIFICATION_ID = "slackwater-landing"
LISTED_PER_PAGE = 1_000
_MISSING_QUEUE_CODES = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
_TRANSIENT_CODES = {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling"}


@dataclass(frozen=True)
class ListedObject:
    """One object of a listing; `etag` is without quotes."""

    bucket: str
    key: str
    etag: str
    size_bytes: int
    last_modified: datetime


def aws_client(service: str, settings: S3Settings) -> Any:
    """Return the process's boto3 client for `s3` or `sqs` at the configured endpoint; threads may share it."""
    key, secret = settings.access_key_id, settings.secret_access_key
    return _client(
        service,
        settings.endpoint_url,
        settings.region,
        key.get_secret_value() if key else None,
        secret.get_secret_value() if secret else None,
    )


@cache
def _client(service: str, endpoint_url: str | None, region: str, key_id: str | None, secret_key: str | None) -> Any:
    """Make a client once: it takes milliseconds of CPU, and who waits for the queue asks each second."""
    return boto3.client(
        service,
        endpoint_url=endpoint_url,
        region_name=region,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret_key,
        config=Config(
            retries={"mode": "standard", "max_attempts": 3},
            connect_timeout=5,
            read_timeout=60,
            s3={"addressing_style": "path"} if endpoint_url else {},
            request_checksum_calculation="when_required",
            max_pool_connections=16,
        ),
    )


@contextmanager
def translated(subject: str) -> Iterator[None]:
    """Turn boto3's errors of the enclosed block into ours; `subject` names the object or queue in the message."""
    try:
        yield
    except ClientError as exc:
        code = str(exc.response.get("Error", {}).get("Code", ""))
        status = int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in {"PreconditionFailed", "412"}:
            raise ObjectSuperseded(f"{subject} was overwritten: its etag is not the expected one any more") from exc
        if code in {"NoSuchKey", "404"}:
            raise MalformedObject("missing_object", f"{subject} does not exist (deleted after its event?)") from exc
        if code in _MISSING_QUEUE_CODES:
            raise QueueMissing(f"{subject} does not exist; the sweep makes it again and finds what it lost") from exc
        if code in {"NoSuchBucket", "AccessDenied", "AccessDeniedException"}:
            raise ConfigurationError(f"{subject}: {code}; is it created and may we use it?") from exc
        if code in _TRANSIENT_CODES or status >= 500:
            raise StoreUnavailable(f"{subject}: {code or status}") from exc
        raise StoreRejected(f"{subject}: {exc}") from exc
    except BotoCoreError as exc:
        raise StoreUnavailable(f"{subject}: {exc}") from exc


class ObjectStore:
    """S3 at the configured endpoint."""

    def __init__(self, settings: S3Settings) -> None:
        self._client = aws_client("s3", settings)
        self._region = settings.region

    def put(self, bucket: str, key: str, data: bytes) -> str:
        """Write an object and return its etag without quotes; the same bytes give the same etag."""
        with translated(f"s3://{bucket}/{key}"):
            answer = self._client.put_object(Bucket=bucket, Key=key, Body=data)
        return str(answer["ETag"]).strip('"')

    def get(self, bucket: str, key: str, *, if_match: str | None = None) -> bytes:
        """Read an object whole.

        Args:
            bucket: Bucket.
            key: Decoded key.
            if_match: Expected etag without quotes; None reads whatever is there.

        Raises:
            ObjectSuperseded: The object has another etag.
            MalformedObject: There is no such object (`missing_object`).
            StoreUnavailable: The store does not answer.
        """
        condition = {"IfMatch": f'"{if_match}"'} if if_match is not None else {}
        with translated(f"s3://{bucket}/{key}"):
            answer = self._client.get_object(Bucket=bucket, Key=key, **condition)
            return bytes(answer["Body"].read())

    def list(self, bucket: str, prefix: str = "") -> Iterator[ListedObject]:
        """Yield every object below a prefix in key order."""
        with translated(f"s3://{bucket}/{prefix}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            for page in pages:
                yield from _listed(bucket, page)

    def list_page(self, bucket: str, prefix: str, *, start_after: str) -> tuple[Sequence[ListedObject], bool]:
        """Return the first page of objects below a prefix whose keys follow `start_after`, and whether more follow."""
        with translated(f"s3://{bucket}/{prefix}"):
            page = self._client.list_objects_v2(
                Bucket=bucket, Prefix=prefix, StartAfter=start_after, MaxKeys=LISTED_PER_PAGE
            )
        return tuple(_listed(bucket, page)), bool(page.get("IsTruncated"))

    def list_folder(self, bucket: str, prefix: str) -> tuple[Sequence[str], Sequence[ListedObject]]:
        """Return the folders right below a prefix, each with its final slash, and the objects beside them."""
        folders: tuple[str, ...] = ()
        loose: tuple[ListedObject, ...] = ()
        with translated(f"s3://{bucket}/{prefix}"):
            paginator = self._client.get_paginator("list_objects_v2")
            for page in paginator.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
                folders += tuple(str(item["Prefix"]) for item in page.get("CommonPrefixes", []))
                loose += tuple(_listed(bucket, page))
        return folders, loose

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object; a missing one is no error."""
        with translated(f"s3://{bucket}/{key}"):
            self._client.delete_object(Bucket=bucket, Key=key)

    def ensure_bucket(self, name: str) -> None:
        """Create a bucket unless it exists."""
        is_default_region = self._region == "us-east-1"  # which must not be named
        location = {} if is_default_region else {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
        with translated(f"bucket {name}"):
            try:
                self._client.head_bucket(Bucket=name)
            except ClientError as exc:
                if exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 404:
                    raise
                try:
                    self._client.create_bucket(Bucket=name, **location)
                except self._client.exceptions.BucketAlreadyOwnedByYou:
                    return

    def has_notification(self, bucket: str, prefix: str, queue_arn: str) -> bool:
        """Say whether a notification brings every object created below `prefix` to a queue, whoever made it."""
        with translated(f"notification of bucket {bucket}"):
            current = self._client.get_bucket_notification_configuration(Bucket=bucket)
        queues = current.get("QueueConfigurations", [])
        return any(_covers(found, prefix=prefix, queue_arn=queue_arn) for found in queues)

    def ensure_notification(self, bucket: str, prefix: str, queue_arn: str) -> None:
        """Send object-created events below `prefix` to a queue; keeps the bucket's other notifications.

        One that is right is left alone: S3 sends a test event whenever a configuration is put.
        """
        if self.has_notification(bucket, prefix, queue_arn):
            return
        with translated(f"notification of bucket {bucket}"):
            current = self._client.get_bucket_notification_configuration(Bucket=bucket)
            kept = {name: value for name, value in current.items() if "Configuration" in name}
            ours = {
                "Id": NOTIFICATION_ID,
                "QueueArn": queue_arn,
                "Events": ["s3:ObjectCreated:*"],
                "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}},
            }
            others = [queue for queue in kept.get("QueueConfigurations", []) if queue.get("Id") != NOTIFICATION_ID]
            kept["QueueConfigurations"] = [*others, ours]
            self._client.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=kept)


def _covers(found: Mapping[str, Any], *, prefix: str, queue_arn: str) -> bool:
    """Say whether a notification of the bucket brings every created object below a prefix to a queue."""
    rules = found.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    filters = {str(rule["Name"]).lower(): str(rule["Value"]) for rule in rules}
    return (
        found.get("QueueArn") == queue_arn
        and "s3:ObjectCreated:*" in found.get("Events", [])
        and prefix.startswith(filters.get("prefix", ""))
        and not filters.get("suffix")
    )


def _listed(bucket: str, page: Mapping[str, Any]) -> Iterator[ListedObject]:
    for item in page.get("Contents", []):
        etag = str(item["ETag"]).strip('"')
        yield ListedObject(bucket, item["Key"], etag, int(item["Size"]), item["LastModified"])
