"""One pass of the run reconciler from the environment: `python -m slackwater.runs`.

For what runs outside Prefect and so needs no slot: the embedded stack's keeper, a cron job in production.
"""

import sys
from datetime import UTC, datetime

from slackwater.clients.prefect_runs import PrefectRuns
from slackwater.errors import SlackwaterError
from slackwater.ledger.store import Ledger
from slackwater.runs.reconcile import reconcile
from slackwater.runs.report import line, noteworthy
from slackwater.settings import EventSettings, LedgerSettings, RunSettings


def main() -> int:
    """Run one pass and print what was noteworthy; return the exit code."""
    try:
        with PrefectRuns(EventSettings()) as api, Ledger(LedgerSettings().dsn) as ledger:
            report = reconcile(api=api, ledger=ledger, settings=RunSettings(), now=datetime.now(UTC))
    except SlackwaterError as exc:
        print(f"runs: {exc}", file=sys.stderr, flush=True)
        return 1
    for text in (*(f"runs: {line(one)}" for one in noteworthy(report)), *(f"runs: {note}" for note in report.notes)):
        print(text, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
