"""`slackwater lake plan`: what the upkeep would fold and compact now, and why not the rest."""

import json
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime

from slackwater.commands.context import AsJson, current_systems, open_ledger, out, plain_errors


def lake_plan(is_json: AsJson = False) -> None:
    """Say for every entity whether it would be folded, and for every partition whether it would be compacted, and why.

    Changes nothing. The flow compact-table does it; it runs by itself when enough has landed.
    """
    from slackwater.clients.iceberg import Lake
    from slackwater.lake.run_compaction import plan_all
    from slackwater.lake.upkeep import fold_decisions

    systems = current_systems()
    with plain_errors(), open_ledger(systems) as ledger, closing(Lake(systems.lake, systems.s3)) as lake:
        folds = fold_decisions(ledger, systems.lake)
        plans = plan_all(ledger, lake, systems.lake, now=datetime.now(UTC))
    if is_json:
        partitions = [asdict(decision) for one in plans for decision in one.plan.decisions]
        document = {"folds": [asdict(one) for one in folds], "partitions": partitions}
        print(json.dumps(document, indent=2, default=str))
        return
    for one in folds:
        out.print(f"{one.entity}: {one.reason}", markup=False)
    if not folds:
        out.print("Nothing waits for a fold.")
    for plan in plans:
        for decision in plan.plan.decisions:
            out.print(decision.told, markup=False)
