"""Measurements: each program prints a table and says what it measured. Run as `python -m bench.NAME`."""
