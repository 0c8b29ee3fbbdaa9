"""Ingestion and statistics of many rows, beside TFDV's own ways: `python -m benchmarks.data`."""
