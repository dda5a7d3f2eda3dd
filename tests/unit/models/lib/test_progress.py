"""models/lib/progress.py: what is shown, and how often."""

from __future__ import annotations

import io

import pytest

from models.lib.progress import Progress, duration, progress_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def train(stream: io.StringIO, *, first_epoch: int = 0, epochs: int = 2) -> str:
    """Play epochs of 100 steps of 8 examples: 10 steps a second, the first dispatch 20 s."""
    clock = Clock()
    progress = Progress(
        epochs=epochs,
        steps_per_epoch=100,
        examples_per_step=8,
        stream=stream,
        line_every_s=5.0,
        clock=clock,
    )
    for epoch in range(first_epoch, epochs):
        progress.on_epoch_begin(epoch)
        for step in range(0, 100, 5):
            clock.now_s += 20.0 if (epoch, step) == (first_epoch, 0) else 0.5
            progress.on_train_batch_end(step + 4, {"loss": 5.0 - epoch})
        progress.on_test_begin()
        clock.now_s += 3.0
        progress.on_epoch_end(epoch, {"loss": 5.0 - epoch})
    return stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (0.6, "0:01"),
        (59.7, "1:00"),
        (82, "1:22"),
        (3599.9, "1:00:00"),
        (7325, "2:02:05"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_line_shows_what_is_known() -> None:
    line = progress_line(
        epoch=1, epochs=4, step=30, steps=300, loss=4.5678, examples_per_s=171.4, left_s=82.0
    )
    assert line == "epoch 2/4 [==------------------]  30/300  loss 4.568  171 examples/s  1:22 left"


def test_line_leaves_out_what_is_not_known() -> None:
    line = progress_line(
        epoch=0, epochs=1, step=0, steps=10, loss=None, examples_per_s=0.0, left_s=None
    )
    assert line == "epoch 1/1 [--------------------]  0/10"


def test_pipe_gets_whole_lines_now_and_then() -> None:
    written = train(io.StringIO())
    assert "\r" not in written
    assert "\x1b" not in written
    lines = written.splitlines()
    # 20 dispatches an epoch in 10 s: a line each 5 s, and one at each epoch's end.
    assert 5 <= len(lines) <= 8
    assert all("epoch " in line and "loss " in line for line in lines)
    assert lines[-1].startswith("epoch 2/2 [====================] 100/100  loss 4.000")
    steps = [line[: line.index("  loss")] for line in lines]
    assert len(set(steps)) == len(steps)


def test_terminal_gets_one_line_for_each_epoch_drawn_again() -> None:
    written = train(Terminal())
    assert written.count("\n") == 2
    assert written.count("\r") >= 2 * 20
    assert written.count("held-out ...") == 2


def test_rate_leaves_out_compilation_and_validation() -> None:
    lines = train(io.StringIO()).splitlines()
    rates = [part for line in lines for part in line.split("  ") if part.endswith("examples/s")]
    assert len(rates) >= len(lines) - 1  # Nothing is known at the first dispatch's end.
    assert set(rates) == {"80 examples/s"}


def test_time_left_counts_what_validation_takes() -> None:
    lines = train(io.StringIO()).splitlines()
    first_epoch_end = next(line for line in lines if "100/100" in line)
    # 95 steps in 9.5 s and 3 s of validation; 100 steps are left.
    assert first_epoch_end.endswith("0:13 left")
    assert lines[-1].endswith("0:00 left")


def test_time_left_after_a_resume_is_of_what_is_left() -> None:
    lines = train(io.StringIO(), first_epoch=3, epochs=4).splitlines()
    assert lines[0].startswith("epoch 4/4 [=-------------------]   5/100")
    middle = next(line for line in lines if "left" in line)
    assert middle.endswith(("0:09 left", "0:10 left", "0:05 left", "0:04 left"))
