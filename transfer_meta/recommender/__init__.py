"""Recommendation of source tasks: library of known tasks, gain model, ranking and reasons."""
