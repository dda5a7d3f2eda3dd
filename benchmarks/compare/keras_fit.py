"""A contender: Keras 3's `model.fit` in one process of two threads. `contenders.py` starts it."""

from __future__ import annotations

import keras
import tyro

from benchmarks.compare import protocol
from benchmarks.compare.cases import Chosen


def main() -> None:
    """Train."""
    arguments = tyro.cli(Chosen)
    case = arguments.case
    case.compiled(keras).fit(
        case.dataset(),
        epochs=protocol.ENDLESS,
        steps_per_epoch=arguments.steps,
        callbacks=[protocol.callback(keras, arguments.steps)],
        verbose=0,
    )


if __name__ == "__main__":
    main()
