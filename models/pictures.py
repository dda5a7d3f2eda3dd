"""Figures as PNG files, drawn without a display. No TensorFlow here."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def png(figure: Figure) -> bytes:
    """Draw a figure as a PNG file."""
    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content)
    return content.getvalue()


def predictions(x: np.ndarray, y: np.ndarray, predicted: np.ndarray) -> bytes:
    """Draw the first images with their predicted labels; a wrong one is red, with the true label.

    Args:
        x: `(images, height, width)`.
        y: `(images,)`, the true labels.
        predicted: `(images,)`, the predicted labels.

    Returns:
        A PNG file.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    for axes, image, label, guess in zip(figure.subplots(4, 8).flat, x, y, predicted, strict=False):
        axes.imshow(image, cmap="gray_r")
        right = guess == label
        axes.set_title(
            guess if right else f"{guess}, is {label}", color="black" if right else "red"
        )
    for axes in figure.axes:
        axes.set_axis_off()
    return png(figure)
