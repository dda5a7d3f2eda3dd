"""What to know of a model before it trains: large variables that each step moves whole."""

from __future__ import annotations

import math
from collections.abc import Iterator

import keras
import tensorflow as tf

from tfps.params.shards import shards, updated_on
from tfps.params.variable_map import VariableSet
from tfps.step.discover import Demand

_NOTABLE_BYTES = 1 << 20
"""A table that is looked up by row is named from this size on: it takes 9 ms on 1 Gbit/s."""

_LARGE_BYTES = 512 << 20
"""Any variable is named from this size on. The kernels of usual dense models are smaller: the
largest of VGG16 has 392 MiB, of GPT-2 XL 39 MiB."""


def describe_whole_tables(demand: Demand) -> Iterator[str]:
    """Yield a sentence for each large variable that a training step moves, or a ps updates, whole.

    Args:
        demand: what a training step asks of the parameters.
    """
    trained = VariableSet(v for call in demand.applied for v in call.variables)
    for variable in (v for v in demand.whole if v in trained):
        why = demand.looked_up_whole.get(variable)
        if _num_bytes(variable) >= (_LARGE_BYTES if why is None else _NOTABLE_BYTES):
            yield (
                f"each step pulls and pushes all of {variable.path!r}, {_megabytes(variable)} each "
                f"way before coding: {why or 'it is large. Codecs (tfps.wire) make it smaller.'}"
            )
    for variable in trained:
        ps = updated_on(variable)
        if ps is not None and _num_bytes(variable) >= _NOTABLE_BYTES:
            yield (
                f"each update of {variable.path!r}, {_megabytes(variable)} in "
                f"{len(shards(variable))} shards, is made on ps {ps}, which reads and writes the "
                "other shards: its optimizer or its constraint may look at the whole variable. "
                "Optimizers of Keras that update each element by itself, such as Adam, update each "
                "shard on its own ps."
            )


def _num_bytes(variable: keras.Variable) -> int:
    return int(math.prod(variable.shape) * tf.as_dtype(variable.dtype).size)


def _megabytes(variable: keras.Variable) -> str:
    return f"{_num_bytes(variable) / 1e6:.1f} MB"
