"""Discarded objects, rows per event day, sweeps, run decisions, what a refresh's build was called.

And what keeps questions flat however long the history is: a batch knows its publication, counts are kept as they
change (`ledger.tally`), and a partition knows how far it is settled.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
do $$
declare name text;
begin
    for name in
        select conname from pg_constraint
        where conrelid = 'ledger.object'::regclass and contype = 'c'
            and pg_get_constraintdef(oid) like '%''superseded''%'
    loop
        execute format('alter table ledger.object drop constraint %I', name);
    end loop;
end $$;
alter table ledger.object
    add constraint object_state_known
        check (state in ('seen', 'batched', 'quarantined', 'superseded', 'discarded')),
    add constraint object_place_known
        check (state in ('quarantined', 'superseded', 'discarded')
            or (entity is not null and source_partition is not null
                and first_position is not null and last_position is not null));
drop index ledger.object_bad;
create index object_bad on ledger.object (changed_at) where state in ('quarantined', 'superseded', 'discarded');
create index object_by_place on ledger.object (entity, source_partition, first_position)
    where first_position is not null;
create index object_by_end on ledger.object (entity, source_partition, last_position)
    where first_position is not null;
create index object_in_turn on ledger.object (entity, (greatest(first_seen_at, changed_at)), key) where state = 'seen';
create index object_overwriting on ledger.object (first_seen_at) where overwrites is not null;

alter table ledger.batch add column published_in text references ledger.refresh;
update ledger.batch b set published_in = r.refresh_id
    from ledger.refresh_batch m join ledger.refresh r using (refresh_id)
    where m.batch_id = b.batch_id and r.state = 'published';
create index batch_unpublished on ledger.batch (entity, state) where published_in is null;
create index batch_by_time on ledger.batch (sealed_at, batch_id);

create table ledger.partition_floor (
    entity text not null,
    source_partition text not null,
    first_position bigint not null,
    position bigint not null,
    primary key (entity, source_partition)
);

create table ledger.tally (
    tally_id bigint generated always as identity primary key,
    subject text not null,
    entity text not null,
    state text not null,
    amount bigint not null
);
create function ledger.tally_objects() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        insert into ledger.tally (subject, entity, state, amount)
        select 'object', coalesce(entity, ''), state, count(*) from new_rows group by 2, 3;
    elsif tg_op = 'UPDATE' then
        insert into ledger.tally (subject, entity, state, amount)
        select 'object', coalesce(entity, ''), state, sum(amount) from (
            select entity, state, 1 as amount from new_rows union all select entity, state, -1 from old_rows) moved
        group by 2, 3 having sum(amount) <> 0;
    else
        insert into ledger.tally (subject, entity, state, amount)
        select 'object', coalesce(entity, ''), state, -count(*) from old_rows group by 2, 3;
    end if;
    return null;
end $$;
create function ledger.batch_stage(state text, published_in text) returns text language sql immutable as
$$ select case when state = 'loaded' and published_in is not null then 'published' else state end $$;
create function ledger.tally_batches() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        insert into ledger.tally (subject, entity, state, amount)
        select 'batch', entity, ledger.batch_stage(state, published_in), count(*) from new_rows group by 2, 3;
    elsif tg_op = 'UPDATE' then
        insert into ledger.tally (subject, entity, state, amount)
        select 'batch', entity, stage, sum(amount) from (
            select entity, ledger.batch_stage(state, published_in) as stage, 1 as amount from new_rows
            union all
            select entity, ledger.batch_stage(state, published_in), -1 from old_rows) moved
        group by 2, 3 having sum(amount) <> 0;
    else
        insert into ledger.tally (subject, entity, state, amount)
        select 'batch', entity, ledger.batch_stage(state, published_in), -count(*) from old_rows group by 2, 3;
    end if;
    return null;
end $$;
-- The sums replace their parts now and then. Rows another transaction folds are left to it, so nobody waits.
create function ledger.fold_tally() returns trigger language plpgsql as $$
begin
    if exists (select 1 from new_rows where tally_id % 256 = 0) then
        with gone as (
            delete from ledger.tally
            where tally_id in (select tally_id from ledger.tally order by tally_id for update skip locked)
            returning subject, entity, state, amount)
        insert into ledger.tally (subject, entity, state, amount)
        select subject, entity, state, sum(amount) from gone group by 1, 2, 3 having sum(amount) <> 0;
    end if;
    return null;
end $$;
insert into ledger.tally (subject, entity, state, amount)
    select 'object', coalesce(entity, ''), state, count(*) from ledger.object group by 2, 3
    union all
    select 'batch', entity, ledger.batch_stage(state, published_in), count(*) from ledger.batch group by 2, 3;
create trigger tally_insert after insert on ledger.object referencing new table as new_rows
    for each statement execute function ledger.tally_objects();
create trigger tally_update after update on ledger.object referencing old table as old_rows new table as new_rows
    for each statement execute function ledger.tally_objects();
create trigger tally_delete after delete on ledger.object referencing old table as old_rows
    for each statement execute function ledger.tally_objects();
create trigger tally_insert after insert on ledger.batch referencing new table as new_rows
    for each statement execute function ledger.tally_batches();
create trigger tally_update after update on ledger.batch referencing old table as old_rows new table as new_rows
    for each statement execute function ledger.tally_batches();
create trigger tally_delete after delete on ledger.batch referencing old table as old_rows
    for each statement execute function ledger.tally_batches();
-- What was counted of a table is forgotten with it, and no partition is settled any more.
create function ledger.forget_tally() returns trigger language plpgsql as $$
begin
    delete from ledger.tally where subject = tg_table_name;
    delete from ledger.partition_floor;
    return null;
end $$;
create trigger tally_truncate after truncate on ledger.object
    for each statement execute function ledger.forget_tally();
create trigger tally_truncate after truncate on ledger.batch
    for each statement execute function ledger.forget_tally();
create trigger tally_fold after insert on ledger.tally referencing new table as new_rows
    for each statement execute function ledger.fold_tally();

create table ledger.object_day (
    object_id text not null references ledger.object,
    day date not null,
    row_count bigint not null check (row_count > 0),
    primary key (object_id, day)
);

create table ledger.sweep (
    sweep_id bigint generated always as identity primary key,
    kind text not null check (kind in ('recent', 'full')),
    prefixes integer not null,
    listed_objects bigint not null,
    recorded_objects bigint not null,
    actor text not null,
    started_at timestamptz not null,
    finished_at timestamptz not null default clock_timestamp()
);
create index sweep_by_time on ledger.sweep (kind, started_at);

create table ledger.landing_folder (
    bucket text not null,
    folder text not null,
    newest_at timestamptz not null default clock_timestamp(),
    primary key (bucket, folder)
);

create table ledger.run_decision (
    decision_id bigint generated always as identity primary key,
    run_id text not null,
    run_name text not null,
    action text not null,
    reason text not null,
    evidence jsonb not null default '{}',
    at timestamptz not null default clock_timestamp()
);
create index run_decision_of on ledger.run_decision (run_id);

alter table ledger.refresh add column dbt_invocation_id text, add column dbt_built_at timestamptz;
"""


def upgrade() -> None:
    """Add what is missing; of the rows only a batch is changed, which learns the refresh that published it."""
    op.execute(TABLES)


def downgrade() -> None:
    """Refuse: it is never thrown away; a lost ledger comes back from a backup or by `slackwater ledger rebuild`."""
    raise NotImplementedError("the ledger has no way back")
