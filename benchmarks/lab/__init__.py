"""The project and its peers on links of a chosen rate, and the cost of a step as a cluster grows.

`python -m benchmarks.lab` (`__main__.py`) and `python -m benchmarks.lab.sizes` (`sizes.py`) give
each task its own network namespace (`network.py`). The contenders, their data and their turns are
those of `benchmarks.compare`.
"""
