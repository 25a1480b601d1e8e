"""One pass of the run reconciler: observe, decide, act, record. Safe at any time, and twice at once.

It needs no slot of the work pool itself when it is called from outside Prefect (`python -m slackwater.runs`): runs that
died together may hold every slot, and then no sweep can start that would free them.
"""

from datetime import datetime

from slackwater.clients.kubernetes import Cluster
from slackwater.clients.prefect_runs import PrefectRuns
from slackwater.ledger.run_leases import record_decision
from slackwater.ledger.store import Ledger
from slackwater.runs.act import act
from slackwater.runs.decide import NOTEWORTHY, decide
from slackwater.runs.model import Action, Limits, Outcome, RunsReport
from slackwater.runs.observe import observe
from slackwater.settings import RunSettings


def reconcile(
    *, api: PrefectRuns, ledger: Ledger, settings: RunSettings, now: datetime, is_dry: bool = False
) -> RunsReport:
    """Look at every run that may be dead or may have left something behind, and do what the rules say.

    Args:
        api: Prefect.
        ledger: The ledger: its leases are read, what was done is recorded there.
        settings: Which runs, and how long each doubtful state is trusted.
        now: The present time, UTC.
        is_dry: Decide only; nothing is changed or recorded.

    Raises:
        StoreUnavailable: Prefect or the ledger does not answer; nothing was done.
    """
    cluster = open_cluster(settings)
    seen = observe(
        api=api, ledger=ledger, cluster=cluster, work_pool=settings.work_pool, limits=limits_of(settings), now=now
    )
    decisions = sorted((decide(one) for one in seen.situations), key=lambda one: one.action is Action.LEAVE)
    if is_dry:
        return RunsReport(tuple(Outcome(one, is_done=False) for one in decisions), seen.notes, is_dry=True)
    outcomes = []
    for decision in decisions:
        outcome = act(decision, api=api, cluster=cluster, stop_grace_seconds=settings.stop_grace_seconds)
        if outcome.is_done or decision.rule in NOTEWORTHY:
            _record(ledger, outcome)
        outcomes.append(outcome)
    return RunsReport(tuple(outcomes), seen.notes)


def limits_of(settings: RunSettings) -> Limits:
    """Return the limits the settings give."""
    return Limits(
        died=settings.died_limit_seconds,
        pending=settings.pending_limit_seconds,
        waiting=settings.waiting_limit_seconds,
        cancelling=settings.cancelling_limit_seconds,
        ended=settings.ended_grace_seconds,
        completed=settings.completed_grace_seconds,
    )


def open_cluster(settings: RunSettings) -> Cluster | None:
    """Return the cluster of the settings; None when no namespace is named."""
    if settings.kubernetes_namespace is None:
        return None
    return Cluster(settings.kubernetes_namespace, kubeconfig=settings.kubernetes_config_file)


def _record(ledger: Ledger, outcome: Outcome) -> None:
    decision = outcome.decision
    with ledger.transaction() as connection:
        record_decision(
            connection,
            run_id=decision.run.id,
            run_name=decision.run.name,
            action=decision.action.value,
            reason=decision.reason,
            evidence={**decision.evidence, "done": outcome.note},
        )
