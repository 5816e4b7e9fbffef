"""Options, tables and progress shared by several commands."""
