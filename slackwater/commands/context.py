"""What every command needs: the stack of this folder, its environment, and errors as messages instead of traces."""

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from slackwater.errors import SlackwaterError
from slackwater.ledger.store import Ledger
from slackwater.settings import StackSettings
from slackwater.stack.environment import full_environment
from slackwater.stack.profile import Profile, load_profile
from slackwater.stack.systems import Systems

_PIPE_WIDTH = 240
"""Columns when the output is no terminal: nothing reads a table cut at 80."""

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
problems = Console(stderr=True, highlight=False, soft_wrap=True)

EXIT_PROBLEM = 1

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def stack_home() -> Path:
    """Return the folder of this directory's stack."""
    return StackSettings().home.absolute()


def require_profile() -> Profile:
    """Return the profile of this directory's stack, or end with a message."""
    profile = load_profile(stack_home())
    if profile is None:
        problems.print(f"There is no stack in {stack_home()}. Start one with: slackwater stack up", markup=False)
        raise typer.Exit(EXIT_PROBLEM)
    return profile


def adopt_stack_environment() -> None:
    """Take the environment of this directory's stack, unless the caller chose systems by SLACKWATER_* variables."""
    chosen = [
        name for name in os.environ if name.startswith("SLACKWATER_") and not name.startswith("SLACKWATER_STACK_")
    ]
    if chosen:
        return
    profile = load_profile(stack_home())
    if profile is not None:
        os.environ.update(full_environment(profile))


def current_systems() -> Systems:
    """Return the settings of all systems from the (adopted) environment, or end with a message."""
    if "SLACKWATER_LEDGER_DSN" not in os.environ:
        problems.print(
            f"No stack in {stack_home()} and no SLACKWATER_* variables set. Start one with: slackwater stack up",
            markup=False,
        )
        raise typer.Exit(EXIT_PROBLEM)
    return Systems.from_environment(os.environ)


def open_ledger(systems: Systems) -> Ledger:
    """Open the ledger of these systems."""
    return Ledger(systems.ledger.dsn, lease_seconds=systems.ledger.lease_seconds)


def operator() -> str:
    """Return who acts through the command line, for the record: `cli:` and the account's name."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # an account without a name, as in many containers
        return f"cli:{os.getuid()}"


@contextmanager
def plain_errors() -> Iterator[None]:
    """Show our own errors as one message and end with status 1; anything else is a bug and keeps its trace."""
    try:
        yield
    except SlackwaterError as exc:
        problems.print(f"Error: {exc}", markup=False)
        raise typer.Exit(EXIT_PROBLEM) from exc
    except BrokenPipeError:
        sys.stderr.close()
        raise typer.Exit(EXIT_PROBLEM) from None
