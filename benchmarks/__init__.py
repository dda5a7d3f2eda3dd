"""Measurements of tfps, each a command: `python -m benchmarks.NAME`; `--json FILE` keeps it."""
