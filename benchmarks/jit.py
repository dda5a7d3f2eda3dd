"""The time of a training step with and without `jit_compile`.

    python -m benchmarks.jit

starts a chief, a worker of one thread and a ps through `tfps local`. Each model is made twice, with
`compile(jit_compile=False)` and `True`, and the two train in turns with `model.fit`.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tyro

import tfps
from benchmarks import launch, report
from benchmarks.compare import cases

_STEPS_PER_EXECUTION = 10
_TIME_STEPS, _FEATURES = 100, 32
_WIDTH, _LAYERS = 256, 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compare the time of training steps with and without XLA."""

    steps: int = 40
    """Steps of a round; one to compile and warm up comes first."""
    rounds: int = 3
    """Rounds to measure."""
    json: Path | None = None
    """A file to write the numbers to."""


def main() -> None:
    """Measure, on the chief of a local cluster."""
    arguments = tyro.cli(Arguments)
    launch.on_local_cluster(lambda: measure(arguments), "benchmarks.jit", ps=1, workers=1)


def measure(arguments: Arguments) -> None:
    """Train every model both ways, and publish."""
    strategy = tfps.ParameterServerStrategy()
    rows: list[list[report.Cell]] = []
    for name, case in _cases().items():
        with strategy.scope():
            models = {jit_compile: _compiled(case, jit_compile) for jit_compile in (False, True)}
        for model in models.values():
            _seconds(model, case, arguments.steps)
        rounds = [
            {jit_compile: _seconds(model, case, arguments.steps) for jit_compile, model in both}
            for both in [list(models.items())] * arguments.rounds
        ]
        plain, compiled = (
            report.low_middle_high([1e3 * r[jit] / arguments.steps for r in rounds])
            for jit in (False, True)
        )
        _, ratio, _ = report.low_middle_high([r[False] / r[True] for r in rounds])
        rows.append([name, *plain, *compiled, ratio])
    columns = ["model", "min ms", "median", "max", "XLA min ms", "median XLA", "max XLA"]
    table = report.Table(
        title="Time of a training step, 1 worker of one thread, 1 ps",
        columns=[*columns, "times faster"],
        rows=rows,
        note="times faster: the median of the rounds' ratios.",
    )
    report.publish([table], arguments.json)


def _cases() -> dict[str, cases.Case]:
    return {
        "encoder": cases.encoder(),
        f"LSTM, {_TIME_STEPS} time steps": _case(_lstm, (_TIME_STEPS, _FEATURES)),
        f"{_LAYERS} layers of Dense, LayerNormalization and gelu": _case(_deep, (_WIDTH,)),
        "recommender, 100,000 rows": cases.recommender(100_000),
    }


def _case(make: Callable[[Any], Any], shape: tuple[int, ...], batch: int = 32) -> cases.Case:
    def draw(random: np.random.Generator) -> cases.Batches:
        x = random.normal(size=(cases.POOL, batch, *shape)).astype(np.float32)
        return x, x.reshape(cases.POOL, batch, -1)[:, :, :1]

    return cases.Case(
        batch=batch,
        draw=draw,
        make=make,
        optimizer=lambda keras: keras.optimizers.Adam(1e-4),
        loss=lambda keras: keras.losses.MeanSquaredError(),
    )


def _lstm(keras: Any) -> Any:
    layers = keras.layers
    inputs = keras.Input((_TIME_STEPS, _FEATURES))
    return keras.Sequential([inputs, layers.LSTM(64), layers.Dense(1)])


def _deep(keras: Any) -> Any:
    layers = keras.layers
    hidden = inputs = keras.Input((_WIDTH,))
    for _ in range(_LAYERS):
        hidden = layers.LayerNormalization()(layers.Dense(_WIDTH)(hidden))
        hidden = layers.Activation("gelu")(hidden)
    return keras.Model(inputs, layers.Dense(1)(hidden))


def _compiled(case: cases.Case, jit_compile: bool) -> Any:
    import keras

    model = case.make(keras)
    model.compile(
        case.optimizer(keras),
        case.loss(keras),
        steps_per_execution=_STEPS_PER_EXECUTION,
        jit_compile=jit_compile,
    )
    return model


def _seconds(model: Any, case: cases.Case, steps: int) -> float:
    """Train for some steps; return how long these took, without what comes before the first."""
    import keras

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.started = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.seconds = time.perf_counter() - self.started

    clock = Clock()
    model.fit(case.dataset, steps_per_epoch=steps, callbacks=[clock], verbose=0)
    return clock.seconds


if __name__ == "__main__":
    main()
