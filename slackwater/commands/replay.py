"""`slackwater replay`: real sales history into the shop, the landing bucket and the speed layer."""

from datetime import UTC, date, datetime
from typing import Annotated

import typer
from rich.table import Table

from slackwater.clients.clickhouse import SpeedStore
from slackwater.clients.s3 import ObjectStore
from slackwater.commands.context import current_systems, out, plain_errors
from slackwater.replay.files import FileForm, SliceBy
from slackwater.replay.report import ReplayReport
from slackwater.replay.run import DEFAULT_TO
from slackwater.replay.run import replay as run_replay
from slackwater.replay.targets import Landing, SliceDone
from slackwater.stack.systems import Systems

LAST_DAY_OF_DATA = date(2011, 12, 9)
_DEFAULT_TO = datetime(DEFAULT_TO.year, DEFAULT_TO.month, DEFAULT_TO.day)  # noqa: DTZ001 - a day, as Typer parses it


def replay(
    from_date: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], help="First day. Default: where the last replay ended."),
    ] = None,
    to_date: Annotated[
        datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, included. The data ends on 2011-12-09.")
    ] = _DEFAULT_TO,
    slice_by: Annotated[SliceBy, typer.Option("--slice", help="How much source time one file holds.")] = SliceBy.DAY,
    form: Annotated[FileForm, typer.Option("--form", help="Physical form of the change files.")] = FileForm.PARQUET,
    speed: Annotated[
        float | None,
        typer.Option(
            "--speed", help="Source seconds per second, for example 86400 = a day per second. Default: no wait."
        ),
    ] = None,
) -> None:
    """Replay real sales (UCI Online Retail, 2010-12-01 to 2011-12-09) into the system.

    Writes the shop's tables in PostgreSQL, the change files below the landing prefix and the speed layer's feed.
    Repeating a range sends the same bytes under the same keys and changes no number.
    """
    systems = current_systems()
    with plain_errors():
        report = play(
            systems,
            from_date=from_date.date() if from_date else None,
            to_date=to_date.date(),
            slice_by=slice_by,
            form=form,
            speed=speed,
        )
    print_report(report)


def play(
    systems: Systems,
    *,
    from_date: date | None,
    to_date: date,
    slice_by: SliceBy = SliceBy.DAY,
    form: FileForm = FileForm.PARQUET,
    speed: float | None = None,
) -> ReplayReport:
    """Replay with one progress line per slice."""
    landing = systems.landing
    with SpeedStore(systems.clickhouse) as feed:
        return run_replay(
            systems.shop.dsn,
            Landing(ObjectStore(systems.s3), landing.bucket, landing.prefix, landing.epoch, form),
            feed=feed,
            from_date=from_date,
            to_date=to_date,
            slice_by=slice_by,
            speed=speed,
            on_slice=_say_slice,
        )


def print_report(report: ReplayReport) -> None:
    """Print what the replay did: every input line is in exactly one class; of a finished range, what it did before."""
    tally = report.chosen if report.slice_count else report.so_far
    span = f"{tally.start:%Y-%m-%d} to {tally.end:%Y-%m-%d %H:%M}"
    if report.slice_count:
        changes = sum(report.sent_rows.values())
        out.print(f"Replayed {span} in {report.seconds:.1f} s: ", end="")
        out.print(f"{report.file_count} files, {changes} changes, {report.fed_rows} rows new to ClickHouse.")
    else:
        out.print(f"Nothing to send: {span} was replayed before. It was:")
    lines = Table(title="Every input line of this range, in exactly one class")
    for title in ("class", "lines", "value"):
        lines.add_column(title, justify="left" if title == "class" else "right")
    for name, total in tally.classes.items():
        lines.add_row(str(name), f"{total.lines:,}", f"{total.value:,.2f}")
    lines.add_section()
    lines.add_row("all", f"{tally.input_lines:,}", f"{tally.input_value:,.2f}")
    out.print(lines, markup=False)
    residuals = Table(title="Input value that is not in the orders")
    residuals.add_column("reason")
    residuals.add_column("value", justify="right")
    for reason, value in tally.residuals.items():
        residuals.add_row(str(reason), f"{value:,.3f}")
    out.print(residuals, markup=False)


def _say_slice(done: SliceDone) -> None:
    start = datetime.fromtimestamp(done.part.start_us / 1e6, tz=UTC)
    share = done.done_us / done.total_us if done.total_us else 1.0
    out.print(f"  {share:4.0%}  {start:%Y-%m-%d %H:%M}: {done.files} files, {done.rows} changes so far", markup=False)
