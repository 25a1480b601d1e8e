"""From checks to a verdict: the rule of the gate, pure.

A refresh passes when every check was evaluated and none of severity `error` failed. Bad single rows are flagged by
their check (`warned`) and published; set-level rules (share of bad rows, broken keys, volume) fail and reject.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from slackwater.quality.results import CheckResult, Layer


@dataclass(frozen=True)
class Decision:
    """Whether a refresh may be published, and if not, why: one sentence per rejecting check."""

    is_passed: bool
    reasons: tuple[str, ...]


REQUIRED_LAYERS = (Layer.RAW, Layer.STAGING, Layer.MARTS)
"""A gate run that looked at none of a layer's data has proved nothing."""


def decide_verdict(checks: Sequence[CheckResult]) -> Decision:
    """Decide whether a refresh may be published.

    Args:
        checks: Every check of the gate run, dbt's and Soda's, in any order.

    Returns:
        Not passed when a check rejects, or when a layer has no check at all.
    """
    reasons = [
        f"{check.dataset}: {check.name} {check.outcome.value.replace('_', ' ')}: {check.message}"
        for check in sorted(checks, key=lambda check: (check.layer, check.dataset, check.name))
        if check.is_rejecting
    ]
    unseen = [layer for layer in REQUIRED_LAYERS if not any(check.layer is layer for check in checks)]
    reasons += [f"no check looked at the {layer.value} layer" for layer in unseen]
    return Decision(not reasons, tuple(reasons))
