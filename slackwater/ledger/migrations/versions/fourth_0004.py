"""What the upkeep of the lake took away or set back: purged batches, purged positions, who did it and why."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
alter table ledger.batch add column purged_at timestamptz;

create table ledger.purged_floor (
    entity text not null,
    source_partition text not null,
    epoch integer not null,
    position bigint not null,
    purged_at timestamptz not null default clock_timestamp(),
    primary key (entity, source_partition)
);

create table ledger.purge (
    purge_id text primary key,
    entity text not null,
    days jsonb not null,
    row_count bigint not null check (row_count > 0),
    file_count integer not null,
    size_bytes bigint not null,
    actor text not null,
    planned_at timestamptz not null default clock_timestamp(),
    done_at timestamptz
);
create index purge_of on ledger.purge (entity, planned_at);

create table ledger.lake_action (
    action_id bigint generated always as identity primary key,
    table_name text not null,
    action text not null,
    actor text not null,
    reason text not null,
    detail jsonb not null default '{}',
    at timestamptz not null default clock_timestamp()
);
create index lake_action_of on ledger.lake_action (table_name, action_id);
"""


def upgrade() -> None:
    """Add what is missing; no row is changed."""
    op.execute(TABLES)


def downgrade() -> None:
    """Refuse: the ledger is never thrown away; a lost one comes back from a backup."""
    raise NotImplementedError("the ledger has no way back")
