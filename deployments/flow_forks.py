"""Flow runs as forks of one process that has imported their libraries: how the embedded worker starts them.

Every run imports the same libraries, for 4 to 7 CPU-seconds. A fork finds them imported and shares their memory. Our
own code (`flows`, `tasks`, `slackwater`) is not imported ahead, so the next run uses an edited file.

The standard library's fork server does the work, and starts again when it died. From outside a run looks as if
`python -m prefect.engine` had been started, but for its command line, which is the server's. Linux only.
"""

import atexit
import ctypes
import gc
import os
import runpy
import sys
from collections.abc import Mapping
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from prefect.context import refresh_global_settings_context

ENGINE = "prefect.engine"

LIBRARIES = (
    "prefect.flow_engine",
    "prefect.artifacts",
    "prefect.deployments.steps.pull",
    "prefect.concurrency.sync",
    "prefect_dbt",
    "dbt.adapters.snowflake",
    "pyiceberg.catalog.sql",
    "pyiceberg.io.pyarrow",
    "pyarrow.dataset",
    "pyarrow.json",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "boto3",
    "snowflake.connector",
    "clickhouse_connect",
    "soda_core.contracts",
    "soda_snowflake.common.data_sources.snowflake_data_source",
)
"""What runs import. None may start a Python thread: a fork would have its locks and not the thread. (Soda does where
its telemetry is on; it is off in every process of the stack.)"""

_RUN_ID = "PREFECT__FLOW_RUN_ID"
_PLACE = "PREFECT__FLOW_RUN_NO"  # in the server's variables, as long as the name it makes place for
_NOBODY = "0" * 36


def start_server(shown: Mapping[str, str]) -> None:
    """Start the process that runs are forked from; it takes the first one when the libraries are imported.

    Args:
        shown: Variables that every run's process shows in `/proc`, beside those of this process.
    """
    os.environ.update({**shown, _PLACE: _NOBODY})  # to stay: the next server, should this one die, needs them too
    forkserver.set_forkserver_preload(list(LIBRARIES))
    forkserver.ensure_running()


def new_run(environment: Mapping[str, str], folder: str, *, engine: str = ENGINE) -> ForkServerProcess:
    """Return the process of a flow run, not yet started; its exit code is the engine's.

    Args:
        environment: All variables of the run.
        folder: Where it begins.
        engine: Module that runs it.
    """
    return get_context("forkserver").Process(target=_execute, args=(engine, dict(environment), folder))


def _execute(engine: str, environment: dict[str, str], folder: str) -> None:
    """Be `python -m ENGINE`, started in a folder with these variables."""
    gc.freeze()  # what is shared is not looked through for garbage, which would copy it
    os.environ.clear()
    os.environ.update(environment)
    _show_run(environment[_RUN_ID])
    os.chdir(folder)
    sys.path[0] = folder
    sys.argv = [engine]
    refresh_global_settings_context()
    sys.modules.pop(engine, None)  # or Python warns that it is imported already
    try:
        runpy.run_module(engine, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # noqa: SLF001 - a fork leaves it out before Python 3.13


def _show_run(run_id: str) -> None:
    """Write the run's id into the variables that `/proc/PID/environ` shows, where the server kept a place for it.

    They stay where the kernel put them when the server started (fields 50 and 51 of `/proc/PID/stat`, proc(5));
    `os.environ` writes elsewhere.
    """
    stat = Path("/proc/self/stat").read_text()
    begin, end = (int(field) for field in stat.rpartition(")")[2].split()[47:49])
    place = ctypes.string_at(begin, end - begin).index(f"{_PLACE}={_NOBODY}".encode())
    shown = f"{_RUN_ID}={run_id}".encode()
    ctypes.memmove(begin + place, shown, len(shown))
