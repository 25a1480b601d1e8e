"""The worker of the embedded work pool: `python deployments/process_worker.py --pool POOL --name NAME --limit N`.

`prefect worker start` imports every installed integration to tell Prefect Cloud their versions: 2026-11-29, 418 instead
of 96 MB while idle. This is the same worker without that.
"""

import argparse
import asyncio
import os

from prefect.utilities.processutils import setup_signal_handlers_worker
from prefect.workers.process import ProcessWorker


class EmbeddedWorker(ProcessWorker):
    """Prefect's process worker, which tells nothing of installed integrations and so need not import them."""

    async def _worker_metadata(self) -> None:
        return None


async def serve(*, pool: str, name: str, limit: int) -> None:
    """Poll the pool until SIGTERM or SIGINT, which lets runs go on and ends the polling; a second one kills."""
    setup_signal_handlers_worker(os.getpid(), f"worker {name}", print)
    worker = EmbeddedWorker(work_pool_name=pool, name=name, limit=limit, create_pool_if_not_found=False)
    try:
        await worker.start(printer=print)
    except asyncio.CancelledError:
        print(f"worker {name} stopped")


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description="Run the flows of the embedded work pool as processes.")
    parser.add_argument("--pool", required=True, help="work pool")
    parser.add_argument("--name", required=True, help="name of the worker, as Prefect shows it")
    parser.add_argument("--limit", type=int, required=True, help="most flow runs at once")
    arguments = parser.parse_args()
    asyncio.run(serve(pool=arguments.pool, name=arguments.name, limit=arguments.limit))


if __name__ == "__main__":
    main()
