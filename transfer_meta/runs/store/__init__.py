"""The run store: its schema, transactions, and migrations.  The only place that imports SQLAlchemy."""
