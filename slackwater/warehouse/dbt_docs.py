"""dbt's documentation of the warehouse: its pages made and served, and a manifest made without a warehouse."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from slackwater.errors import ConfigurationError, TerminalError
from slackwater.settings import ProjectSettings
from slackwater.warehouse.dbt_cli import DbtCommand, compile_command, docs_command

DOCS_HOST = "127.0.0.1"
MANIFEST = "manifest.json"
SOURCES = ("*.sql", "*.yml")
LOG_LINES_SHOWN = 15


def ensure_manifest(target_dir: Path, *, say: Callable[[str], None], project_dir: Path | None = None) -> Path:
    """Return a manifest with every model compiled; dbt runs only when a file of the project is newer.

    Args:
        target_dir: Where it is kept; a folder of its own.
        say: Told when dbt has to run, which takes seconds.
        project_dir: Folder of `dbt_project.yml`; the checkout's or image's by default.

    Raises:
        TerminalError: dbt could not compile the project.
    """
    project, manifest = project_dir or ProjectSettings().dbt_dir, target_dir / MANIFEST
    newest = max(path.stat().st_mtime for pattern in SOURCES for path in project.rglob(pattern))
    if not manifest.is_file() or manifest.stat().st_mtime < newest:
        say("dbt compiles the models (some seconds, no warehouse is asked)")
        _run_dbt(compile_command(target_dir=target_dir, project_dir=project), target_dir)
    return manifest


def generate_docs(target_dir: Path, *, project_dir: Path | None = None) -> None:
    """Write dbt's pages (`index.html` and the documents it reads) from the project and the warehouse's tables.

    A second call replaces them.

    Raises:
        TerminalError: dbt failed, or the warehouse does not answer.
    """
    _run_dbt(docs_command(target_dir=target_dir, project_dir=project_dir), target_dir)


def serve_docs(folder: Path, *, port: int, say: Callable[[str], None]) -> None:
    """Serve a folder on this machine alone until Ctrl-C.

    Args:
        folder: Holds `index.html`.
        port: TCP port; 0 takes a free one.
        say: Told the address once the port is open.

    Raises:
        ConfigurationError: The port is taken.
    """
    try:
        server = ThreadingHTTPServer((DOCS_HOST, port), partial(_QuietHandler, directory=str(folder)))
    except OSError as exc:
        raise ConfigurationError(f"port {port} of {DOCS_HOST} is taken; choose another with --port") from exc
    with server, contextlib.suppress(KeyboardInterrupt):
        say(f"http://{DOCS_HOST}:{server.server_port}/ (Ctrl-C ends it)")
        server.serve_forever()


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Say nothing: a page of dbt is a handful of requests."""


def _run_dbt(command: DbtCommand, target_dir: Path) -> None:
    target_dir.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "dbt.cli.main", *command.arguments],
        env={**os.environ, **command.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        told = "\n".join(done.stdout.strip().splitlines()[-LOG_LINES_SHOWN:])
        raise TerminalError(
            f"dbt {command.arguments[0]} failed; all of it is in {target_dir / 'logs'}:\n{told}\n{done.stderr}"
        )
