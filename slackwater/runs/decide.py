"""The rules of the run reconciler, pure: one situation in, one explained decision out.

The first rule that speaks decides. Two things hold for every input and have a test over all combinations: a run that
has ended is never given another state, and a run whose lease is alive is never crashed. A second look never hurts: a
run that is left alone is looked at again within a minute.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from slackwater.runs.model import (
    ENDED_BADLY,
    SWEEP_FLOW,
    Action,
    Decision,
    Life,
    RunState,
    Situation,
)


@dataclass(frozen=True)
class Rule:
    """One rule: `explain` returns the reason when it applies, otherwise None."""

    name: str
    action: Action
    explain: Callable[[Situation], str | None]

    @property
    def summary(self) -> str:
        """Return what the rule is for."""
        return (self.explain.__doc__ or "").strip().splitlines()[0]


def decide(situation: Situation) -> Decision:
    """Return the decision of the first rule that applies; the last one always does."""
    for rule in RULES:
        reason = rule.explain(situation)
        if reason is not None:
            return Decision(situation, rule.action, rule.name, reason)
    raise AssertionError("the last rule applies to everything")


def _completed_leftover(s: Situation) -> str | None:
    """End what is left of a completed run, after a grace; the run stays completed."""
    if s.run.state is RunState.COMPLETED and s.infrastructure.has_leftovers and s.age_seconds >= s.limits.completed:
        return f"It completed {_ago(s)}, but {s.infrastructure.detail} is still there. The run stays completed."
    return None


def _completed(s: Situation) -> str | None:
    """Never touch a completed run, whatever a process, a pod or a lease says."""
    if s.run.state is not RunState.COMPLETED:
        return None
    left = f" {s.infrastructure.detail} is still ending." if s.infrastructure.has_leftovers else ""
    return f"It is completed.{left}"


def _ended_leftover(s: Situation) -> str | None:
    """End the process or pod of a run that failed, crashed or was cancelled, after a grace."""
    if s.run.state in ENDED_BADLY and s.infrastructure.has_leftovers and s.age_seconds >= s.limits.ended:
        return f"It is {s.run.state_name} since {_ago(s)}, but {s.infrastructure.detail} goes on."
    return None


def _ended(s: Situation) -> str | None:
    """Leave a run that has ended."""
    return f"It is {s.run.state_name}." if s.run.has_ended else None


def _running_alive(s: Situation) -> str | None:
    """Leave a running run whose process or pod lives."""
    if s.run.state is RunState.RUNNING and s.infrastructure.life in (Life.ALIVE, Life.WAITING):
        return f"It runs: {s.infrastructure.detail}."
    return None


def _running_leased(s: Situation) -> str | None:
    """Leave a running run whose lease is alive, whatever else is seen: only a living process renews one."""
    if s.run.state is RunState.RUNNING and s.live_lease is not None:
        return f"{_seen(s)}, but {_lease(s)}. If it is dead, the lease ends and the next look frees it."
    return None


def _running_unknown(s: Situation) -> str | None:
    """Leave a running run whose process or pod cannot be seen from here: absence of proof is no proof."""
    if s.run.state is RunState.RUNNING and s.infrastructure.life is Life.UNKNOWN:
        return f"Nothing can be said from here: {s.infrastructure.detail}, and it holds no live lease."
    return None


def _running_dead(s: Situation) -> str | None:
    """Crash a running run whose process or pod is gone and whose lease is not alive."""
    if s.run.state is not RunState.RUNNING:
        return None
    lease = s.leases[0] if s.leases else None
    held = f"its lease on {lease.subject} ran out {-lease.seconds_left:.0f} s ago" if lease else "it holds no lease"
    return f"{_seen(s)} and {held}: nobody works on it, and it would hold its slot for ever."


def _pending_died(s: Situation) -> str | None:
    """Crash a pending run whose process or pod was started and is gone: it died on its way to running."""
    is_dead = s.infrastructure.life is Life.GONE and s.run.infrastructure_pid is not None and s.live_lease is None
    if s.run.state is RunState.PENDING and is_dead and s.age_seconds >= s.limits.died:
        return f"Pending since {_ago(s)}, and {s.infrastructure.detail}: it died before it ran."
    return None


def _pending_recent(s: Situation) -> str | None:
    """Leave a run that is pending for a moment."""
    if s.run.state is RunState.PENDING and s.age_seconds < s.limits.pending:
        return f"Pending since {_ago(s)}; it may take {s.limits.pending:.0f} s to start."
    return None


def _pending_alive(s: Situation) -> str | None:
    """Leave a pending run whose process lives or whose lease is renewed: it starts slowly."""
    if s.run.state is not RunState.PENDING:
        return None
    if s.infrastructure.life is Life.ALIVE:
        return f"Pending since {_ago(s)}, but {s.infrastructure.detail} lives."
    return f"Pending since {_ago(s)}, but {_lease(s)}." if s.live_lease else None


def _pending_unsure(s: Situation) -> str | None:
    """Leave a pending run whose pod waits for a node, or that is taken by a worker elsewhere, for the longer limit."""
    is_unsure = s.infrastructure.life in (Life.WAITING, Life.UNKNOWN)
    if s.run.state is RunState.PENDING and is_unsure and s.age_seconds < s.limits.waiting:
        return f"Pending since {_ago(s)}: {s.infrastructure.detail}. It is trusted for {s.limits.waiting:.0f} s."
    return None


def _pending_lost(s: Situation) -> str | None:
    """Crash a pending run that nothing executes: it was lost between the worker and its process."""
    if s.run.state is RunState.PENDING:
        return f"Pending since {_ago(s)}: {s.infrastructure.detail}. It never started and would hold its slot for ever."
    return None


def _cancelling_recent(s: Situation) -> str | None:
    """Leave a run that is being cancelled: its worker ends it."""
    if s.run.state is RunState.CANCELLING and s.age_seconds < s.limits.cancelling:
        return f"Being cancelled since {_ago(s)}."
    return None


def _cancelling_stuck(s: Situation) -> str | None:
    """End what is left of a run whose cancelling nobody finished; a subflow shares its process, so not of one."""
    if s.run.state is RunState.CANCELLING and s.infrastructure.has_leftovers and not s.run.is_subflow:
        return f"Being cancelled since {_ago(s)}, but {s.infrastructure.detail} goes on."
    return None


def _cancelling_gone(s: Situation) -> str | None:
    """Finish the cancelling of a run whose process or pod is gone."""
    if s.run.state is RunState.CANCELLING and s.infrastructure.life is Life.GONE:
        return f"Being cancelled since {_ago(s)}, and {s.infrastructure.detail}."
    return None


def _missed_sweep(s: Situation) -> str | None:
    """Cancel a scheduled sweep whose time passed, if another one runs or waits since longer; that one is kept."""
    expected = s.run.expected_start_at
    if s.run.state is not RunState.SCHEDULED or s.run.flow != SWEEP_FLOW or expected is None:
        return None
    late_seconds = (s.now - expected).total_seconds()
    if late_seconds <= s.limits.missed or not s.has_substitute:
        return None
    return f"It should have started {late_seconds:.0f} s ago, and another sweep makes up for it."


def _otherwise(s: Situation) -> str | None:
    """Leave everything else: scheduled, paused, or being cancelled out of sight."""
    return f"It is {s.run.state_name}: {s.infrastructure.detail}."


RULES: tuple[Rule, ...] = (
    Rule("completed_leftover", Action.END, _completed_leftover),
    Rule("completed", Action.LEAVE, _completed),
    Rule("ended_leftover", Action.END, _ended_leftover),
    Rule("ended", Action.LEAVE, _ended),
    Rule("running_alive", Action.LEAVE, _running_alive),
    Rule("running_leased", Action.LEAVE, _running_leased),
    Rule("running_unknown", Action.LEAVE, _running_unknown),
    Rule("running_dead", Action.CRASH, _running_dead),
    Rule("pending_died", Action.CRASH, _pending_died),
    Rule("pending_recent", Action.LEAVE, _pending_recent),
    Rule("pending_alive", Action.LEAVE, _pending_alive),
    Rule("pending_unsure", Action.LEAVE, _pending_unsure),
    Rule("pending_lost", Action.CRASH, _pending_lost),
    Rule("cancelling_recent", Action.LEAVE, _cancelling_recent),
    Rule("cancelling_stuck", Action.END, _cancelling_stuck),
    Rule("cancelling_gone", Action.CANCEL, _cancelling_gone),
    Rule("missed_sweep", Action.CANCEL, _missed_sweep),
    Rule("otherwise", Action.LEAVE, _otherwise),
)

NOTEWORTHY = frozenset({"running_leased", "running_unknown", "pending_unsure", "pending_alive"})
"""Rules that leave a run although something about it is odd; said and recorded like an act."""


def _seen(s: Situation) -> str:
    """Return what was seen of its process or pod, as the beginning of a sentence."""
    return s.infrastructure.detail[:1].upper() + s.infrastructure.detail[1:]


def _ago(s: Situation) -> str:
    return f"{_time(s.run.since)} ({s.age_seconds:.0f} s)"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _lease(s: Situation) -> str:
    lease = s.live_lease
    if lease is None:
        return "it holds no live lease"
    return f"its lease on {lease.subject} (attempt {lease.attempt}) is alive for {lease.seconds_left:.0f} s more"
