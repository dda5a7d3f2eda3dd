"""How a contender takes its turns: it waits for the driver's word, runs its steps, and answers."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from benchmarks.compare import protocol

ENDLESS = 10**6
"""Epochs of a fit that goes on until the driver ends it."""


def wait_for_turn(message: protocol.Message) -> None:
    """Say a message to the driver and wait for the next turn.

    Raises:
        SystemExit: There is none.
    """
    print(protocol.to_line(message), flush=True)
    if sys.stdin.readline().strip() != protocol.RUN:
        raise SystemExit(0)


def take_turns(*, parameters: int, steps: int, run: Callable[[], float]) -> NoReturn:
    """Run the steps of one turn after another.

    Args:
        parameters: How many the model has.
        steps: How many steps `run` runs.
        run: Runs the steps of a turn, to the end of the last one, and returns the loss.
    """
    message: protocol.Message = protocol.Ready(parameters=parameters)
    while True:
        wait_for_turn(message)
        started = time.perf_counter()
        loss = run()
        seconds = time.perf_counter() - started
        message = protocol.Answer(steps=steps, seconds=seconds, loss=loss)


def callback(
    keras: Any, steps: int, counted: Callable[[Any], tuple[list[int], list[int]]] | None = None
) -> Any:
    """Make the callback with which each epoch of a fit is a turn.

    Args:
        keras: `keras` or `tf_keras`.
        steps: How many steps an epoch has.
        counted: Returns the bytes that each ps sent to workers in the model's last epoch, and those
            that each received from them; None if nobody counts.
    """

    class Turns(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            wait_for_turn(self._message(epoch))
            self._started = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self._seconds = time.perf_counter() - self._started
            self._loss = float(logs["loss"])

        def _message(self, epoch: int) -> protocol.Message:
            # The answer waits for the next epoch: between two epochs a fit is still at work.
            if epoch == 0:
                return protocol.Ready(parameters=self.model.count_params())
            pulled, pushed = counted(self.model) if counted else (None, None)
            return protocol.Answer(
                steps=steps,
                seconds=self._seconds,
                loss=self._loss,
                counted_bytes=sum(pulled) + sum(pushed) if counted else None,
                pull_bytes=pulled,
                push_bytes=pushed,
            )

    return Turns()
