"""The upper bound for the same threads: forward and backward passes without any training.

`contenders.py` starts two of it, of one thread each, as many as there are workers. The parameters
are tensors that never change, as if a worker had pulled them at no cost.
"""

from __future__ import annotations

from typing import Any, NoReturn

import keras
import tensorflow as tf
import tyro

from benchmarks.compare import protocol
from benchmarks.compare.cases import Chosen


def main() -> NoReturn:
    """Compute."""
    arguments = tyro.cli(Chosen)
    case = arguments.case
    model, loss_of = case.make(keras), case.loss(keras)
    parameters = [tf.identity(variable.value) for variable in model.trainable_variables]
    others = [tf.identity(variable.value) for variable in model.non_trainable_variables]
    batches = iter(case.dataset())

    @tf.function
    def step(parameters: Any, inputs: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            outputs, _ = model.stateless_call(parameters, others, inputs, training=True)
            loss = loss_of(targets, outputs)
        return loss, tape.gradient(loss, parameters)

    def run() -> float:
        for _ in range(arguments.steps):
            loss, _ = step(parameters, *next(batches))
        return float(loss)

    protocol.take_turns(parameters=model.count_params(), steps=arguments.steps, run=run)


if __name__ == "__main__":
    main()
