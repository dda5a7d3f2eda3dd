"""Compares plain Keras and parameter servers by the losses of one small model.

    python -m benchmarks.agreement

trains a small text classifier (benchmarks/small_model.py) in processes of their own. First with
Adam, in plain Keras, on 1 worker and on 2 workers: it prints the held-out loss of each after the
same number of examples, which must be within 2 % of plain Keras's. Then 1 worker and 1 ps against
plain Keras, with SGD, the same seed and no dropout: it prints the largest difference of any step's
loss, which must be at most 1e-5.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import tyro

from benchmarks import launch, report

MOST_APART = 0.02
MOST_APART_TRACE = 1e-5
BATCH = 32
PLAIN = "plain Keras"
CLUSTERS = {
    PLAIN: [],
    "1 worker, 2 ps": ["--workers", "1", "--ps", "2"],
    "2 workers, 2 ps": ["--workers", "2", "--ps", "2"],
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compare the losses of plain Keras, of 1 worker and of 2 workers."""

    steps: int = 3000
    """Steps of 32 examples before the held-out loss is compared."""
    traced_steps: int = 500
    """Steps whose losses are compared one by one."""
    json: Path | None = None
    """A file to write the numbers to."""


def main() -> None:
    """Train, compare and publish."""
    arguments = tyro.cli(Arguments)
    tables = [compare_held_out(arguments.steps), compare_traces(arguments.traced_steps)]
    report.publish(tables, arguments.json)


def compare_held_out(steps: int) -> report.Table:
    """Train once in each way, and compare the held-out losses."""
    losses = {
        name: _train([*cluster, "--steps", str(steps)])["held_out_loss"]
        for name, cluster in CLUSTERS.items()
    }
    apart = {name: loss / losses[PLAIN] - 1 for name, loss in losses.items()}
    return report.Table(
        title=f"Held-out loss after {steps * BATCH:,} examples (Adam)",
        columns=["trained by", "held-out loss", "% from plain", "within 2 %"],
        rows=[
            [name, losses[name], 100 * apart[name], abs(apart[name]) <= MOST_APART]
            for name in CLUSTERS
        ],
        note="A model that knows only how often each class comes has a loss of 0.693.",
    )


def compare_traces(steps: int) -> report.Table:
    """Compare the losses of single steps: one per epoch, which the history then holds."""
    same = ["--optimizer", "sgd", "--steps", "1", "--epochs", str(steps)]
    same += ["--steps-per-execution", "1"]
    plain = _train(same)["losses"]
    served = _train([*same, "--workers", "1", "--ps", "1"])["losses"]
    apart = max(abs(a - b) for a, b in zip(plain, served, strict=True))
    return report.Table(
        title="Loss of each step, 1 worker and 1 ps against plain Keras (SGD, same seed)",
        columns=["steps", "first loss", "last loss", "largest difference", "within 1e-5"],
        rows=[[steps, plain[0], plain[-1], apart, apart <= MOST_APART_TRACE]],
    )


def _train(arguments: list[str]) -> Any:
    return launch.in_new_process("benchmarks.small_model", arguments)


if __name__ == "__main__":
    main()
