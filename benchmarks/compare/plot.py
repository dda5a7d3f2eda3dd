"""The medians of all contenders as bars, one panel per model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import report

_BAR_INCHES = 0.3
_PANEL_INCHES = 1.3


def draw(rates: Mapping[Any, Mapping[str, Sequence[float]]], file: Path) -> None:
    """Draw examples/s to a PNG file: a bar for the median, a line from the least to the most.

    Args:
        rates: Examples/s of each contender in each of its rounds, for each model.
        file: Where to write.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    heights = [_PANEL_INCHES + _BAR_INCHES * len(of_model) for of_model in rates.values()]
    figure, panels = plt.subplots(
        len(rates),
        squeeze=False,
        figsize=(9, sum(heights)),
        height_ratios=heights,
        layout="constrained",
    )
    for panel, (model, of_model) in zip(panels[:, 0], rates.items(), strict=True):
        spans = {name: report.low_middle_high(values) for name, values in of_model.items()}
        medians = [middle for _, middle, _ in spans.values()]
        apart = [
            [middle - low for low, middle, _ in spans.values()],
            [high - middle for _, middle, high in spans.values()],
        ]
        bars = panel.barh(list(spans), medians, xerr=apart, color=_colors(spans), capsize=2)
        panel.bar_label(
            bars, [f"{median:,.{0 if median >= 100 else 1}f}" for median in medians], padding=6
        )
        panel.invert_yaxis()
        panel.margins(x=0.12)
        panel.spines[["top", "right"]].set_visible(False)
        panel.set(title=model, xlabel="examples/s, median; line: least to most")
    figure.savefig(file, dpi=120)
    plt.close(figure)


def _colors(names: Mapping[str, object]) -> list[str]:
    return [
        "tab:blue" if name.startswith("tfps") else "silver" if name == "ceiling" else "tab:orange"
        for name in names
    ]
