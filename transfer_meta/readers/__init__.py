"""Readers of files: opening, decompression, and rows out of CSV, TSV, JSON, JSON Lines and Parquet."""
