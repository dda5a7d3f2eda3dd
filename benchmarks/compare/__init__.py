"""The project and its peers, on the same model, data, batch and threads, in one run.

`python -m benchmarks.compare` (`__main__.py`) starts each contender (`contenders.py`), a program of
this folder in its own processes, and lets the contenders take turns (`driver.py`, `protocol.py`).
"""
