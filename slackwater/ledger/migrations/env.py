"""Alembic's entry: runs the versions beside this file in one transaction. Called through `upgrade` only."""

from alembic import context
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

engine = create_engine(context.config.attributes["uri"], poolclass=NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, version_table="schema_version", version_table_schema="ledger")
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
