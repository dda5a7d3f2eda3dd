"""Lines fitted to points: a table of how good they are, and a picture. No TensorFlow here."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from models.pictures import png
from models.points import Points


class Line(NamedTuple):
    """The line y = theta0 + theta1 x."""

    theta0: float
    theta1: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Compute y."""
        return self.theta0 + self.theta1 * x


def table(points: Points, lines: Mapping[str, Line]) -> str:
    """Put lines beside each other, each with mean squared error and R2 on the held-out points."""
    x, y = points.held_out
    rows = [f"{'':12}{'theta0':>12}{'theta1':>12}{'MSE':>12}{'R2':>8}"]
    for name, line in lines.items():
        mse = np.mean((y - line(x)) ** 2)
        r2 = 1 - mse / y.var() if y.var() else np.nan
        rows.append(f"{name:12}{line.theta0:12.7g}{line.theta1:12.7g}{mse:12.6g}{r2:8.3f}")
    return "\n".join(rows)


def draw(points: Points, lines: Mapping[str, Line]) -> bytes:
    """Draw the points, and the lines over the range of x, as a PNG file."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.scatter(*points.train, s=8, color="lightgray", label="points trained on")
    axes.scatter(*points.held_out, s=8, color="gray", label="points held out")
    ends = np.array([points.x.min(), points.x.max()])
    for (name, line), style in zip(lines.items(), itertools.cycle(("-", "--", ":", "-."))):
        axes.plot(ends, line(ends), linestyle=style, label=name)
    axes.set(xlabel=points.x_name, ylabel=points.y_name)
    axes.legend()
    return png(figure)
