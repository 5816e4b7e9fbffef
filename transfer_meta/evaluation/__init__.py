"""Protocols, metrics and the benchmark that brings them together."""
