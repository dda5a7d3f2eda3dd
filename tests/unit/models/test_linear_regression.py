"""models/linear_regression.py: what is refused before TensorFlow is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.lib.inputs import InputError
from models.lib.line import Settings
from tests.unit.models.guard import run_guarded

RECIPE = "linear_regression"


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
