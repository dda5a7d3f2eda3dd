"""The curves as a picture: held-out loss against examples, and how far each is from another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.learning.results import Results

_STYLES = ("-", "--", ":")
_PERCENT_TICKS = (-20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 50)
_SHADES = ("gainsboro", "whitesmoke")


def draw(found: Sequence[Results], file: Path, within_percent: Sequence[float]) -> None:
    """Draw the medians of all contenders to a PNG file, a row for each thing that was learned.

    Args:
        found: What was found of each; the contenders are the same.
        file: Where to write.
        within_percent: The bounds that contenders have, rising.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, rows = plt.subplots(
        len(found), 2, squeeze=False, figsize=(13, 0.5 + 5 * len(found)), layout="constrained"
    )
    for number, (axes, results) in enumerate(zip(rows, found, strict=True)):
        _draw_losses(axes[0], results, named=number == 0)
        _draw_apart(axes[1], results, within_percent, named=number == 0)
        for panel in axes:
            panel.spines[["top", "right"]].set_visible(False)
            panel.xaxis.set_major_formatter("{x:,.0f}")
            panel.set(xlabel="examples trained on")
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return color and style of each line; no two are alike in both."""
    return {
        name: {
            "color": f"C{number % 10}" if number else "black",
            "linestyle": _STYLES[number // 10],
            "linewidth": 1.6 if number else 2.4,
            "marker": "o",
            "markersize": 3,
        }
        for number, name in enumerate(names)
    }


def _draw_losses(panel: Any, results: Results, *, named: bool) -> None:
    for name, look in looks(list(results.contenders)).items():
        panel.plot(results.examples, results.medians(name), label=name if named else None, **look)
    scale = results.scale
    panel.axhline(scale.baseline_loss, color="silver", linewidth=1, label=scale.baseline)
    title = ": ".join(filter(None, ["Held-out loss", results.name]))
    panel.set(title=title, ylabel=f"loss, {scale.unit}")


def _draw_apart(
    panel: Any, results: Results, within_percent: Sequence[float], *, named: bool
) -> None:
    behind: list[float] = []
    for name, look in looks(list(results.contenders)).items():
        if (of_epochs := results.apart(name)) is not None:
            panel.plot(results.examples, of_epochs, **look)
            behind += of_epochs
    for number, (bound, shade) in enumerate(zip(within_percent, _SHADES, strict=False)):
        label = f"within {bound:g} %" if named else None
        panel.axhspan(-bound, bound, color=shade, zorder=-number, label=label)
    panel.axhline(0, color="black", linewidth=1)
    linear = within_percent[-1]
    panel.set_yscale("symlog", linthresh=linear, linscale=2)
    panel.set_yticks(_PERCENT_TICKS, [f"{tick:g}" for tick in _PERCENT_TICKS])
    panel.set_ylim(min(-linear - 0.5, *behind) * 1.1, max(linear + 0.5, *behind) * 1.1)
    panel.set(title=f"Beside {results.versus}", ylabel="loss above that, %")
