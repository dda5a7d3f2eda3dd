"""Weights and the step of every kind of checkpoint, and what cannot be loaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import pytest
import tensorflow as tf

from tests.unit.evaluator.trained import evaluate, make, save, train
from tfps.errors import CheckpointMismatchError
from tfps.evaluator import loading
from tfps.evaluator.checkpoints import find

KINDS = ["a.weights.h5", "a.keras", "a"]


@pytest.fixture
def aside(tmp_path: Path) -> str:
    (tmp_path / "aside").mkdir()
    return str(tmp_path / "aside")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one trained model, saved as each kind of checkpoint."""
    folder = tmp_path_factory.mktemp("saved")
    trained = train(make())
    for kind in KINDS:
        save(trained, folder / kind)
    return folder


def load(model: keras.Model, path: Path, aside: str) -> int | None:
    (found,) = find(str(path))
    copied = loading.copy(found, aside)
    assert copied is not None
    return loading.load(model, copied)


def loss_scaled() -> keras.optimizers.Optimizer:
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam())


@pytest.mark.parametrize(
    ("kind", "make_optimizer"),
    [
        ("a.weights.h5", keras.optimizers.SGD),
        ("a.weights.h5", loss_scaled),
        ("a.keras", keras.optimizers.Adam),
        ("a", loss_scaled),
    ],
)
def test_weights_and_step_are_loaded_whatever_the_optimizers(
    kind: str, make_optimizer: Callable[[], Any], tmp_path: Path, aside: str
) -> None:
    trained = train(make(make_optimizer()), epochs=3)
    save(trained, tmp_path / kind)
    model = make("adam")
    assert load(model, tmp_path / kind, aside) == 3
    assert evaluate(model) == evaluate(trained)


def test_a_checkpoint_that_is_the_model_itself_is_loaded(tmp_path: Path, aside: str) -> None:
    trained = train(make(), epochs=2)
    tf.train.Checkpoint(trained).write(str(tmp_path / "a"))
    model = make("sgd")
    assert load(model, tmp_path / "a", aside) == 2
    assert evaluate(model) == evaluate(trained)


def test_without_an_optimizer_there_is_no_step(tmp_path: Path, aside: str) -> None:
    trained = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    tf.train.Checkpoint(model=trained).write(str(tmp_path / "a"))
    assert load(make(), tmp_path / "a", aside) is None


def test_the_file_that_backup_and_restore_keeps_is_loaded(tmp_path: Path, aside: str) -> None:
    trained = train(make(), epochs=2)
    save(trained, tmp_path / "a.weights.h5")
    (tmp_path / "a.weights.h5").rename(tmp_path / "a.weights.h5.bkp")
    assert load(make(), tmp_path / "a.weights.h5", aside) == 2


def test_copies_of_the_same_content_have_the_same_digest(tmp_path: Path, aside: str) -> None:
    trained = train(make())
    save(trained, tmp_path / "a.weights.h5")
    save(trained, tmp_path / "b.weights.h5")
    save(train(trained), tmp_path / "c.weights.h5")
    copies = [loading.copy(found, aside) for found in sorted(find(str(tmp_path)), key=str)]
    digests = [copied.digest for copied in copies if copied is not None]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", [{"units": 5}, {"layers": 2}], ids=str)
def test_another_models_checkpoint_is_told_as_that(
    kind: str, other: dict[str, int], saved: Path, aside: str
) -> None:
    with pytest.raises(CheckpointMismatchError, match=f"The checkpoint {kind} does not fit"):
        load(make(**other), saved / kind, aside)


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_checkpoint_is_no_mismatch(
    kind: str, saved: Path, tmp_path: Path, aside: str
) -> None:
    for share in (0.0, 0.5, 0.999):
        folder = tmp_path / str(share)
        shutil.copytree(saved, folder)
        for file in folder.iterdir():
            content = file.read_bytes()
            file.write_bytes(content[: int(share * len(content))])
        with pytest.raises(Exception) as raised:  # noqa: PT011
            load(make(), folder / kind, aside)
        assert not isinstance(raised.value, CheckpointMismatchError), share


def test_what_changes_or_goes_while_it_is_copied_is_left_alone(tmp_path: Path, aside: str) -> None:
    save(make(), tmp_path / "a.weights.h5")
    (found,) = find(str(tmp_path))
    save(train(make()), tmp_path / "a.weights.h5")
    assert loading.copy(found, aside) is None
    (tmp_path / "a.weights.h5").unlink()
    assert loading.copy(found, aside) is None


def test_a_training_can_overwrite_what_is_being_loaded(tmp_path: Path, aside: str) -> None:
    """HDF5 refuses to overwrite a file that is open, so only a copy may be opened."""
    file = tmp_path / "a.weights.h5"
    save(make(), file)
    (found,) = find(str(tmp_path))
    copied = loading.copy(found, aside)
    assert copied is not None
    with h5py.File(copied.path):
        save(train(make()), file)
    with h5py.File(file), pytest.raises(OSError, match="already open"):
        save(make(), file)
