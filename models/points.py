"""Points (x, y) from two columns of a table. No TensorFlow here."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np

from models.errors import InputError
from models.examples import Examples
from models.rows import Faults, Row, read_rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Points(Examples):
    """Points to fit a line to: x and y are `(points,)` float64.

    Attributes:
        x_name: What x is.
        y_name: What y is.
    """

    x_name: str
    y_name: str


def diabetes(x: str, y: str) -> Points:
    """Take two columns of scikit-learn's diabetes data, 442 patients.

    Raises:
        InputError: There is no such column.
    """
    from sklearn import datasets

    bunch = datasets.load_diabetes(scaled=False)
    columns = {**dict(zip(bunch.feature_names, bunch.data.T, strict=True)), "target": bunch.target}
    for option, name in (("--x", x), ("--y", y)):
        if name not in columns:
            have = ", ".join(columns)
            raise InputError(f"{option} is {name!r}, but scikit-learn's diabetes data have {have}.")
    return _checked("scikit-learn's diabetes data", x, y, columns[x], columns[y])


def read_points(path: Path, x: str, y: str) -> Points:
    """Read two columns of a CSV, TSV or JSONL file.

    Raises:
        InputError: As `read_rows`; values that are no numbers; or no line can be fitted.
    """
    faults = Faults(path)
    rows = read_rows(path, [x, y], hint="Name them by --x and --y.")
    columns = [[_number(row, name, faults) for row in rows] for name in (x, y)]
    faults.check()
    return _checked(str(path), x, y, *np.array(columns))


def _number(row: Row, column: str, faults: Faults) -> float:
    value = row.fields[column]
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        faults.add(
            row.line,
            f"{column!r} is {value!r}, but must be a number, like -1.5 or 2e3. Correct it, or "
            "remove the line.",
        )
    return number


def _checked(name: str, x: str, y: str, x_values: np.ndarray, y_values: np.ndarray) -> Points:
    points = Points(name=name, x_name=x, y_name=y, x=x_values, y=y_values)
    different = len(np.unique(points.train[0]))
    if different < 2:
        raise InputError(
            f"{name}: the points to train on have {different} different values of {x!r}; a line "
            "needs 2. Give more data, or another column to --x."
        )
    return points
