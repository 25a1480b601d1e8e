"""Do what was decided, and say what became of it. A decision that was overtaken by events is not carried out.

Before anything is done the run's state is read again: it must still be the one that was judged. A state is then
proposed under Prefect's own rules, never forced, so the server itself refuses to crash a run that has just completed.
"""

from slackwater.clients.kubernetes import Cluster
from slackwater.clients.prefect_runs import PrefectRuns
from slackwater.clients.processes import end_run_processes
from slackwater.errors import SlackwaterError
from slackwater.runs.model import Action, Decision, Outcome

_STATES = {Action.CRASH: ("CRASHED", "Crashed"), Action.CANCEL: ("CANCELLED", "Cancelled")}


def act(decision: Decision, *, api: PrefectRuns, cluster: Cluster | None, stop_grace_seconds: float) -> Outcome:
    """Carry out one decision; `leave` changes nothing. A second call finds the state changed and does nothing.

    Args:
        decision: What to do.
        api: Prefect.
        cluster: Where pods are ended; None when there is no cluster.
        stop_grace_seconds: Time between asking a process or pod to end and killing it, > 0.

    Returns:
        What became of it; an error of a store is a note, because the other runs still have to be looked at.
    """
    if decision.action is Action.LEAVE:
        return Outcome(decision, is_done=False)
    try:
        state_id, state_type = api.state_of(decision.run.id)
        if state_id != decision.run.state_id:
            return Outcome(decision, is_done=False, note=f"not done: it is {state_type} meanwhile")
        if decision.action is Action.END:
            return _end(decision, cluster, grace_seconds=stop_grace_seconds)
        state, name = _STATES[decision.action]
        answer = api.propose_state(decision.run.id, state, name=name, message=decision.reason)
    except SlackwaterError as exc:
        return Outcome(decision, is_done=False, note=f"not done: {exc}")
    if not answer.is_accepted:
        return Outcome(decision, is_done=False, note=f"not done: Prefect answered {answer.status}: {answer.reason}")
    return Outcome(decision, is_done=True, note=f"set to {name}")


def _end(decision: Decision, cluster: Cluster | None, *, grace_seconds: float) -> Outcome:
    infrastructure, notes, is_done = decision.situation.infrastructure, [], False
    if infrastructure.process_ids:
        ended = end_run_processes(decision.run.root_id, grace_seconds=grace_seconds)
        is_done = bool(ended.ended or ended.killed)
        named = (("ended", ended.ended), ("killed", ended.killed), ("could not end", ended.left))
        notes += [f"{word} process {', '.join(map(str, pids))}" for word, pids in named if pids]
    if cluster is not None:
        seconds = max(1, round(grace_seconds))
        for job in infrastructure.jobs:
            is_done |= cluster.delete_job(job, grace_seconds=seconds)
            notes.append(f"deleted job {job}")
        for pod in infrastructure.pods:
            is_done |= cluster.delete_pod(pod, grace_seconds=seconds)
            notes.append(f"deleted pod {pod}")
    return Outcome(decision, is_done=is_done, note="; ".join(notes) or "nothing was left of it any more")
