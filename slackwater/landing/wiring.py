"""How events reach the bridge: the bucket, its notification, the queues. Made once, and again when something is gone.

An emulator that was killed forgets queues and notifications; in production somebody deletes one by mistake. Either way
no event comes any more and nothing else would say so.
"""

from collections.abc import Callable
from dataclasses import dataclass

from slackwater.clients.s3 import ObjectStore
from slackwater.clients.sqs import Queue
from slackwater.errors import SlackwaterError
from slackwater.settings import LandingSettings, S3Settings

MANAGED = "managed"


@dataclass(frozen=True)
class WiringReport:
    """What was wrong with the way events come.

    Attributes:
        repairs: What was gone and was made again, one text each.
        problems: What is wrong and was not repaired, one text each.
    """

    repairs: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Tell whether nothing was wrong: no event was lost for that reason."""
        return not (self.repairs or self.problems)


@dataclass(frozen=True)
class _Part:
    name: str
    is_there: Callable[[], bool]
    make: Callable[[], object]


@dataclass(frozen=True)
class Wiring:
    """The landing bucket's way to the bridge: clients and names."""

    store: ObjectStore
    queues: tuple[Queue, ...]
    dead_letters: Queue
    landing: LandingSettings

    @classmethod
    def of(cls, s3: S3Settings, landing: LandingSettings) -> "Wiring":
        """Return the wiring the settings name; nothing is asked or made."""
        queues = tuple(Queue(s3, name) for name in landing.queue_names)
        return cls(ObjectStore(s3), queues, Queue(s3, landing.dead_letter_queue_name), landing)

    def ensure(self) -> None:
        """Bring bucket, queues, dead-letter queue and notification in line; a second call changes nothing."""
        self.store.ensure_bucket(self.landing.bucket)
        self.dead_letters.ensure()
        for queue in self.queues:
            self._ensure_queue(queue)
        self._notification().make()

    def check(self, *, before_repair: Callable[[], None]) -> WiringReport:
        """Look whether queues and notification are there, and make again what is gone where that is ours to do.

        The bucket is never made again: a missing one means that data is gone, not that an emulator forgot a setting.
        What cannot be looked at (no right to) is a problem, never an error: the rest of the sweep does not need it.

        Args:
            before_repair: Called before anything is made again, to note that events were lost: a process that dies
                right after a repair would leave no trace of it.
        """
        is_managed = self.landing.wiring == MANAGED
        repairs: list[str] = []
        problems: list[str] = []
        for part in (*(self._queue_part(queue) for queue in (self.dead_letters, *self.queues)), self._notification()):
            try:
                if part.is_there():
                    continue
                if not is_managed:
                    problems.append(f"{part.name} does not exist")
                    continue
                before_repair()
                part.make()
                repairs.append(f"{part.name} was gone and was made again")
            except SlackwaterError as exc:
                problems.append(str(exc))
        return WiringReport(tuple(repairs), tuple(problems))

    def _queue_part(self, queue: Queue) -> _Part:
        make = self._ensure_queue if queue is not self.dead_letters else Queue.ensure
        return _Part(f"queue {queue.name}", queue.exists, lambda: make(queue))

    def _notification(self) -> _Part:
        landing, main = self.landing, self.queues[0]
        is_asked = landing.wiring == MANAGED  # events may come another way where it is not ours
        return _Part(
            f"the notification of bucket {landing.bucket}",
            lambda: not is_asked or self.store.has_notification(landing.bucket, landing.prefix, main.arn()),
            lambda: self.store.ensure_notification(landing.bucket, landing.prefix, main.arn()),
        )

    def _ensure_queue(self, queue: Queue) -> None:
        queue.ensure(
            dead_letter_arn=self.dead_letters.arn(),
            max_receive_count=self.landing.max_receive_count,
            visibility_timeout_seconds=self.landing.visibility_timeout_seconds,
            allow_from_bucket=self.landing.bucket,
        )
