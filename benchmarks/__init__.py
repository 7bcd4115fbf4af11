"""Benchmarks: commands, never timed tests. `make bench` runs all of them."""
