"""Side by side with peers: `python -m benchmarks.NAME`, each ending with one line `result: key=value ...`."""
