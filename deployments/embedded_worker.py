"""Prefect's process worker as the embedded stack runs it: no integration imported, its runs forked (`flow_forks.py`).

`prefect worker start` imports every installed integration to tell Prefect Cloud their versions: 2026-11-29, 418 instead
of 96 MB while idle.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
from flow_forks import ENGINE, new_run, start_server
from prefect.runner import _starter_engine
from prefect.utilities.processutils import setup_signal_handlers_worker
from prefect.workers.process import ProcessWorker

CAN_FORK = sys.platform == "linux"  # on macOS a process may not go on after a fork without starting a program

_run_command = _starter_engine.run_process


class EmbeddedWorker(ProcessWorker):
    """Prefect's process worker, which tells nothing of installed integrations and so need not import them."""

    async def _worker_metadata(self) -> None:
        return None


async def run_flow(
    command: list[str],
    *,
    stream_output: bool,
    task_status: anyio.abc.TaskStatus[Any],
    task_status_handler: Callable[[Any], Any],
    env: dict[str, str],
    cwd: str | None,
    **options: Any,
) -> object:
    """Run a flow as a fork, and a command somebody gave the work pool instead as it is.

    Prefect's starter calls this in place of its own function of the same parameters, and says that it may be replaced.
    """
    if not (CAN_FORK and stream_output and command == [sys.executable, "-m", ENGINE]):
        return await _run_command(
            command,
            stream_output=stream_output,
            task_status=task_status,
            task_status_handler=task_status_handler,
            env=env,
            cwd=cwd,
            **options,
        )
    process = new_run(env, str(cwd or Path.cwd()))
    await anyio.to_thread.run_sync(process.start)  # the first one waits until the libraries are imported
    try:
        task_status.started(task_status_handler(process))
        await anyio.wait_readable(process.sentinel)
    except BaseException:
        process.terminate()
        raise
    process.join()
    return process


async def serve(*, pool: str, name: str, limit: int) -> None:
    """Poll the pool until SIGTERM or SIGINT, which lets runs go on and ends the polling; a second one kills."""
    setup_signal_handlers_worker(os.getpid(), f"worker {name}", print)
    if CAN_FORK:
        start_server({"PREFECT__WORKER_NAME": name})
    _starter_engine.run_process = run_flow
    worker = EmbeddedWorker(work_pool_name=pool, name=name, limit=limit, create_pool_if_not_found=False)
    try:
        await worker.start(printer=print)
    except asyncio.CancelledError:
        print(f"worker {name} stopped")
