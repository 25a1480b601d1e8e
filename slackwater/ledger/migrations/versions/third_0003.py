"""Which batches were folded into the state tables; flag and lease of a mart set become those of any kind of work."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = """
alter table ledger.refresh_flag rename to work;
alter table ledger.work rename column mart_set to work;
alter table ledger.work rename constraint refresh_flag_pkey to work_pkey;

alter table ledger.batch add column folded_at timestamptz, add column fold_snapshot_id bigint;
create index batch_unfolded on ledger.batch (entity, landed_at) where state <> 'sealed' and folded_at is null;
"""


def upgrade() -> None:
    """Rename the table of flags and leases; add the columns of the fold."""
    op.execute(TABLES)


def downgrade() -> None:
    """Refuse: the ledger is never thrown away; a lost one comes back from a backup."""
    raise NotImplementedError("the ledger has no way back")
