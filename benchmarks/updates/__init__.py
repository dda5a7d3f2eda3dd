"""The effect of each policy of tfps.update on learning, on the wire, and on the workers' time.

`python -m benchmarks.updates.curves` trains two models (`text.py` of benchmarks/learning, and
`classifier.py`) with each policy (`contenders.py`, `comparison.py`). `python -m
benchmarks.updates.local` does the same with local steps on more workers. `python -m
benchmarks.updates.waiting` measures a cluster with one slow worker (`slowed.py`, `pace.py`,
`bounds.py`, `waits.py`).
"""
