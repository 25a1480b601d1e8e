"""Refuses to work with a ledger that was lost: everything in the landing bucket would be taken for new.

A ledger restored from an old backup is as dangerous as an empty one: what landed since would be read again.
"""

from collections.abc import Mapping

from slackwater.clients.iceberg import Lake
from slackwater.clients.iceberg_contents import MainHistory, count_batch_rows, main_histories
from slackwater.errors import ConfigurationError
from slackwater.ledger.landed import unknown_batches
from slackwater.ledger.store import Ledger
from slackwater.naming import changelog_table

ADVICE = (
    "Check SLACKWATER_LEDGER_DSN. If it is right, the ledger was lost or comes from an old backup: stop bridge and"
    " worker, empty it and run `slackwater ledger rebuild`; see docs/runbooks/ledger-lost.md"
)


def refuse_lost_ledger(ledger: Ledger, lake: Lake) -> None:
    """Stop before anything is recorded in a ledger that knows less than the lake.

    Raises:
        ConfigurationError: The ledger holds no object although the lake holds rows, or it lacks a batch that a known
            ancestor of main was written by.
    """
    if ledger.is_empty():
        if not lake.is_empty():
            raise ConfigurationError(f"the ledger is empty but the lake is not. {ADVICE}")
        return
    refuse_unknown_batches(ledger, lake, main_histories(lake))


def refuse_unknown_batches(ledger: Ledger, lake: Lake, histories: Mapping[str, MainHistory]) -> None:
    """Do the same for histories of the lake that were read already.

    Raises:
        ConfigurationError: The ledger knows less than the lake.
    """
    for entity, history in histories.items():
        with ledger.transaction() as connection:
            unknown = sorted(unknown_batches(connection, history.by_batch.keys()))
        # A batch whose rows were all deleted since is nothing to lose; a rebuilt ledger does not have it.
        unknown = sorted(count_batch_rows(lake, entity, unknown))
        if unknown or (history.head_id is not None and ledger.is_empty()):
            named = f"{len(unknown)} batches the ledger does not have, such as {unknown[0]}" if unknown else "rows"
            raise ConfigurationError(f"{changelog_table(entity)} holds {named}. {ADVICE}")


class LedgerWatch:
    """Notices that the ledger was emptied while a service runs.

    Args:
        ledger: The ledger; one that never held anything may stay empty.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._was_filled = False

    def check(self) -> None:
        """Ask whether the ledger still holds something; one query.

        Raises:
            ConfigurationError: It held objects before and holds none now.
        """
        is_filled = not self._ledger.is_empty()
        if self._was_filled and not is_filled:
            raise ConfigurationError(f"the ledger held objects and is empty now. {ADVICE}")
        self._was_filled = is_filled
