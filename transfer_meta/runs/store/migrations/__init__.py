"""Changes of the run store's tables from version to version, run by alembic."""
