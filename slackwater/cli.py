"""The `slackwater` command: puts the commands together and gives them the environment of this folder's stack.

A command's module is imported when that command is called or described: together they import every driver there is,
which takes longer than most commands do.
"""

import gc
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
import typer.core

from slackwater.commands.context import adopt_stack_environment
from slackwater.without_pandas import hide_pandas

COMMANDS: Mapping[str, str] = {
    "stack": "stack:app",
    "demo": "demo:demo",
    "replay": "replay:replay",
    "status": "status:status",
    "completeness": "completeness:completeness",
    "batches": "batches:app",
    "quarantine": "quarantine:app",
    "gate": "gate:app",
    "dlq": "dlq:app",
    "runs": "runs:app",
    "alerts": "alerts:app",
    "ledger": "ledger:app",
    "lake": "lake:app",
    "schema": "schema:app",
    "explain": "explain:explain",
    "lineage": "lineage:lineage",
    "docs": "docs:docs",
    "sql": "query:sql",
    "doctor": "doctor:doctor",
    "env": "environment:env",
}
"""Commands in the order of the help: `module:name` below `slackwater.commands`; a name is a function or a group."""


GC_THRESHOLD = (200_000, 20, 50)
"""A command imports a few hundred modules and ends: looking for garbage meanwhile is a third of its time."""


class ImportedCommands(Mapping[str, Any]):
    """Typer's command objects by name, each made from its module when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        module, _, attribute = COMMANDS[name].partition(":")
        found: Any = getattr(import_module(f"slackwater.commands.{module}"), attribute)
        parent = typer.Typer(add_completion=False, rich_markup_mode=None)
        if isinstance(found, typer.Typer):
            parent.add_typer(found, name=name)
        else:
            parent.command(name)(found)
        return typer.main.get_group(parent).commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Slackwater(typer.core.TyperGroup):
    """The top of the command line."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = ImportedCommands()  # type: ignore[assignment]  # a dict by name; nothing is added to ours

    def list_commands(self, *_: object) -> list[str]:
        """Return the names without importing what they stand for."""
        return list(self.commands)


app = typer.Typer(
    cls=Slackwater,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Slackwater: an event-driven lakehouse that accounts for every file and explains every difference.",
)


@app.callback()
def prepare() -> None:
    """Commands use the stack of the current folder (.slackwater/) unless SLACKWATER_* variables say otherwise."""
    adopt_stack_environment()


def main() -> None:
    """Run the command line."""
    hide_pandas()
    gc.set_threshold(*GC_THRESHOLD)
    app()


if __name__ == "__main__":
    main()
