"""Publish a tested refresh: one transaction that makes `MARTS` equal to `CANDIDATE`, rewriting only rows that differ.

Of a mart that is built in parts only the rows that the refresh touches are compared: the others were equal and nothing
wrote them. Any doubt has the whole mart compared: its candidate was built whole since, the numbers of rows differ, or
nobody compared all of it for a day.

A row that did not change keeps the `publication_id` that wrote it. The gate decides before this is called; nothing else
writes to `MARTS`. Rejecting is a fact of the ledger only: `MARTS` is not touched.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from slackwater.checkpoints import Checkpoint, reached
from slackwater.clients.snowflake import Warehouse, quote_identifier
from slackwater.errors import IllegalTransition, LeaseLost
from slackwater.ledger.model import RefreshState, WorkLease
from slackwater.ledger.store import Ledger
from slackwater.naming import SCHEMA_MARTS
from slackwater.warehouse import audit
from slackwater.warehouse.costs import Step, query_tag
from slackwater.warehouse.marts import PUBLICATION_COLUMN, Mart, load_marts
from slackwater.warehouse.refresh import Refresh
from slackwater.warehouse.touched_rows import touched_rows
from slackwater.warehouse.whole_marts import marts_in_doubt


@dataclass(frozen=True)
class PublishedMart:
    """How many rows of one mart a publication took out and put in; a changed row counts in both."""

    mart: str
    rows_deleted: int
    rows_inserted: int


@dataclass(frozen=True)
class Publication:
    """One publication.

    Attributes:
        publication_id: Derived from the refresh, so that a repetition has the same.
        was_already_published: True when an earlier attempt had done it.
    """

    publication_id: str
    refresh_id: str
    marts: tuple[PublishedMart, ...]
    was_already_published: bool


def publication_id_of(refresh_id: str) -> str:
    """Return the id of the one publication a refresh can have."""
    return f"pub-{refresh_id}"


def publish(
    refresh: Refresh, *, ledger: Ledger, warehouse: Warehouse, lease: WorkLease, marts: Sequence[Mart] | None = None
) -> Publication:
    """Make what readers see equal to the refresh's candidate, and say so in the ledger.

    A second call changes nothing in the warehouse and brings the ledger up to date.

    Args:
        refresh: A refresh the gate has passed.
        ledger: Must hold it as `tested`.
        warehouse: Session that writes.
        lease: The caller's right to refresh the mart set.
        marts: The marts of the set; read from the dbt project by default.

    Raises:
        IllegalTransition: The ledger does not hold the refresh as tested.
        LeaseLost: A newer refresh has started; its models may have changed the candidate.
        CommitConflict: Another publication or start held the lock; nothing was written.
    """
    state = ledger.refresh(refresh.refresh_id).state
    if state not in {RefreshState.TESTED, RefreshState.PUBLISHED}:
        raise IllegalTransition(f"refresh {refresh.refresh_id} is {state}, expected tested: only the gate opens marts")
    reached(Checkpoint.BEFORE_PUBLISH)
    publication = write_publication(warehouse, refresh, marts=load_marts() if marts is None else marts)
    reached(Checkpoint.AFTER_PUBLISH)
    audit.record(warehouse, _deeds(publication), actor=lease.actor)
    if state is RefreshState.TESTED:
        ledger.mark_published(lease, refresh.refresh_id, publication_id=publication.publication_id)
    return publication


def _deeds(publication: Publication) -> list[audit.Deed]:
    """Return what the audit says of a publication; a repetition says the same."""
    ids = {"refresh_id": publication.refresh_id, "publication_id": publication.publication_id}
    return [
        audit.Deed(
            audit.DATA_TRANSFORMATION,
            f"{SCHEMA_MARTS}.{one.mart.upper()}",
            ids | {"rows_deleted": str(one.rows_deleted), "rows_inserted": str(one.rows_inserted)},
        )
        for one in publication.marts
    ]


def write_publication(warehouse: Warehouse, refresh: Refresh, *, marts: Sequence[Mart]) -> Publication:
    """Run the publication's transaction, unless this refresh was published before. See `publish`."""
    publication_id = publication_id_of(refresh.refresh_id)
    with warehouse.tagged(query_tag(Step.PUBLISH, refresh.refresh_id)), warehouse.transaction():
        # Waits for, or conflicts with, every other publication and refresh start; only then is the state read.
        warehouse.execute("update OPS.MART_LOCK set lock_seq = lock_seq + 1 where mart_set = ?", (refresh.mart_set,))
        if warehouse.query("select 1 from MARTS.PUBLICATION where refresh_id = ?", (refresh.refresh_id,)):
            return Publication(publication_id, refresh.refresh_id, _written(warehouse, publication_id), True)
        _require_newest(warehouse, refresh)
        whole = marts_in_doubt(warehouse, marts)
        written = tuple(
            _publish_mart(warehouse, mart, publication_id, refresh, is_whole=mart.name in whole) for mart in marts
        )
        _record(warehouse, refresh, publication_id, written)
    return Publication(publication_id, refresh.refresh_id, written, was_already_published=False)


def _require_newest(warehouse: Warehouse, refresh: Refresh) -> None:
    newest = warehouse.scalar(
        "select refresh_id from OPS.REFRESH where mart_set = ? order by refresh_seq desc limit 1", (refresh.mart_set,)
    )
    if newest != refresh.refresh_id:
        raise LeaseLost(
            f"refresh {refresh.refresh_id} cannot publish: {newest} started later and may have changed the candidate"
        )


def _publish_mart(
    warehouse: Warehouse, mart: Mart, publication_id: str, refresh: Refresh, *, is_whole: bool
) -> PublishedMart:
    """Make a published mart equal to its candidate.

    Args:
        warehouse: Session that writes, in the publication's transaction.
        mart: The mart.
        publication_id: Put on the rows that are written.
        refresh: What is published.
        is_whole: Rows can differ that the refresh does not touch.
    """
    if is_whole or not mart.impact:
        return _replace_changed_rows(warehouse, mart, publication_id)
    touched = _replace_changed_rows(warehouse, mart, publication_id, where=f" where {touched_rows(mart, refresh)}")
    [(shown, built)] = warehouse.query(
        f"select (select count(*) from {mart.published_table}), (select count(*) from {mart.candidate_table})"
    )
    if shown == built:
        return touched
    others = _replace_changed_rows(warehouse, mart, publication_id)
    return PublishedMart(
        mart.name, touched.rows_deleted + others.rows_deleted, touched.rows_inserted + others.rows_inserted
    )


def _replace_changed_rows(warehouse: Warehouse, mart: Mart, publication_id: str, *, where: str = "") -> PublishedMart:
    """Delete the published rows the candidate does not hold identically, then insert what is missing, by key.

    Args:
        warehouse: Session that writes, in the publication's transaction.
        mart: The mart.
        publication_id: Put on the rows that are written.
        where: Which rows of both are compared.
    """
    columns = ", ".join(quote_identifier(name) for name in mart.column_names)
    published = f"select {columns} from {mart.published_table}{where}"
    candidate = f"select {columns} from {mart.candidate_table}{where}"
    key = ", ".join(quote_identifier(name) for name in mart.key)
    same_key = " and ".join(f"published.{quote_identifier(name)} = gone.{quote_identifier(name)}" for name in mart.key)
    deleted = warehouse.execute(
        f"delete from {mart.published_table} as published using ({published} except {candidate}) as gone"
        f" where {same_key}"
    )
    inserted = warehouse.execute(
        f"insert into {mart.published_table} ({columns}, {quote_identifier(PUBLICATION_COLUMN)})"
        f" select {columns}, ? from ({candidate} except {published}) as fresh order by {key}",
        (publication_id,),
    )
    return PublishedMart(mart.name, deleted, inserted)


def _record(warehouse: Warehouse, refresh: Refresh, publication_id: str, written: Sequence[PublishedMart]) -> None:
    if written:
        warehouse.execute(
            "insert into MARTS.PUBLICATION_MART (publication_id, mart, rows_deleted, rows_inserted) "
            + " union all ".join(["select ?, ?, ?, ?"] * len(written)),
            [value for one in written for value in (publication_id, one.mart, one.rows_deleted, one.rows_inserted)],
        )
    warehouse.execute(
        "insert into MARTS.PUBLICATION (publication_id, publication_seq, refresh_id, mart_set, as_of, rows_deleted,"
        " rows_inserted, published_at) select ?, shown.publication_seq + 1, started.refresh_id, started.mart_set,"
        " started.as_of, ?, ?, sysdate() from OPS.REFRESH as started inner join MARTS.PUBLICATION_CURRENT as shown"
        " on shown.mart_set = started.mart_set where started.refresh_id = ?",
        (
            publication_id,
            sum(one.rows_deleted for one in written),
            sum(one.rows_inserted for one in written),
            refresh.refresh_id,
        ),
    )
    warehouse.execute(
        "update MARTS.PUBLICATION_CURRENT set publication_seq = publication_seq + 1, publication_id = ?,"
        " refresh_id = ?, published_at = sysdate() where mart_set = ?",
        (publication_id, refresh.refresh_id, refresh.mart_set),
    )


def _written(warehouse: Warehouse, publication_id: str) -> tuple[PublishedMart, ...]:
    rows = warehouse.query(
        "select mart, rows_deleted, rows_inserted from MARTS.PUBLICATION_MART where publication_id = ? order by mart",
        (publication_id,),
    )
    return tuple(PublishedMart(str(mart), int(str(gone)), int(str(fresh))) for mart, gone, fresh in rows)
