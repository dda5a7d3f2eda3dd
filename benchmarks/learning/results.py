"""The learning curves as tables and as a picture."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.learning.arguments import Contender
from benchmarks.learning.lesson import Curve, Scale

_NONE = "-"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Results:
    """The curves of all contenders.

    Attributes:
        contenders: Who took part, by name.
        curves: The curves of each, one for each time that it was trained.
        examples: How many examples had been trained on at the end of each epoch.
        scale: How the losses are to be read.
        kind: What a contender is one of.
        versus: Whom contenders are compared with, for a reader.
        name: What was learned, where there are results of several things.
    """

    contenders: Mapping[str, Contender]
    curves: Mapping[str, Sequence[Curve]]
    examples: Sequence[int]
    scale: Scale
    kind: str
    versus: str
    name: str = ""

    def medians(self, name: str) -> list[float]:
        """Return the held-out loss after each epoch, the median of all trainings."""
        losses = [curve.losses for curve in self.curves[name]]
        return [statistics.median(of_epoch) for of_epoch in zip(*losses, strict=True)]

    def apart(self, name: str) -> list[float] | None:
        """Return how far a loss is above the reference's after each epoch, in percent.

        Of a reference, None.
        """
        reference = self.contenders[name].reference
        if reference is None:
            return None
        pairs = zip(self.medians(name), self.medians(reference), strict=True)
        return [100 * (loss / of_reference - 1) for loss, of_reference in pairs]

    def reached(self, name: str) -> bool | None:
        """Return whether the last loss is within its bound; None without a bound."""
        apart, allowed = self.apart(name), self.contenders[name].allowed_percent
        return None if apart is None or allowed is None else apart[-1] <= allowed

    def tables(self, title: str) -> list[report.Table]:
        """Return the tables of losses, of spreads if there are any, and of the contenders."""
        tables = [self.losses(title), self.spreads(), self.formats()]
        return [table for table in tables if table.rows]

    def losses(self, title: str) -> report.Table:
        """Return the table of bytes, losses and differences."""
        rows: list[list[report.Cell]] = []
        for name, contender in self.contenders.items():
            curves = self.curves[name]
            apart, reached = self.apart(name), self.reached(name)
            rows.append(
                [
                    name,
                    statistics.median(curve.pull_mb for curve in curves),
                    statistics.median(curve.push_mb for curve in curves),
                    *self.medians(name),
                    _NONE if apart is None else round(apart[-1], 2),
                    _NONE if contender.allowed_percent is None else contender.allowed_percent,
                    _NONE if reached is None else reached,
                ]
            )
        return report.Table(
            title=title,
            columns=[
                *(self.kind, "pull MB", "push MB"),
                *(f"{examples:,}" for examples in self.examples),
                *("% above", "allowed", "reached"),
            ],
            rows=rows,
            note="MB: of a step (history.traffic). Under a number of examples: the held-out loss "
            f"after so many, in {self.scale.unit}; the {self.scale.baseline} has "
            f"{self.scale.baseline_loss:.3f}. % above: of the last loss, above that of "
            f"{self.versus}.",
        )

    def formats(self) -> report.Table:
        """Return the table of the contenders' settings."""
        return report.Table(
            title="What was trained with",
            columns=[self.kind, "what it is"],
            rows=[[name, str(contender)] for name, contender in self.contenders.items()],
        )

    def spreads(self) -> report.Table:
        """Return the table of how far apart trainings of one contender end."""
        rows: list[list[report.Cell]] = []
        for name, curves in self.curves.items():
            if len(curves) > 1:
                low, middle, high = report.low_middle_high([curve.losses[-1] for curve in curves])
                rows.append([name, len(curves), low, middle, high, 100 * (high - low) / middle])
        return report.Table(
            title="The last held-out loss of trainings that are the same but for their timing",
            columns=[self.kind, "trainings", "least", "median", "most", "% apart"],
            rows=rows,
        )

    def each(self) -> report.Table:
        """Return the table of every curve."""
        return report.Table(
            title="Held-out loss of each training after so many examples",
            columns=[self.kind, "training", *(f"{n:,}" for n in self.examples), "seconds"],
            rows=[
                [name, number, *curve.losses, curve.seconds]
                for name, curves in self.curves.items()
                for number, curve in enumerate(curves, start=1)
            ],
        )


_STYLES = ("-", "--", ":")
_PERCENT_TICKS = (-20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 50)
_SHADES = ("gainsboro", "whitesmoke")


def draw(found: Sequence[Results], file: Path, within_percent: Sequence[float]) -> None:
    """Draw the medians of all contenders to a PNG file, one row per model.

    Args:
        found: The results of each model, with the same contenders.
        file: Where to write.
        within_percent: The contenders' bounds on the loss, in ascending order.
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
    """Return a color and style for each line; no two lines share both."""
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
