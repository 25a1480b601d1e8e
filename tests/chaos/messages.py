"""S3 event messages made by hand, for events that come twice, late, in another order or not at all."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import quote_plus

from world import World

from slackwater.clients.s3 import ObjectStore, aws_client
from slackwater.stack.bootstrap import ensure_landing


class Notifications:
    """The landing bucket's notification, which can be taken away and given back."""

    def __init__(self, world: World) -> None:
        self._systems = world.systems

    def off(self) -> None:
        """Have S3 announce nothing."""
        aws_client("s3", self._systems.s3).put_bucket_notification_configuration(
            Bucket=self._systems.landing.bucket, NotificationConfiguration={}
        )

    def on(self) -> None:
        """Have S3 announce every new object."""
        ensure_landing(self._systems.s3, self._systems.landing)


def landing_keys(world: World) -> list[str]:
    """Return every key below the landing prefix."""
    landing = world.systems.landing
    return [item.key for item in ObjectStore(world.systems.s3).list(landing.bucket, landing.prefix)]


def notification_bodies(world: World, keys: Sequence[str], *, late_seconds: int = 0) -> list[str]:
    """Return one S3 event message per key, in the order of the keys, as AWS words it."""
    landing = world.systems.landing
    listed = {item.key: item for item in ObjectStore(world.systems.s3).list(landing.bucket, landing.prefix)}
    at = datetime.now(UTC) - timedelta(seconds=late_seconds)
    return [
        json.dumps(
            {
                "Records": [
                    {
                        "eventVersion": "2.1",
                        "eventSource": "aws:s3",
                        "eventName": "ObjectCreated:Put",
                        "eventTime": at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
                        "s3": {
                            "bucket": {"name": landing.bucket},
                            "object": {
                                "key": quote_plus(key, safe="/"),
                                "size": listed[key].size_bytes,
                                "eTag": listed[key].etag,
                            },
                        },
                    }
                ]
            }
        )
        for key in keys
    ]
