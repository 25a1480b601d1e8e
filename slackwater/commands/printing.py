"""How ledger answers are printed: as JSON, or with their history as a table."""

import json

from slackwater.commands.query import print_rows
from slackwater.ledger.answers import Answer, TransitionLine, as_json


def print_json(*answers: Answer, is_list: bool = False) -> None:
    """Print one answer as a JSON object, or several as a JSON list."""
    documents = [as_json(answer) for answer in answers]
    print(json.dumps(documents if is_list else documents[0], indent=2))


def print_history(history: tuple[TransitionLine, ...]) -> None:
    """Print the recorded changes of state, oldest first."""
    print_rows(
        ("at (UTC)", "from", "to", "by", "detail"),
        [
            (line.at.strftime("%Y-%m-%d %H:%M:%S"), line.from_state, line.to_state, line.actor, json.dumps(line.detail))
            for line in history
        ],
    )
