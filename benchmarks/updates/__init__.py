"""What every policy of tfps.update does to learning, to the wire, and to the time of workers.

`python -m benchmarks.updates.curves` trains two models (`language.py` of benchmarks/learning,
`classifier.py`) with each policy (`contenders.py`), `python -m benchmarks.updates.local` with
local steps on more workers, and `python -m benchmarks.updates.waiting` has workers of which one is
slow (`slowed.py`, `pace.py`, `bounds.py`, `waits.py`).
"""
