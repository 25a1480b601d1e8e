"""What the reconciler sees of one flow run, and what it may decide. Frozen records, no I/O and no rules here.

Three witnesses speak about a run: Prefect (its state), the machine or cluster (its process or pod) and the ledger (its
lease, which the process itself renews). No single one is believed: Prefect's heartbeats have marked finished runs as
crashed, a process id is given out again by the kernel, and a lease says nothing about a run that holds none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

SWEEP_FLOW = "sweep-landing"
"""The flow whose late runs are superfluous: the next one makes up for them."""


class RunState(StrEnum):
    """Prefect's state types."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CRASHED = "CRASHED"
    CANCELLED = "CANCELLED"


SLOT_STATES = frozenset({RunState.PENDING, RunState.RUNNING, RunState.CANCELLING})
"""Prefect counts runs in these states against the limits of a work pool and of a deployment."""

ENDED_BADLY = frozenset({RunState.FAILED, RunState.CRASHED, RunState.CANCELLED})


@dataclass(frozen=True)
class ObservedRun:
    """One flow run as Prefect's API shows it.

    Attributes:
        id: Flow run id; in the ledger the actor `flow-run/<root_id>`.
        root_id: Id of the run whose process this one shares; its own id unless it is a subflow.
        flow: Name of the flow.
        deployment: `flow/deployment`, None for a run without one.
        state_id: Changes with every change of state.
        since: When it came into its state, UTC, by Prefect's clock.
        expected_start_at: When it should have started, UTC.
        parameters: As text, for people.
        infrastructure_pid: As the worker wrote it: a process id, or `namespace:job`. None before it started anything.
        worker_name: Worker that took the run, None before one did.
        worker_type: `process`, `kubernetes`; None before a worker took it.
    """

    id: str
    name: str
    root_id: str
    flow: str
    deployment: str | None
    state: RunState
    state_name: str
    state_id: str
    since: datetime
    expected_start_at: datetime | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    infrastructure_pid: str | None = None
    worker_name: str | None = None
    worker_type: str | None = None

    @property
    def holds_slot(self) -> bool:
        """Tell whether Prefect counts it against a concurrency limit."""
        return self.state in SLOT_STATES

    @property
    def is_subflow(self) -> bool:
        """Tell whether another run's process executes it."""
        return self.root_id != self.id

    @property
    def has_ended(self) -> bool:
        """Tell whether its state is final."""
        return self.state is RunState.COMPLETED or self.state in ENDED_BADLY


class Life(StrEnum):
    """What is known of the process or pod that executes a run."""

    ALIVE = "alive"
    WAITING = "waiting"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Infrastructure:
    """The process or pod of a run, as far as it can be seen from here.

    Attributes:
        life: `waiting` is a pod or job that exists and has not started; `unknown` is no proof of anything.
        detail: In words, such as `process 4711` or `pod flows/ingest-x is Pending`.
        process_ids: Living processes of this host that carry the run's id, children included.
        jobs: Unfinished Kubernetes jobs of the run.
        pods: Pods of the run that have not finished and belong to no job.
    """

    life: Life
    detail: str
    process_ids: tuple[int, ...] = ()
    jobs: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()

    @property
    def has_leftovers(self) -> bool:
        """Tell whether something of the run still exists, whether or not it is the flow itself."""
        return bool(self.process_ids or self.jobs or self.pods)


@dataclass(frozen=True)
class LeaseView:
    """A lease of the ledger that a flow run holds or held last.

    Attributes:
        subject: `batch <id>`, or a kind of work such as a mart set's name.
        run_id: The (root) flow run that took it.
        attempt: Its number.
        seconds_left: Until it expires, by the database's clock; negative when it has.
    """

    subject: str
    run_id: str
    attempt: int
    seconds_left: float

    @property
    def is_live(self) -> bool:
        """Tell whether its holder renewed it lately, which only a living process does."""
        return self.seconds_left > 0


@dataclass(frozen=True)
class Limits:
    """How long each doubtful state is trusted, in seconds."""

    died: float = 60.0
    pending: float = 300.0
    waiting: float = 1_800.0
    cancelling: float = 120.0
    ended: float = 60.0
    completed: float = 300.0
    missed: float = 90.0


class Action(StrEnum):
    """What is done to a run; `end` ends what is left of it and never changes its state."""

    LEAVE = "leave"
    CRASH = "crash"
    CANCEL = "cancel"
    END = "end"


@dataclass(frozen=True)
class Situation:
    """Everything a rule may look at.

    Attributes:
        has_substitute: Of a late sweep: another one runs, or waits since longer, and makes up for it.
    """

    run: ObservedRun
    infrastructure: Infrastructure
    leases: tuple[LeaseView, ...]
    now: datetime
    limits: Limits = Limits()
    has_substitute: bool = False

    @property
    def age_seconds(self) -> float:
        """Return how long the run has been in its state."""
        return (self.now - self.run.since).total_seconds()

    @property
    def live_lease(self) -> LeaseView | None:
        """Return the lease that will live longest; None when there is no live one."""
        live = [lease for lease in self.leases if lease.is_live]
        return max(live, key=lambda lease: lease.seconds_left, default=None)


@dataclass(frozen=True)
class Decision:
    """What to do with one run and why.

    Attributes:
        rule: Stable name of the rule that spoke (`decide.RULES`).
        reason: The explanation, one or two sentences.
    """

    situation: Situation
    action: Action
    rule: str
    reason: str

    @property
    def run(self) -> ObservedRun:
        """Return the run it is about."""
        return self.situation.run

    @property
    def evidence(self) -> dict[str, str | int | float | None]:
        """Return what the decision was based on, for the record."""
        run, lease = self.run, self.situation.live_lease
        return {
            "rule": self.rule,
            "flow": run.flow,
            "state": run.state.value,
            "state_name": run.state_name,
            "since": run.since.isoformat(),
            "infrastructure": self.situation.infrastructure.detail,
            "life": self.situation.infrastructure.life.value,
            "infrastructure_pid": run.infrastructure_pid,
            "worker": run.worker_name,
            "live_lease": lease.subject if lease else None,
            "expired_leases": sum(not lease.is_live for lease in self.situation.leases),
        }


@dataclass(frozen=True)
class Outcome:
    """What became of a decision.

    Attributes:
        is_done: True when the world was changed; False for `leave`, a dry run, and one that came too late.
        note: What was done, or why not.
    """

    decision: Decision
    is_done: bool
    note: str = ""


@dataclass(frozen=True)
class RunsReport:
    """One pass of the reconciler.

    Attributes:
        outcomes: One per run looked at; what was acted upon first, then oldest state first.
        notes: What could not be looked at, such as a cluster that did not answer. Empty: everything was seen.
    """

    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...]
    is_dry: bool = False

    def done(self, *actions: Action) -> tuple[Outcome, ...]:
        """Return the outcomes of these actions (all when none is named) that changed something."""
        return tuple(one for one in self.outcomes if one.is_done and (not actions or one.decision.action in actions))
