"""Evaluation protocols, metrics and the benchmark."""
