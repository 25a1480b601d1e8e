"""Start the embedded pool's worker: `python deployments/process_worker.py --pool POOL --name NAME --limit N`."""

import argparse
import asyncio


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description="Run the flows of the embedded work pool as processes.")
    parser.add_argument("--pool", required=True, help="work pool")
    parser.add_argument("--name", required=True, help="name of the worker, as Prefect shows it")
    parser.add_argument("--limit", type=int, required=True, help="most flow runs at once")
    arguments = parser.parse_args()
    from embedded_worker import serve  # here, because every fork of a run imports this file again

    asyncio.run(serve(pool=arguments.pool, name=arguments.name, limit=arguments.limit))


if __name__ == "__main__":
    main()
