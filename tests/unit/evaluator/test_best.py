"""Which checkpoint is the best, and what is kept of it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import tensorflow as tf

from tests.unit.evaluator.trained import evaluate, make, save, train
from tfps.evaluator.best import BestCheckpoint, Mode
from tfps.evaluator.loading import Copy


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "best.weights.h5"


def copy(folder: Path, content: str) -> Copy:
    path = folder / "a.weights.h5"
    path.write_text(content)
    return Copy(path=str(path), files=(str(path),), digest=content)


def test_a_better_checkpoint_takes_the_place_of_the_best(tmp_path: Path, file: Path) -> None:
    best = BestCheckpoint(str(file), "val_loss", "auto", None)
    for loss, is_better in (
        (3.0, True),
        (4.0, False),
        (3.0, False),
        (math.nan, False),
        (2.0, True),
    ):
        assert best.offer(copy(tmp_path, str(loss)), 1, {"loss": loss}) is is_better
    assert file.read_text() == "2.0"
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(("mode", "kept"), [("min", "1"), ("max", "3")])
def test_better_is_what_the_mode_says(mode: Mode, kept: str, tmp_path: Path, file: Path) -> None:
    best = BestCheckpoint(str(file), "accuracy", mode, None)
    for accuracy in (2.0, 1.0, 3.0):
        best.offer(copy(tmp_path, f"{accuracy:.0f}"), 1, {"loss": 0.0, "accuracy": accuracy})
    assert file.read_text() == kept


@pytest.mark.parametrize(
    ("monitor", "mode", "fault"),
    [
        ("accuracy", "auto", "monitor='accuracy' needs mode='max' or mode='min'"),
        ("loss", "least", "mode is 'least', but must be 'min', 'max' or 'auto'"),
    ],
)
def test_a_direction_that_is_not_known_is_an_error(monitor: str, mode: Mode, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        BestCheckpoint("a", monitor, mode, None)


def test_a_result_that_is_not_there_is_an_error(tmp_path: Path, file: Path) -> None:
    best = BestCheckpoint(str(file), "acc", "max", None)
    with pytest.raises(ValueError, match=r"monitor is 'acc', but must be .* loss, accuracy"):
        best.offer(copy(tmp_path, ""), 1, {"loss": 1.0, "accuracy": 0.5})


@pytest.mark.parametrize("name", ["best.keras", "best", "best.h5"])
def test_a_name_that_nothing_would_load_it_from_is_an_error(name: str, tmp_path: Path) -> None:
    best = BestCheckpoint(str(tmp_path / name), "loss", "auto", None)
    with pytest.raises(ValueError, match=r"Let it end in \.weights\.h5"):
        best.offer(copy(tmp_path, ""), 1, {"loss": 1.0})


def test_the_best_of_before_stays_while_it_is_there(tmp_path: Path, file: Path) -> None:
    first = BestCheckpoint(str(file), "loss", "auto", None)
    first.offer(copy(tmp_path, "2"), 1, {"loss": 2.0})

    def again(path: Path, monitor: str = "loss") -> BestCheckpoint:
        return BestCheckpoint(str(path), monitor, "min", first.kept)

    assert not again(file).offer(copy(tmp_path, "3"), 2, {"loss": 3.0})
    assert again(file, "mae").offer(copy(tmp_path, "3"), 2, {"mae": 3.0})
    assert again(tmp_path / "b.weights.h5").offer(copy(tmp_path, "3"), 2, {"loss": 3.0})
    file.unlink()
    assert again(file).offer(copy(tmp_path, "3"), 2, {"loss": 3.0})


def test_the_best_tf_checkpoint_is_what_tensorflow_finds_in_its_folder(tmp_path: Path) -> None:
    best = BestCheckpoint(str(tmp_path / "kept" / "best"), "loss", "auto", None)
    model = make()
    for step, loss in ((1, 2.0), (2, 1.0), (3, 5.0)):
        train(model)
        save(model, tmp_path / "a")
        if step == 2:
            expected = evaluate(model)
        files = [str(path) for path in sorted(tmp_path.glob("a.*"))]
        best.offer(
            Copy(path=str(tmp_path / "a"), files=tuple(files), digest=""), step, {"loss": loss}
        )
    latest = tf.train.latest_checkpoint(str(tmp_path / "kept"))
    assert latest == str(tmp_path / "kept" / "best-2")
    names = {path.name for path in (tmp_path / "kept").iterdir()}
    assert names == {"best-2.data-00000-of-00001", "best-2.index", "checkpoint"}
    copy_of_model = make()
    tf.train.Checkpoint(model=copy_of_model).restore(latest).expect_partial()
    assert evaluate(copy_of_model) == expected
