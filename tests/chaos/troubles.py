"""The troubles of the catalogue, done to a running stack with its real services.

Each is told when files are about to be sent, when they were sent, and when the system came to rest; `end` puts back
what it changed, whatever happened. Message faults take the bucket's notification away and send the events themselves.
"""

import random
from collections.abc import Callable, Mapping, Sequence

from catalogue import Trouble
from extras import Extra, extra_bridge, extra_worker, skewed_clock
from messages import Notifications, notification_bodies
from repairs import expire_snapshots_and_drive_again, lose_and_rebuild_ledger, roll_back_a_snapshot
from shortages import NoConnections, NoSpace, PostgresDown, ShortVisibility
from trouble import BaseTrouble
from world import World

from slackwater.clients.sqs import Queue
from slackwater.stack.supervisor import Supervisor, socket_path

HOUR_SECONDS = 3600
TENTH = 10


class EventsDropped(BaseTrouble):
    """No event is ever sent: the sweep finds every file."""

    def before(self) -> None:
        Notifications(self.world).off()

    def end(self) -> None:
        Notifications(self.world).on()


class EventsByHand(EventsDropped):
    """Subclasses choose which events are sent, and how often, when the files are there."""

    def after(self, keys: Sequence[str]) -> None:
        self.send(keys)

    def send(self, keys: Sequence[str], *, late_seconds: int = 0) -> None:
        systems = self.world.systems
        queue = Queue(systems.s3, systems.landing.queue_name)
        for body in notification_bodies(self.world, keys, late_seconds=late_seconds):
            queue.send(body)


class EventsDoubled(EventsByHand):
    """Each event comes twice, the second time after all the others."""

    def after(self, keys: Sequence[str]) -> None:
        self.send([*keys, *keys])


class EventsReordered(EventsByHand):
    """The events come in any order."""

    def after(self, keys: Sequence[str]) -> None:
        self.send(self.source.sample(list(keys), len(keys)))


class TenthLost(EventsByHand):
    """One event of ten never comes, at least one."""

    def after(self, keys: Sequence[str]) -> None:
        lost = set(self.source.sample(list(keys), max(1, len(keys) // TENTH)))
        self.send([key for key in keys if key not in lost])


class EventsLate(EventsByHand):
    """The events come when the sweep has found everything and all is published; they carry the time of an hour ago."""

    keys: Sequence[str] = ()

    def after(self, keys: Sequence[str]) -> None:
        self.keys = keys

    def at_rest(self) -> bool:
        self.send(self.keys, late_seconds=HOUR_SECONDS)
        return True


class MoreProcesses(BaseTrouble):
    """A second bridge or worker from before the files are sent until all is at rest."""

    start: Callable[..., Extra]
    extra: Extra | None = None

    def before(self) -> None:
        self.extra = type(self).start(self.world.profile)

    def at_rest(self) -> bool:
        assert self.extra is not None
        assert self.extra.is_alive, "the extra process died by itself; see extra-*.log"
        return False

    def end(self) -> None:
        if self.extra is not None:
            self.extra.end()


class TwoBridges(MoreProcesses):
    """Two bridges at once."""

    start = staticmethod(extra_bridge)


class TwoWorkers(MoreProcesses):
    """Two workers at once."""

    start = staticmethod(extra_worker)


class SkewedClocks(BaseTrouble):
    """The bridge is a minute ahead or behind, the worker and its flows the other way; the stores are in between."""

    SERVICES = ("bridge", "worker")

    def __init__(self, world: World, source: random.Random) -> None:
        super().__init__(world, source)
        self.extras: list[Extra] = []

    def before(self) -> None:
        profile, ahead = self.world.profile, self.source.choice((60, -60))
        clocks = {
            "bridge": skewed_clock(profile.home, seconds=ahead),
            "worker": skewed_clock(profile.home, seconds=-ahead),
        }
        self.extras = [
            extra_bridge(profile, added=clocks["bridge"]),
            extra_worker(profile, added=clocks["worker"]),
        ]
        for service in self.SERVICES:
            Supervisor(socket_path(profile.home)).stop(service)

    def end(self) -> None:
        for extra in self.extras:
            extra.end()
        for service in self.SERVICES:
            Supervisor(socket_path(self.world.profile.home)).start(service)


class SnapshotRolledBack(BaseTrouble):
    """At rest, the newest snapshot of a changelog is rolled back; its batches are driven again."""

    def at_rest(self) -> bool:
        roll_back_a_snapshot(self.world, self.source)
        return True


class SnapshotsExpired(BaseTrouble):
    """At rest, every snapshot but the last is expired and an old batch is driven again."""

    def at_rest(self) -> bool:
        expire_snapshots_and_drive_again(self.world, self.source)
        return True


class LedgerLost(BaseTrouble):
    """At rest, the ledger's schema is dropped and restored by `slackwater ledger rebuild`."""

    def at_rest(self) -> bool:
        lose_and_rebuild_ledger(self.world)
        return True


class DiskFullPostgres(NoSpace):
    """PostgreSQL cannot write."""

    service = "postgres"


class DiskFullSnowflake(NoSpace):
    """The warehouse cannot write, from before the first batch is loaded until after its run has failed."""

    service = "snowflake"
    lasts_seconds = 45.0


class DiskFullFlows(NoSpace):
    """Neither the worker nor a flow can write a file."""

    service = "worker"


TROUBLES: Mapping[Trouble, type[BaseTrouble]] = {
    Trouble.EVENTS_DROPPED: EventsDropped,
    Trouble.EVENTS_DOUBLED: EventsDoubled,
    Trouble.EVENTS_LATE: EventsLate,
    Trouble.EVENTS_REORDERED: EventsReordered,
    Trouble.EVENTS_TENTH_LOST: TenthLost,
    Trouble.SHORT_VISIBILITY: ShortVisibility,
    Trouble.TWO_BRIDGES: TwoBridges,
    Trouble.TWO_WORKERS: TwoWorkers,
    Trouble.SKEWED_CLOCKS: SkewedClocks,
    Trouble.DISK_FULL_POSTGRES: DiskFullPostgres,
    Trouble.DISK_FULL_SNOWFLAKE: DiskFullSnowflake,
    Trouble.DISK_FULL_FLOWS: DiskFullFlows,
    Trouble.NO_CONNECTIONS: NoConnections,
    Trouble.POSTGRES_DOWN: PostgresDown,
    Trouble.SNAPSHOT_ROLLED_BACK: SnapshotRolledBack,
    Trouble.SNAPSHOTS_EXPIRED: SnapshotsExpired,
    Trouble.LEDGER_LOST: LedgerLost,
}
