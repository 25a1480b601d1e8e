"""The landing prefix by day folders, `<prefix><entity>/date=.../`: which of them a sweep lists. Pure.

The day folder is the unit: an entity's day is a few pages of a listing, and the hours below it need no listing of
their own to be found.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

from slackwater.clients.s3 import ListedObject

LEVELS = 2


class Listing(Protocol):
    """The two ways of looking at a bucket this module needs."""

    def list_page(self, bucket: str, prefix: str, *, start_after: str) -> tuple[Collection[ListedObject], bool]:
        """Return the first page of objects after a key, and whether more follow."""

    def list_folder(self, bucket: str, prefix: str) -> tuple[Collection[str], Collection[ListedObject]]:
        """Return the folders right below a prefix and the objects beside them."""


def day_folder(key: str, *, prefix: str) -> str | None:
    """Return the folder a sweep would find a key in, with its final slash; None for a key that needs no folder.

    Args:
        key: Decoded key.
        prefix: The landing prefix with its final slash.

    Returns:
        None outside the prefix, and for a key above the days: those lie beside the folders and are always listed.
    """
    if not key.startswith(prefix):
        return None
    parts = key.removeprefix(prefix).split("/")
    return f"{prefix}{'/'.join(parts[:LEVELS])}/" if len(parts) > LEVELS else None


def plan_folders(there: Collection[str], known: Mapping[str, bool]) -> tuple[str, ...]:
    """Return the day folders to list, in key order: unknown ones and recent ones.

    Args:
        there: Day folders that exist.
        known: Per day folder the ledger knows whether something new came to it lately.
    """
    return tuple(sorted(folder for folder in set(there) if known.get(folder, True)))


def find_folders(store: Listing, bucket: str, prefix: str) -> tuple[list[str], list[ListedObject]]:
    """Return every day folder of the prefix and the objects above the days, by listing folders only."""
    tops, loose = store.list_folder(bucket, prefix)
    days: list[str] = []
    beside = list(loose)
    for top in tops:
        below, objects = store.list_folder(bucket, top)
        days += below
        beside += objects
    return days, beside


def walk_folders(
    store: Listing, bucket: str, prefix: str, folders: Collection[str]
) -> Iterator[tuple[ListedObject, ...]]:
    """Yield the objects of folders page by page; what lies between them is skipped.

    A page may reach beyond its folder: the next folder then begins where the page ended. So this costs at most one
    request per folder, and at most as many as listing everything.
    """
    reached = ""
    for folder in sorted(folders):
        reached = max(reached, folder)
        while reached.startswith(folder):  # otherwise an earlier page went past it
            page, has_more = store.list_page(bucket, prefix, start_after=reached)
            if page:
                found = tuple(page)
                yield found
                reached = found[-1].key
            if not has_more:
                return
