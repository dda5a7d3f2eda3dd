"""A progress bar: loss, examples per second over all workers, time left."""

from __future__ import annotations

import collections
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

import keras

_RATE_WINDOW_S = 10.0
_BAR_WIDTH = 20


class Progress(keras.callbacks.Callback):
    """Shows progress: one line redrawn on a terminal, a line every few seconds in a pipe.

    Keras's own bar knows steps and not examples, and floods a pipe.

    Args:
        epochs: Epochs of the whole job.
        steps_per_epoch: Steps of an epoch, those of all workers together.
        examples_per_step: Examples in a step's batch.
        stream: Where to write; standard error by default.
        line_every_s: Seconds between lines if the stream is no terminal.
        clock: Returns seconds.
    """

    def __init__(
        self,
        *,
        epochs: int,
        steps_per_epoch: int,
        examples_per_step: int,
        stream: TextIO | None = None,
        line_every_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._epochs = epochs
        self._steps_per_epoch = steps_per_epoch
        self._examples_per_step = examples_per_step
        self._stream = stream or sys.stderr
        self._redraws = self._stream.isatty()
        self._draw_every_s = 0.1 if self._redraws else line_every_s
        self._clock = clock
        self._epoch = 0
        self._drawn_at_s = -float("inf")
        self._drawn_step = 0
        # (seconds, steps of the job); `_start` is when this process had run its first dispatch.
        self._start: tuple[float, int] | None = None
        self._recent: collections.deque[tuple[float, int]] = collections.deque()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Start an epoch's bar."""
        self._epoch = epoch
        self._recent.clear()  # A rate must not span the validation between epochs.
        self._recent.append((self._clock(), epoch * self._steps_per_epoch))

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Draw the bar, at most once per interval."""
        now_s, step = self._clock(), self._epoch * self._steps_per_epoch + batch + 1
        if self._start is None:
            # The first dispatch includes compilation, so it would distort the rate.
            self._start = (now_s, step)
            self._recent.clear()
        self._recent.append((now_s, step))
        while len(self._recent) > 2 and self._recent[1][0] < now_s - _RATE_WINDOW_S:
            self._recent.popleft()
        if now_s - self._drawn_at_s >= self._draw_every_s:
            self._draw(step, logs or {})

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Show, on a terminal, why the bar stands still."""
        if self._redraws:
            self._stream.write("  held-out ...")
            self._stream.flush()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Draw the epoch's last bar and leave it there."""
        step = (epoch + 1) * self._steps_per_epoch
        if self._redraws or step != self._drawn_step:
            self._draw(step, logs or {})
        if self._redraws:
            self._stream.write("\n")
            self._stream.flush()

    def _draw(self, step: int, logs: Mapping[str, Any]) -> None:
        self._drawn_at_s, self._drawn_step = self._clock(), step
        line = progress_line(
            epoch=self._epoch,
            epochs=self._epochs,
            step=step - self._epoch * self._steps_per_epoch,
            steps=self._steps_per_epoch,
            loss=logs.get("loss"),
            examples_per_s=self._rate(self._recent[0], self._recent[-1]) * self._examples_per_step,
            left_s=self._left_s(step),
        )
        # Return to the start of the line, and erase the rest of a longer previous line.
        self._stream.write(f"\r{line}\x1b[K" if self._redraws else f"{line}\n")
        self._stream.flush()

    def _left_s(self, step: int) -> float | None:
        left_steps = self._epochs * self._steps_per_epoch - step
        if not left_steps:
            return 0.0
        rate = self._rate(self._start, (self._clock(), step)) if self._start else 0.0
        return left_steps / rate if rate else None

    @staticmethod
    def _rate(begin: tuple[float, int], end: tuple[float, int]) -> float:
        elapsed_s = end[0] - begin[0]
        return (end[1] - begin[1]) / elapsed_s if elapsed_s > 0 else 0.0


def progress_line(
    *,
    epoch: int,
    epochs: int,
    step: int,
    steps: int,
    loss: float | None,
    examples_per_s: float,
    left_s: float | None,
) -> str:
    """Write one line of progress.

    >>> progress_line(
    ...     epoch=0, epochs=4, step=150, steps=300, loss=4.5, examples_per_s=171.4, left_s=82.0
    ... )
    'epoch 1/4 [==========----------] 150/300  loss 4.500  171 examples/s  1:22 left'
    """
    filled = _BAR_WIDTH * step // steps
    bar = "=" * filled + "-" * (_BAR_WIDTH - filled)
    parts = [f"epoch {epoch + 1}/{epochs} [{bar}] {step:{len(str(steps))}}/{steps}"]
    if loss is not None:
        parts.append(f"loss {loss:.3f}")
    if examples_per_s:
        parts.append(f"{examples_per_s:.0f} examples/s")
    if left_s is not None:
        parts.append(f"{duration(left_s)} left")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """Write a duration as minutes and seconds, with hours where there are any.

    >>> duration(82), duration(3723)
    ('1:22', '1:02:03')
    """
    minutes, whole_seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{whole_seconds:02}"
    return f"{minutes}:{whole_seconds:02}"
