"""When updates take effect: policies to be given to the strategy as `update`."""

from tfps.update.asynchronous import Asynchronous, inverse_staleness
from tfps.update.bounded_staleness import BoundedStaleness
from tfps.update.dense_and_rows import DenseAndRows
from tfps.update.local import ElasticAveraging, Local
from tfps.update.policy import Policy
from tfps.update.semi_synchronous import SemiSynchronous
from tfps.update.synchronous import Synchronous

__all__ = [
    "Asynchronous",
    "BoundedStaleness",
    "DenseAndRows",
    "ElasticAveraging",
    "Local",
    "Policy",
    "SemiSynchronous",
    "Synchronous",
    "inverse_staleness",
]
