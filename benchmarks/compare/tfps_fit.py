"""A contender: the project, `model.fit` on a local cluster. `contenders.py` starts it."""

from __future__ import annotations

import dataclasses
from typing import Any

import tyro

import tfps
from benchmarks import encoder
from benchmarks.compare import protocol
from benchmarks.compare.cases import Chosen


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(Chosen):
    """Train with tfps, one turn at a time.

    Attributes:
        wire: What travels, as in benchmarks.encoder.
        steps_per_execution: Steps per dispatch.
        overlap: Of the strategy.
        bucket_bytes: Of the strategy.
    """

    wire: encoder.Wire = "float32"
    steps_per_execution: int = 1
    overlap: bool = False
    bucket_bytes: int | None = None


def main() -> None:
    """Train on the chief, serve on the workers and ps."""
    arguments = tyro.cli(Arguments)
    tfps.run(lambda: train(arguments))


def train(arguments: Arguments) -> None:
    """Train on the cluster of TF_CONFIG."""
    import keras

    pull, push = encoder.wires()[arguments.wire]
    strategy = tfps.ParameterServerStrategy(
        variable_partitioner=tfps.AutoPartitioner(),
        pull=pull,
        push=push,
        overlap=arguments.overlap,
        bucket_bytes=arguments.bucket_bytes,
    )
    case = arguments.case
    with strategy.scope():
        model = case.compiled(keras, arguments.steps_per_execution)
    model.fit(
        case.dataset,
        epochs=protocol.ENDLESS,
        steps_per_epoch=arguments.steps,
        callbacks=[protocol.callback(keras, arguments.steps, _counted_bytes)],
        verbose=0,
    )


def _counted_bytes(model: Any) -> tuple[list[int], list[int]]:
    last = model.history.traffic[-1]
    return list(last.pull_bytes), list(last.push_bytes)


if __name__ == "__main__":
    main()
