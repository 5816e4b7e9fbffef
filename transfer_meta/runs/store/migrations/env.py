"""How alembic runs the migrations: on the connection, and in the transaction, that the store hands over."""

from __future__ import annotations

from alembic import context

from transfer_meta.runs.store.schema import VERSION_TABLE, Base

# Imported by anything but alembic, this module does nothing.
if hasattr(context, "config"):
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        render_as_batch=True,
    )
    context.run_migrations()
