"""Measurements of speed, matching and faults: run with python -m bench.NAME."""
