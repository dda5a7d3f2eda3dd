"""The project and its peers on links of a chosen rate, and what a step costs as a cluster grows.

`python -m benchmarks.lab` (`__main__.py`) and `python -m benchmarks.lab.sizes` (`sizes.py`) give
every task a network namespace of its own (`network.py`). The contenders, their data and how they
take turns are those of `benchmarks.compare`.
"""
