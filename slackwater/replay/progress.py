"""How far a replay has come: one row in the shop's database, written in the transaction of the rows it speaks of."""

from dataclasses import dataclass
from datetime import UTC, datetime

from slackwater.clients.postgres import Connection, translated
from slackwater.errors import ConfigurationError
from slackwater.replay.files import EPOCH_START, to_datetime

_LOCK = "slackwater replay"


@dataclass(frozen=True)
class Progress:
    """Ends of what was done, in microseconds since 1970; everything before them is done.

    Attributes:
        shop_until_us: Rows are in the shop.
        files_until_us: Files are sent. Never later than the rows.
        feed_until_us: Rows are in the speed layer. Never later than the files.
    """

    shop_until_us: int
    files_until_us: int
    feed_until_us: int

    def sent_until_us(self, *, has_feed: bool) -> int:
        """Return the end of what reached every target of a replay with or without a feed."""
        return self.feed_until_us if has_feed else self.files_until_us


def lock_replay(connection: Connection) -> None:
    """Take the one replay's lock for the session.

    Raises:
        ConfigurationError: Another replay of this shop is running.
    """
    with translated():
        row = connection.execute("select pg_try_advisory_lock(hashtext(%s))", (_LOCK,)).fetchone()
        connection.commit()
    if row is None or not row[0]:
        raise ConfigurationError("another replay of this shop is running; wait for it or stop it")


def read_progress(connection: Connection, *, fingerprint: str, start_us: int) -> Progress:
    """Return the progress of this shop; an untouched shop begins at `start_us`.

    Raises:
        ConfigurationError: The shop was filled from another sample or by another version of the mapping.
    """
    with translated():
        begin = _naive(start_us)
        connection.execute(
            "insert into shop_replay.progress (fingerprint, shop_until, files_until, feed_until)"
            " values (%s, %s, %s, %s) on conflict (is_only_row) do nothing",
            (fingerprint, begin, begin, begin),
        )
        row = connection.execute(
            "select fingerprint, shop_until, files_until, feed_until from shop_replay.progress"
        ).fetchone()
        connection.commit()
    if row is None or row[0] != fingerprint:
        found = row[0] if row else "nothing"
        raise ConfigurationError(
            f"this shop was filled by the replay {found}, not by {fingerprint} (another sample or mapping version);"
            " replay into an empty shop"
        )
    return Progress(*(_micros(value) for value in row[1:]))


def advance(connection: Connection, column: str, until_us: int) -> None:
    """Move one end forward, in the caller's transaction; an earlier time changes nothing.

    Args:
        connection: A connection inside a transaction.
        column: `shop_until`, `files_until` or `feed_until`.
        until_us: New end, microseconds since 1970.
    """
    if column not in ("shop_until", "files_until", "feed_until"):
        raise ConfigurationError(f"progress has no column {column!r}")
    with translated():
        connection.execute(
            f"update shop_replay.progress set {column} = greatest({column}, %s), updated_at = now()",
            (_naive(until_us),),
        )


def _naive(us: int) -> datetime:
    return to_datetime(us).replace(tzinfo=None)


def _micros(value: datetime) -> int:
    delta = value.replace(tzinfo=UTC) - EPOCH_START
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
