"""Measure what the project promises about speed and size, and print it beside the budgets. Nothing here is a test.

Wall times on shared cores vary with whatever else runs: compare CPU seconds, and repeat a wall time that misses its
budget under load. The stacks are the bench's own, on free ports in temporary folders, and are removed afterwards.

Measurements (all by default):
  units     the unit part of the tests
  ingest    one batch of 1,000,000 order lines, append and load
  december  the December replay until it is published; memory of the whole stack meanwhile
  burst     1,000 small files at once (after december, on the same stack)
  bridge    a stream of events; memory with 100,000 objects waiting
  sweep     a landing bucket of 100,000 objects
  refresh   one day's refresh and a whole one, on a hundredth, a tenth and all of the year
  compaction, fold, year, day
            the lake: verified rewrites, folds into 1 M and 5 M rows, the year from nothing, a day of it all at once
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from bridge_speed import measure_bridge, measure_outstanding
from december import measure_burst, measure_december
from ingest import measure_ingest
from machine import read_machine
from memory import Peaks
from refresh import measure_refreshes, refresh_figures
from results import Figure, figure, render
from stacks import REPOSITORY, BenchStack, bench_stack
from sweep_speed import measure_sweep

from slackwater.stack.programs import STORES

LAKE_NAMES = ("compaction", "fold", "year", "day")
NAMES = ("units", "ingest", "december", "burst", "bridge", "sweep", "refresh", *LAKE_NAMES)
UNIT_MARKERS = "not slow and not spark and not integration and not e2e and not contract"
BATCH_ROWS = 1_000_000
BATCH_OBJECTS = 20
BURST_OBJECTS = 1_000
STREAMED_OBJECTS = 20_000
OUTSTANDING_OBJECTS = 100_000
SWEPT_OBJECTS = 100_000
HISTORY_SHARES = (0.01, 0.1, 1.0)
BRIDGE_BUDGET_SECONDS = STREAMED_OBJECTS / 300
GB = 1e9

Say = Callable[[str], None]


def main() -> None:
    """Measure, print; ends with status 1 when something could not be measured, 0 also when a budget is missed."""
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(NAMES)}; all by default")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(NAMES)}")
    chosen = options.names or NAMES

    def say(text: str) -> None:
        print(f"  {text}", file=sys.stderr if options.json else sys.stdout, flush=True)

    machine = read_machine()
    if not options.json:
        print("\n".join(machine.lines), flush=True)
    figures = measure(chosen, say=say)
    if options.json:
        print(json.dumps({"machine": asdict(machine), "figures": [figure.as_dict() for figure in figures]}, indent=2))
    else:
        print(f"\n{render(figures)}")
    if any(figure.measured is None for figure in figures):
        raise SystemExit(1)


def measure(names: Sequence[str], *, say: Say) -> list[Figure]:
    """Return the figures of the chosen measurements."""
    figures: list[Figure] = []
    if "units" in names:
        say("unit tests ...")
        figures += unit_figures()
    if "ingest" in names:
        say(f"one batch of {BATCH_ROWS:,} rows ...")
        with bench_stack(services=STORES) as stack:
            figures += ingest_figures(stack)
    if "december" in names or "burst" in names:
        with bench_stack() as stack:
            say(f"stack up in {stack.start_seconds:.0f} s; December ...")
            december = december_figures(stack)
            figures += december if "december" in names else []
            if "burst" in names:
                say(f"a burst of {BURST_OBJECTS:,} files ...")
                figures += burst_figures(stack)
    if "bridge" in names:
        with bench_stack(services=STORES) as stack:
            say(f"{STREAMED_OBJECTS:,} events through the bridge ...")
            figures += bridge_figures(stack)
    if "sweep" in names:
        with bench_stack(services=STORES) as stack:
            say(f"sweeps over {SWEPT_OBJECTS:,} objects ...")
            figures += sweep_figures(stack)
    if "refresh" in names:
        figures += refresh_figures(measure_refreshes(lambda: bench_stack(services=STORES), HISTORY_SHARES, say=say))
    for name in names:
        if name in LAKE_NAMES:
            with bench_stack(services=STORES) as stack:
                figures += lake_figures(name, stack, say=say)
    return figures


def lake_figures(name: str, stack: BenchStack, *, say: Say) -> list[Figure]:
    """Measure one part of the lake; Spark is imported only then."""
    import lake

    try:
        measured: list[Figure] = getattr(lake, f"{name}_figures")(stack, say=say)
    finally:
        lake.stop_spark()  # its folders go with the stack
    return measured


def bridge_figures(stack: BenchStack) -> list[Figure]:
    """Stream events, then let a bridge start over many waiting objects."""
    streamed = measure_bridge(stack, objects=STREAMED_OBJECTS)
    waited = measure_outstanding(stack, objects=OUTSTANDING_OBJECTS)
    note = (
        f"{streamed.objects_per_second:.0f} objects/s, {streamed.batches} batches; CPU-s: bridge"
        f" {streamed.bridge_cpu:.1f}, PostgreSQL {streamed.postgres_cpu:.1f}, emulator {streamed.emulator_cpu:.1f}"
    )
    growth = waited.peak_rss_bytes - streamed.peak_rss_bytes
    return [
        figure(f"bridge, {STREAMED_OBJECTS:,} objects", "s", streamed.seconds, BRIDGE_BUDGET_SECONDS, note=note),
        figure("bridge, greatest RSS", "MB", streamed.peak_rss_bytes / 1e6, None),
        figure(
            f"the same with {OUTSTANDING_OBJECTS:,} objects waiting",
            "MB",
            waited.peak_rss_bytes / 1e6,
            None,
            note=f"{growth / 1e6:+.1f} MB; all sealed after {waited.seconds:.0f} s",
        ),
    ]


def sweep_figures(stack: BenchStack) -> list[Figure]:
    """Sweep a large bucket three times."""
    found = measure_sweep(stack, objects=SWEPT_OBJECTS)
    parts = (
        (f"sweep of {SWEPT_OBJECTS:,} unknown objects, recorded and sealed", found.first, 60),
        ("full sweep, all of them known", found.full, 60),
        ("recent sweep, nothing recent", found.recent, None),
    )
    return [figure(name, "s", cost.wall, budget, note=cost.cpu_line) for name, cost, budget in parts]


def unit_figures() -> list[Figure]:
    """Run the tests that need no service; a run that fails has no time worth comparing."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-m", UNIT_MARKERS]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - begin
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    said = (done.stdout.strip().splitlines() or ["no output"])[-1]
    return [
        figure("unit part of the tests, wall", "s", None if done.returncode else seconds, 60, note=said),
        figure("unit part of the tests, CPU", "CPU-s", None if done.returncode else cpu, None),
    ]


def ingest_figures(stack: BenchStack) -> list[Figure]:
    """Append and load one large batch."""
    found = measure_ingest(stack, rows=BATCH_ROWS, objects=BATCH_OBJECTS)
    note = (
        f"append {found.append.cpu:.1f} + load {found.load.cpu:.1f}; emulators {_emulators(found.append.emulator_cpu)}"
        f" + {_emulators(found.load.emulator_cpu)}; {found.objects} files, {found.bytes / 1e6:.0f} MB"
    )
    return [
        figure("ingest of 1 M rows outside the emulators", "CPU-s", found.cpu, 10, note=note),
        figure("the same, wall", "s", found.append.wall + found.load.wall, None),
        figure("the same, greatest RSS", "GB", found.peak_rss_bytes / GB, None, note="of the process, bench included"),
    ]


def december_figures(stack: BenchStack) -> list[Figure]:
    """Replay December and look at memory."""
    found = measure_december(stack)
    cpu = found.replay_cpu + sum(found.service_cpu.values())
    return [
        figure(
            "December, replay to published",
            "s",
            found.total_seconds,
            180,
            note=f"of it the replay {found.replay_seconds:.0f}",
        ),
        figure("December, refreshes", "", found.publications, 4, note=f"{found.batches} batches"),
        figure("stack without Spark, greatest PSS", "GB", found.peaks.total_bytes / GB, 2.5, note=_shares(found.peaks)),
        figure(
            "the same, greatest RSS", "GB", found.peaks.rss_bytes / GB, None, note="counts shared pages per process"
        ),
        figure(
            "December, CPU of everything",
            "CPU-s",
            cpu,
            None,
            note=_seconds({**found.service_cpu, "replay": found.replay_cpu}),
        ),
    ]


def burst_figures(stack: BenchStack) -> list[Figure]:
    """Put many small files at once."""
    found = measure_burst(stack, objects=BURST_OBJECTS)
    return [
        figure(
            "burst of 1,000 files, ingest runs",
            "",
            found.ingest_runs,
            8,
            note=f"{found.batches} batches, {found.refreshes} refreshes, put in {found.put_seconds:.0f} s,"
            f" published after {found.total_seconds:.0f} s",
        ),
        figure(
            "burst, files not published",
            "",
            found.objects - found.published_objects,
            0,
            note=f"{found.published_objects:,} of {found.objects:,} published",
        ),
    ]


def _emulators(seconds: float) -> str:
    return f"{seconds:.1f}"


def _shares(peaks: Peaks) -> str:
    ordered = sorted(peaks.at_peak.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in ordered)


def _seconds(cpu: Mapping[str, float]) -> str:
    ordered = sorted(cpu.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {seconds:.0f}" for name, seconds in ordered)


if __name__ == "__main__":
    main()
