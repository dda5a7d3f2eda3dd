"""A training loop around a step function of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfps.step.discover import discover
from tfps.step.report import MetricSums
from tfps.training.data import as_source
from tfps.training.phase import Phase
from tfps.training.runtime import Runtime

StepFunction = Callable[[keras.Model, Any], Any]


class Loop:
    """Runs a step function on the workers; `ParameterServerStrategy.loop` returns one.

    Attributes:
        model: the model that is trained.
        optimizer: the optimizer that updates it; its `iterations` count the steps.
    """

    def __init__(
        self,
        runtime: Runtime,
        step: StepFunction,
        *,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        data: Any,
        steps_per_execution: int = 1,
    ) -> None:
        """Build the data on the workers, and trace the step."""
        self.model = model
        self.optimizer = optimizer
        if not model.built:
            raise ValueError(
                f"Model {model.name!r} has no variables yet. Build it in strategy.scope(), for "
                "example by model.build(input_shape), before making a loop."
            )
        feed = runtime.workers.feed(as_source(data))
        self._means = _means(step, model, feed.element_spec)
        with runtime.strategy.scope():
            program = runtime.loop_program(model, self._computation(step), feed)
        self._phase = Phase(
            workers=runtime.workers,
            feed=feed,
            program=program,
            metrics=MetricSums(program.metric_variables),
            steps=0,
            steps_per_execution=steps_per_execution,
        )

    def run(self, steps: int) -> dict[str, float]:
        """Run a number of steps, which all workers share.

        Args:
            steps: the number of steps over all workers.

        Returns:
            The mean over these steps of `loss`, and of each metric that the step function returns.

        Raises:
            ValueError: if the data of all workers ended before.
        """
        for mean in self._means.values():
            mean.reset_state()
        ran = self._phase.run_steps(steps)
        if ran < steps:
            raise ValueError(
                f"The data of all workers ended after {ran} of {steps} steps. Give data that "
                "repeats, for example with .repeat()."
            )
        return {name: float(mean.result()) for name, mean in self._means.items()}

    def _computation(self, step: StepFunction) -> Callable[[Any], tf.Tensor]:
        def computation(batch: Any) -> tf.Tensor:
            with tf.GradientTape() as tape:
                loss, metrics = _loss_and_metrics(step(self.model, batch))
                scaled = self.optimizer.scale_loss(loss)
            variables = self.model.trainable_variables
            self.optimizer.apply(tape.gradient(scaled, variables), variables)
            for name, value in {"loss": loss, **metrics}.items():
                self._means[name].update_state(value)
            return loss

        return computation


def _means(step: StepFunction, model: keras.Model, batch_spec: Any) -> dict[str, Any]:
    """Return a mean for the loss, and one for each metric that `step` returns, by name."""
    outputs = discover(lambda batch: step(model, batch), batch_spec).outputs
    loss, metrics = _loss_and_metrics(outputs)
    if "loss" in metrics:
        raise ValueError(
            "The step function returns a metric named 'loss', which is the name of the loss "
            "itself. Give it another name."
        )
    if not tf.is_tensor(loss) or loss.shape.rank != 0:
        raise ValueError(f"The step function must return a scalar loss; it returned {loss!r}.")
    return {name: keras.metrics.Mean(name=name) for name in ["loss", *metrics]}


def _loss_and_metrics(returned: Any) -> tuple[Any, dict[str, Any]]:
    return returned if isinstance(returned, tuple) else (returned, {})
