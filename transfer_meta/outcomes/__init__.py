"""Outcome tables of any origin, and the store of our own runs."""
