"""`slackwater stack`: start, stop and look at the embedded services."""

import json
import time
from typing import Annotated

import typer
from rich.table import Table

from slackwater.commands.context import EXIT_PROBLEM, out, plain_errors, problems, require_profile, stack_home
from slackwater.settings import StackSettings
from slackwater.stack.control import start_stack, stop_stack
from slackwater.stack.inspect import ServiceStatus, inspect_stack
from slackwater.stack.logs import follow, last_lines
from slackwater.stack.programs import SERVICES

app = typer.Typer(no_args_is_help=True, help="Start, stop and look at the embedded services (no Docker, no cloud).")


@app.command()
def up() -> None:
    """Start whatever is not running; return when all of it is healthy.

    Creates databases, buckets, queues and tables and deploys the flows. Running it again changes nothing. State and
    data live in .slackwater/ of the current folder.
    """
    begin = time.monotonic()
    with plain_errors():
        report = start_stack(
            StackSettings(), say=lambda text: out.print(f"  {time.monotonic() - begin:5.1f} s  {text}", markup=False)
        )
    if report.started:
        out.print(f"The stack is up ({report.seconds:.0f} s). Prefect UI: {report.profile.prefect_url}", markup=False)
    else:
        out.print(f"The stack was running already. Prefect UI: {report.profile.prefect_url}", markup=False)


@app.command()
def down(
    delete: Annotated[bool, typer.Option("--delete", help="Also delete all data: the .slackwater folder.")] = False,
) -> None:
    """Stop all services. Data stays, unless --delete is given."""
    with plain_errors():
        was_running = stop_stack(stack_home(), delete=delete)
    out.print("The stack is stopped." if was_running else "Nothing was running.")
    if delete:
        out.print(f"{stack_home()} is deleted.", markup=False)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show every service: whether it runs and answers, since when, and its memory. Exit status 1 if one does not."""
    profile = require_profile()
    with plain_errors():
        services = inspect_stack(profile)
    if as_json:
        print(json.dumps([service.document() for service in services], indent=2))
    else:
        out.print(_status_table(services))
    if not all(service.is_healthy for service in services):
        raise typer.Exit(EXIT_PROBLEM)


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help=f"One of: {', '.join(SERVICES)}. Empty shows all.")] = "",
    is_followed: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines per service.")] = 30,
) -> None:
    """Show the last lines of the services' logs."""
    profile = require_profile()
    if service and service not in SERVICES:
        problems.print(f"There is no service {service!r}. Choose one of: {', '.join(SERVICES)}", markup=False)
        raise typer.Exit(EXIT_PROBLEM)
    files = {name: profile.log_dir / f"{name}.log" for name in SERVICES if service in ("", name)}
    with plain_errors():
        for name, file in files.items():
            for line in last_lines(file, count=lines):
                print(line if service else f"{name:<10} | {line}")
        if is_followed:
            try:
                for name, line in follow(files):
                    print(line if service else f"{name:<10} | {line}", flush=True)
            except KeyboardInterrupt:
                return


def _status_table(services: tuple[ServiceStatus, ...]) -> Table:
    table = Table()
    for title in ("service", "state", "address", "pid", "up since (UTC)"):
        table.add_column(title)
    table.add_column("memory", justify="right")
    for one in services:
        since = one.started_at.strftime("%Y-%m-%d %H:%M:%S") if one.started_at else ""
        memory = f"{one.resident_bytes / 2**20:.0f} MiB" if one.pid else ""
        style = "green" if one.is_healthy else "red"
        table.add_row(one.name, f"[{style}]{one.state}[/]", one.address, str(one.pid or ""), since, memory)
    total = sum(one.resident_bytes for one in services)
    table.add_section()
    table.add_row("all", "", "", "", "", f"{total / 2**20:.0f} MiB")
    return table
