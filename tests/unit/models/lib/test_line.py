"""models/lib/line.py: points from tables, lines, and which tables are refused."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from models.lib.inputs import InputError
from models.lib.line import Line, Points, closed_form, diabetes, draw, read_points, table
from models.lib.run_folder import png


@pytest.fixture
def points() -> Points:
    random = np.random.default_rng(0)
    x = random.normal(size=100)
    y = 3.0 - 2.0 * x + random.normal(size=100)
    return Points(name="made up", x_name="x", y_name="y", x=x, y=y)


def write_table(path: Path, *faulty: str, rows: int = 50) -> Path:
    """Write columns a and b, `b = 2 a + 1`, with faulty lines from line 2 on."""
    lines = ["a,b", *faulty, *(f"{n},{2 * n + 1}" for n in range(rows))]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_closed_form_is_the_least_squares_line(points: Points) -> None:
    slope, intercept = np.polyfit(points.x, points.y, 1)
    assert closed_form(points.x, points.y) == pytest.approx((intercept, slope))


def test_columns_are_read_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["note", "y", "x"])
        writer.writerows([f"so, {n}", n / 2, -n] for n in range(20))
    read = read_points(path, "x", "y")
    np.testing.assert_array_equal(read.x, -np.arange(20.0))
    np.testing.assert_array_equal(read.y, np.arange(20.0) / 2)


def test_json_numbers_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"a": {n}, "b": {n}.5}}\n' for n in range(20)))
    np.testing.assert_array_equal(read_points(path, "a", "b").y, np.arange(20.0) + 0.5)


def test_default_data_are_a_column_of_diabetes() -> None:
    points = diabetes("bmi", "target")
    assert points.x.shape == points.y.shape == (442,)
    assert str(points).startswith("scikit-learn's diabetes data: ")
    assert 20 < points.is_held_out.sum() < 70


def test_split_and_digest_are_of_the_points_alone(points: Points) -> None:
    again = Points(name="else", x_name="a", y_name="b", x=points.x.copy(), y=points.y.copy())
    np.testing.assert_array_equal(again.is_held_out, points.is_held_out)
    assert again.digest == points.digest
    changed = Points(name="made up", x_name="x", y_name="y", x=points.x, y=points.y + 1e-9)
    assert changed.digest != points.digest


def test_every_point_is_trained_on_or_held_out(points: Points) -> None:
    both = np.concatenate([points.train, points.held_out], axis=1)
    np.testing.assert_array_equal(np.sort(both[0]), np.sort(points.x))


def test_table_scores_the_held_out_points(points: Points) -> None:
    x, y = points.held_out
    rows = table(points, {"truth": Line(3.0, -2.0), "mean": Line(y.mean(), 0.0)}).splitlines()
    assert rows[0].split() == ["theta0", "theta1", "MSE", "R2"]
    assert [float(value) for value in rows[1].split()[1:4]] == pytest.approx(
        [3, -2, np.mean((y - 3 + 2 * x) ** 2)], rel=1e-4
    )
    assert rows[2].split()[-1] == "0.000"


def test_picture_is_a_png(points: Points) -> None:
    assert png(draw(points, {"truth": Line(3.0, -2.0)})).startswith(b"\x89PNG")


@pytest.mark.parametrize("value", ["", "n/a", "1,5", "nan", "inf", "0x10"])
def test_fault_of_a_value_names_its_line(tmp_path: Path, value: str) -> None:
    path = write_table(tmp_path / "a.csv", "1,2", f'"{value}",7')
    with pytest.raises(InputError) as raised:
        read_points(path, "a", "b")
    assert str(raised.value).startswith(f"{path}: line 3: 'a' is {value!r}, but must be a number")


def test_all_bad_values_are_reported(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.csv", "x,1", "2,y")
    with pytest.raises(InputError) as raised:
        read_points(path, "a", "b")
    faults = [line.partition(", but")[0] for line in str(raised.value).splitlines()]
    assert faults == [f"{path}: line 2: 'a' is 'x'", f"{path}: line 3: 'b' is 'y'"]


@pytest.mark.parametrize("rows", ["1,1\n" * 9, "1,2\n"])
def test_points_without_a_line_are_refused(tmp_path: Path, rows: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"a,b\n{rows}")
    with pytest.raises(InputError, match="a line needs 2"):
        read_points(path, "a", "b")


def test_unknown_column_of_diabetes_is_refused() -> None:
    with pytest.raises(InputError, match=r"--x is 'height', but .* have age, sex, bmi, .*target"):
        diabetes("height", "target")


def test_weights_of_scaled_points_are_a_line_of_the_points(points: Points) -> None:
    x, y = points.train
    ((scaled, targets),) = points.train_batches(1).as_numpy_iterator()
    assert (scaled.mean(), scaled.std()) == pytest.approx((0, 1), abs=1e-6)
    np.testing.assert_allclose(targets[:, 0], y, rtol=1e-6)
    kernel, bias = np.polyfit(scaled[:, 0].astype(float), y, 1)
    line = points.line(np.array([[kernel]]), np.array([bias]))
    assert line == pytest.approx(closed_form(x, y), rel=1e-5)
