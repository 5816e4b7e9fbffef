"""Alembic environment: migrations run on the store's connection, in its transaction."""

from __future__ import annotations

from alembic import context

from transfer_meta.runs.store.schema import VERSION_TABLE, Base

# Only alembic sets `config`; other imports do nothing.
if hasattr(context, "config"):
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        render_as_batch=True,
    )
    context.run_migrations()
