"""What the schedules did, as text for a person and as one JSON document."""

import json
from collections.abc import Sequence

from catalogue import KILLS, Trouble
from killing import Victim
from player import Played
from stopping import Boundary


def line_of(played: Played) -> str:
    """Return what one schedule came to, in one line, and its problems below."""
    account = played.account
    said = "ok" if played.is_good else "NOT OK"
    spent = sum(played.seconds.values())
    text = (
        f"  {said} in {spent:.0f} s: {account.rows_sent:,} rows sent, {account.rows_lost} lost,"
        f" {account.rows_doubled} doubled, {account.rewrites} tables rewritten so far"
        f" ({', '.join(f'{part} {took:.0f}' for part, took in played.seconds.items())})"
    )
    return "\n".join([text, *(f"    ! {problem}" for problem in (*played.missed, *account.problems))])


def summary(results: Sequence[Played], *, seed: int) -> str:
    """Return the final report."""
    return "\n".join(
        [
            f"seed {seed}",
            f"schedules run    {len(results)}",
            f"faults injected  {sum(len(played.struck) for played in results)}",
            f"faults missed    {sum(len(played.missed) for played in results)}",
            f"rows sent        {max((played.account.rows_sent for played in results), default=0):,}",
            f"rows lost        {max((played.account.rows_lost for played in results), default=0)}",
            f"rows doubled     {max((played.account.rows_doubled for played in results), default=0)}",
            f"folds beside     {sum('fold' in played.seconds for played in results)}",
            f"tables rewritten {max((played.account.rewrites for played in results), default=0)}",
            f"other problems   {sum(len(played.account.problems) for played in results)}",
        ]
    )


def matrix(results: Sequence[Played]) -> str:
    """Return how often each boundary was struck with each victim, and each trouble happened."""
    struck = [fault for played in results for fault in played.struck]
    width = max(len(boundary) for boundary in Boundary)
    lines = [" ".join(["boundary".ljust(width), *(victim.rjust(12) for victim in Victim)])]
    for boundary in Boundary:
        row = [kill for kill in KILLS if kill.boundary is boundary]
        lines.append(" ".join([boundary.ljust(width), *(str(struck.count(kill)).rjust(12) for kill in row)]))
    return "\n".join([*lines, "", *(f"{struck.count(trouble):>3}  {trouble}" for trouble in Trouble)])


def as_json(results: Sequence[Played], *, seed: int) -> str:
    """Return everything as one JSON document."""
    return json.dumps(
        {
            "seed": seed,
            "schedules": len(results),
            "faults_injected": sum(len(played.struck) for played in results),
            "rows_lost": max((played.account.rows_lost for played in results), default=0),
            "rows_doubled": max((played.account.rows_doubled for played in results), default=0),
            "folds": sum("fold" in played.seconds for played in results),
            "tables_rewritten": max((played.account.rewrites for played in results), default=0),
            "results": [
                {
                    "number": played.schedule.number,
                    "faults": [str(fault) for fault in played.schedule.faults],
                    "struck": [str(fault) for fault in played.struck],
                    "missed": list(played.missed),
                    "rows_sent": played.account.rows_sent,
                    "rows_lost": played.account.rows_lost,
                    "rows_doubled": played.account.rows_doubled,
                    "problems": list(played.account.problems),
                    "seconds": {part: round(took, 1) for part, took in played.seconds.items()},
                }
                for played in results
            ],
        },
        indent=2,
    )
