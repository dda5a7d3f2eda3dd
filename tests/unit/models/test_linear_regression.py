"""models/linear_regression.py: its points, its lines, what is refused before TensorFlow."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from models import linear_regression
from models.errors import InputError
from models.linear_regression import Settings
from models.lines import Line, draw, table
from models.points import Points, diabetes, read_points
from tests.unit.models.guard import run_guarded

RECIPE = "linear_regression"


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
    assert linear_regression.closed_form(points.x, points.y) == pytest.approx((intercept, slope))


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
    found = diabetes("bmi", "target")
    assert found.x.shape == found.y.shape == (442,)
    assert str(found).startswith("scikit-learn's diabetes data: ")
    assert 20 < found.is_held_out.sum() < 70


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
    assert draw(points, {"truth": Line(3.0, -2.0)}).startswith(b"\x89PNG")


@pytest.mark.parametrize("value", ["", "n/a", "1,5", "nan", "inf", "0x10"])
def test_value_that_is_no_number_is_told_with_its_line(tmp_path: Path, value: str) -> None:
    path = write_table(tmp_path / "a.csv", "1,2", f'"{value}",7')
    with pytest.raises(InputError) as raised:
        read_points(path, "a", "b")
    assert str(raised.value).startswith(f"{path}: line 3: 'a' is {value!r}, but must be a number")


def test_all_bad_values_are_told(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.csv", "x,1", "2,y")
    with pytest.raises(InputError) as raised:
        read_points(path, "a", "b")
    told = [line.partition(", but")[0] for line in str(raised.value).splitlines()]
    assert told == [f"{path}: line 2: 'a' is 'x'", f"{path}: line 3: 'b' is 'y'"]


@pytest.mark.parametrize("rows", ["1,1\n" * 9, "1,2\n"])
def test_points_without_a_line_are_refused(tmp_path: Path, rows: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"a,b\n{rows}")
    with pytest.raises(InputError, match="a line needs 2"):
        read_points(path, "a", "b")


def test_unknown_column_of_diabetes_is_refused() -> None:
    with pytest.raises(InputError, match=r"--x is 'height', but .* have age, sex, bmi, .*target"):
        diabetes("height", "target")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.csv: has no rows"),
        (
            b"a,c\n1,2\n",
            "a.csv: line 1: no column 'b'; there are 'a', 'c'. Name them",
        ),
        (b"a,b\n1,2\n3,4\n5\n", "a.csv: line 4: has 1 of the 2 columns"),
        (b"a,b\n1,2\n\xe9,4\n", "a.csv: line 3: not UTF-8: byte 0xe9"),
        (b"a,b\n1,2\n3,four\n", "a.csv: line 3: 'b' is 'four'"),
    ],
)
def test_bad_data_ends_with_2_before_tensorflow(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    done = run_guarded(RECIPE, tmp_path, "--data", "a.csv", "--x", "a", "--y", "b", task="chief")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"linear_regression: {message}")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_missing_file_ends_with_2(tmp_path: Path) -> None:
    done = run_guarded(RECIPE, tmp_path, "--data", "a.csv")
    assert done.returncode == 2
    assert "a.csv: cannot be read: No such file or directory" in done.stderr


def test_a_worker_leaves_bad_data_to_the_chief(tmp_path: Path) -> None:
    done = run_guarded(RECIPE, tmp_path, "--data", "a.csv", task="worker")
    assert done.stderr.strip() == "imported tensorflow"


def test_check_only_makes_nothing(tmp_path: Path) -> None:
    done = run_guarded(RECIPE, tmp_path, "--check-only")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())


def test_bad_settings_are_refused() -> None:
    with pytest.raises(InputError, match="--steps-per-epoch is 0"):
        Settings(steps_per_epoch=0).check()
