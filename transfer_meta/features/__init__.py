"""Features of tasks and of pairs of tasks."""
