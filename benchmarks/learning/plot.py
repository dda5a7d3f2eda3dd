"""The curves as a picture: held-out loss against examples, and how far each is from float32."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.learning.results import Results

_STYLES = ("-", "--", ":")
_PERCENT_TICKS = (-20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 50)


def draw(results: Results, file: Path) -> None:
    """Draw the medians of all contenders to a PNG file.

    Args:
        results: What was found.
        file: Where to write.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, (loss, apart) = plt.subplots(1, 2, figsize=(13, 5.5), layout="constrained")
    for name, look in looks(list(results.contenders)).items():
        loss.plot(results.examples, results.medians(name), label=name, **look)
        if (of_epochs := results.apart(name)) is not None:
            apart.plot(results.examples, of_epochs, **look)
    loss.axhline(results.unigram_loss, color="silver", linewidth=1, label="unigram distribution")
    loss.set(title="Held-out loss", xlabel="examples trained on", ylabel="loss, nats per token")
    apart.axhspan(-1, 1, color="gainsboro", zorder=0, label="within 1 %")
    apart.axhspan(-2, 2, color="whitesmoke", zorder=-1, label="within 2 %")
    apart.axhline(0, color="black", linewidth=1)
    apart.set_yscale("symlog", linthresh=2, linscale=2)
    apart.set_yticks(_PERCENT_TICKS, [f"{tick:g}" for tick in _PERCENT_TICKS])
    behind = [value for name in results.contenders for value in results.apart(name) or ()]
    apart.set_ylim(min(-2.5, *behind) * 1.1, max(2.5, *behind) * 1.1)
    apart.set(
        title="Beside float32 with the same optimizer",
        xlabel="examples trained on",
        ylabel="loss above float32's, %",
    )
    for axes in (loss, apart):
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_formatter("{x:,.0f}")
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
