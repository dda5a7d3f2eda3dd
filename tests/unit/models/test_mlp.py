"""models/mlp.py: what is refused before TensorFlow is imported, and what may change in a resume."""

from __future__ import annotations

from pathlib import Path

import pytest

from models import mlp
from models.lib.inputs import InputError
from models.mlp import Settings
from tests.unit.models.guard import run_guarded


@pytest.mark.parametrize(
    ("data", "labels"), [("a.npz", "labels"), ("images", None), (None, "labels")]
)
def test_files_that_do_not_go_together_are_refused(data: str | None, labels: str | None) -> None:
    with pytest.raises(InputError, match=r"must be one \.npz file to --data alone, or two IDX"):
        mlp.read(data and Path(data), labels and Path(labels))


@pytest.mark.parametrize("arguments", [("--data", "a.npz"), ("--data", "a", "--labels", "b")])
def test_missing_file_ends_with_2_before_tensorflow(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = run_guarded("mlp", tmp_path, *arguments, task="chief")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"mlp: {arguments[1]}: cannot be read: No such file or directory. " + (
        "Check the path.\n"
    )
    assert not list(tmp_path.iterdir())


def test_a_worker_leaves_bad_data_to_the_chief(tmp_path: Path) -> None:
    done = run_guarded("mlp", tmp_path, "--data", "a.npz", task="worker")
    assert done.stderr.strip() == "imported tensorflow"


def test_run_resumes_with_files_of_other_names() -> None:
    here = Settings(data=Path("a"), labels=Path("b"), batch_size=8)
    there = Settings(data=Path("c"), labels=Path("d"), batch_size=8)
    assert here.identity(data="digest") == there.identity(data="digest")
    assert here.identity(data="digest") != Settings().identity(data="digest")
