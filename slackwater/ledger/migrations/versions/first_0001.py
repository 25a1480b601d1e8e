"""First schema: objects, batches, refreshes, their leases and the append-only record of every change of state."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
create table ledger.object (
    object_id text primary key,
    bucket text not null,
    key text not null,
    etag text not null,
    version_id text,
    size_bytes bigint not null,
    last_modified timestamptz,
    entity text,
    source_partition text,
    first_position bigint,
    last_position bigint,
    epoch integer not null,
    state text not null check (state in ('seen', 'batched', 'quarantined', 'superseded')),
    reason text,
    message text,
    batch_id text,
    overwrites text references ledger.object,
    first_seen_at timestamptz not null default clock_timestamp(),
    last_seen_at timestamptz not null default clock_timestamp(),
    changed_at timestamptz not null default clock_timestamp(),
    check (state <> 'batched' or batch_id is not null),
    check (state in ('quarantined', 'superseded')
        or (entity is not null and source_partition is not null
            and first_position is not null and last_position is not null))
);
create index object_waiting on ledger.object (entity, first_seen_at) where state = 'seen';
create index object_by_key on ledger.object (bucket, key);
create index object_by_batch on ledger.object (batch_id);
create index object_bad on ledger.object (changed_at) where state in ('quarantined', 'superseded');

create table ledger.batch (
    batch_id text primary key,
    entity text not null,
    state text not null check (state in ('sealed', 'landed', 'loaded')),
    object_count integer not null check (object_count > 0),
    size_bytes bigint not null,
    row_count bigint,
    snapshot_id bigint,
    load_seq bigint,
    lease_owner text,
    attempt integer not null default 0,
    leased_until timestamptz,
    emissions integer not null default 0,
    emitted_at timestamptz,
    sealed_at timestamptz not null default clock_timestamp(),
    landed_at timestamptz,
    loaded_at timestamptz,
    touched_at timestamptz not null default clock_timestamp(),
    last_error text,
    check (state = 'sealed' or row_count is not null),
    check (state <> 'loaded' or load_seq is not null),
    check ((lease_owner is null) = (leased_until is null))
);
create index batch_open on ledger.batch (entity, state) where state <> 'loaded';
create index batch_loaded on ledger.batch (entity, load_seq) where state = 'loaded';

create table ledger.batch_object (
    batch_id text not null references ledger.batch,
    object_id text not null references ledger.object,
    is_skipped boolean not null default false,
    reason text,
    primary key (batch_id, object_id)
);
create unique index batch_object_once on ledger.batch_object (object_id) where not is_skipped;

create table ledger.transition (
    transition_id bigint generated always as identity primary key,
    subject text not null check (subject in ('object', 'batch', 'refresh')),
    subject_id text not null,
    from_state text,
    to_state text not null,
    actor text not null,
    detail jsonb not null default '{}',
    at timestamptz not null default clock_timestamp()
);
create index transition_of on ledger.transition (subject, subject_id, transition_id);

create table ledger.refresh (
    refresh_id text primary key,
    mart_set text not null,
    state text not null check (state in ('building', 'tested', 'published', 'rejected')),
    bounds jsonb not null,
    as_of timestamp,
    publication_id text,
    reasons jsonb not null default '[]',
    report text,
    started_at timestamptz not null default clock_timestamp(),
    tested_at timestamptz,
    ended_at timestamptz,
    check (state <> 'published' or publication_id is not null)
);
create unique index refresh_one_open on ledger.refresh (mart_set) where state in ('building', 'tested');
create index refresh_by_time on ledger.refresh (mart_set, started_at);

create table ledger.refresh_batch (
    refresh_id text not null references ledger.refresh,
    batch_id text not null references ledger.batch,
    primary key (refresh_id, batch_id)
);
create index refresh_batch_of on ledger.refresh_batch (batch_id);

create table ledger.refresh_flag (
    mart_set text primary key,
    is_raised boolean not null default false,
    raised_at timestamptz,
    raises bigint not null default 0,
    lease_owner text,
    attempt integer not null default 0,
    leased_until timestamptz,
    check ((lease_owner is null) = (leased_until is null))
);

create table ledger.rejected_message (
    message_id bigint generated always as identity primary key,
    queue text not null,
    body text not null,
    reason text not null,
    at timestamptz not null default clock_timestamp()
);

create function ledger.refuse_change() returns trigger language plpgsql as
$$ begin raise exception 'ledger.transition is append-only'; end $$;
create trigger transition_is_append_only before update or delete or truncate on ledger.transition
    for each statement execute function ledger.refuse_change();
"""


def upgrade() -> None:
    """Create every table."""
    op.execute(TABLES)


def downgrade() -> None:
    """Refuse: the ledger is never thrown away; a lost one comes back from a backup."""
    raise NotImplementedError("the ledger has no way back")
