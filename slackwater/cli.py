"""The `slackwater` command: puts the commands together and gives them the environment of this folder's stack."""

import typer

from slackwater.commands import (
    batches,
    completeness,
    demo,
    dlq,
    doctor,
    environment,
    explain,
    ledger,
    quarantine,
    query,
    replay,
    runs,
    stack,
    status,
)
from slackwater.commands.context import adopt_stack_environment

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Slackwater: an event-driven lakehouse that accounts for every file and explains every difference.",
)
app.add_typer(stack.app, name="stack")
app.command()(demo.demo)
app.command()(replay.replay)
app.command()(status.status)
app.command()(completeness.completeness)
app.add_typer(batches.app, name="batches")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(dlq.app, name="dlq")
app.add_typer(runs.app, name="runs")
app.add_typer(ledger.app, name="ledger")
app.command()(explain.explain)
app.command(name="sql")(query.sql)
app.command()(doctor.doctor)
app.command()(environment.env)


@app.callback()
def prepare() -> None:
    """Commands use the stack of the current folder (.slackwater/) unless SLACKWATER_* variables say otherwise."""
    adopt_stack_environment()


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
