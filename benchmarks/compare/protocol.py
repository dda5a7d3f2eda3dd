"""How the driver and a contender talk, a line each over the contender's pipes.

The contender says `Ready` once its model is made, and waits. For each line `run` it runs its steps
and says `Answer`, then waits again. It answers only once it is idle, since another contender's turn
is next. Any other line, or the end of its standard input, ends it.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

RUN = "run"
_MARK = "compare: "


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ready:
    """A contender waits for its first turn.

    Attributes:
        parameters: Number of parameters of its model.
    """

    parameters: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """The result of one turn.

    Attributes:
        steps: Number of batches trained on.
        seconds: Duration of the turn.
        loss: The training loss, which shows that the contender learns.
        counted_bytes: Bytes that the contender counted on the wire; None if it does not count.
        pull_bytes: Bytes that each ps sent to workers; None if the contender cannot tell.
        push_bytes: Bytes that each ps received from workers; None if the contender cannot tell.
    """

    steps: int
    seconds: float
    loss: float
    counted_bytes: int | None = None
    pull_bytes: list[int] | None = None
    push_bytes: list[int] | None = None


Message = Ready | Answer
M = TypeVar("M", Ready, Answer)


def to_line(message: Message) -> str:
    """Write a message as one line, without its end."""
    return _MARK + json.dumps(dataclasses.asdict(message))


def from_line(line: str, kind: type[M]) -> M | None:
    """Return the message in a line, or None if the line is other output of the program.

    Raises:
        ValueError: The line is a message of another kind.
    """
    _, mark, content = line.partition(_MARK)
    if not mark:
        return None
    names = [field.name for field in dataclasses.fields(kind)]
    try:
        fields = json.loads(content)
        return kind(**fields)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The contender said {content.strip()!r}; expected a JSON object with "
            f"{', '.join(names)}."
        ) from error


def together(answers: Sequence[Answer]) -> Answer:
    """Combine the answers of processes that ran at the same time into one."""
    if len(answers) == 1:
        return answers[0]
    counted = [answer.counted_bytes for answer in answers if answer.counted_bytes is not None]
    return Answer(
        steps=sum(answer.steps for answer in answers),
        seconds=max(answer.seconds for answer in answers),
        loss=statistics.fmean(answer.loss for answer in answers),
        counted_bytes=sum(counted) if counted else None,
    )


ENDLESS = 10**6
"""Epochs of a fit that goes on until the driver ends it."""


def wait_for_turn(message: Message) -> None:
    """Send a message to the driver and wait for the next turn.

    Raises:
        SystemExit: There is no next turn.
    """
    print(to_line(message), flush=True)
    if sys.stdin.readline().strip() != RUN:
        raise SystemExit(0)


def take_turns(*, parameters: int, steps: int, run: Callable[[], float]) -> NoReturn:
    """Run the steps of one turn after another.

    Args:
        parameters: Number of parameters of the model.
        steps: Steps that `run` runs.
        run: Runs the steps of a turn, waits for the last one, and returns the loss.
    """
    message: Message = Ready(parameters=parameters)
    while True:
        wait_for_turn(message)
        started = time.perf_counter()
        loss = run()
        seconds = time.perf_counter() - started
        message = Answer(steps=steps, seconds=seconds, loss=loss)


def callback(
    keras: Any, steps: int, counted: Callable[[Any], tuple[list[int], list[int]]] | None = None
) -> Any:
    """Return a callback that makes each epoch of a fit a turn.

    Args:
        keras: `keras` or `tf_keras`.
        steps: Steps of an epoch.
        counted: Returns the bytes that each ps sent to workers and received from them in the
            model's last epoch; None if the contender does not count.
    """

    class Turns(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            wait_for_turn(self._message(epoch))
            self._started = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self._seconds = time.perf_counter() - self._started
            self._loss = float(logs["loss"])

        def _message(self, epoch: int) -> Message:
            # The answer waits for the next epoch: between two epochs a fit is still at work.
            if epoch == 0:
                return Ready(parameters=self.model.count_params())
            pulled, pushed = counted(self.model) if counted else (None, None)
            return Answer(
                steps=steps,
                seconds=self._seconds,
                loss=self._loss,
                counted_bytes=sum(pulled) + sum(pushed) if counted else None,
                pull_bytes=pulled,
                push_bytes=pushed,
            )

    return Turns()
