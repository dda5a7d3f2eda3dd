"""Weights and optimizer state move between any numbers of shards, and plain Keras."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.cluster.conftest import MakeStrategy
from tests.cluster.model_state import assert_same_state

pytestmark = pytest.mark.timeout(120)

X = np.random.default_rng(0).normal(size=(32, 7)).astype("float32")
Y = X[:, :1]


def make() -> keras.Model:
    model = keras.Sequential([keras.Input((7,)), keras.layers.Dense(5), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def test_weights_files_go_from_2_shards_to_3_to_none_to_plain_keras(
    make_strategy: MakeStrategy, tmp_path: Path
) -> None:
    with make_strategy(2).scope():
        first = make()
    first.fit(X, Y, epochs=2, verbose=0)
    models = [first]
    for count in (3, 1, None):
        file = tmp_path / f"{count}.weights.h5"
        models[-1].save_weights(file)
        if count is None:
            models.append(make())
        else:
            with make_strategy(count).scope():
                models.append(make())
        models[-1].load_weights(file)
        assert_same_state(models[-1], first)
    assert int(models[-1].optimizer.iterations) == 2


@pytest.mark.parametrize(("written", "read"), [(2, 3), pytest.param(3, 1, marks=pytest.mark.slow)])
def test_tensorflow_checkpoints_restore_into_other_shards(
    make_strategy: MakeStrategy, tmp_path: Path, written: int, read: int
) -> None:
    with make_strategy(written).scope():
        first = make()
    first.fit(X, Y, verbose=0)
    path = tf.train.Checkpoint(model=first, optimizer=first.optimizer).save(str(tmp_path / "c"))
    with make_strategy(read).scope():
        second = make()
    tf.train.Checkpoint(model=second, optimizer=second.optimizer).restore(path).expect_partial()
    assert_same_state(second, first)


# contract/test_callbacks_and_saving.py has a backup by batches.
@pytest.mark.slow
def test_backup_and_restore_goes_on_after_an_interruption(
    make_strategy: MakeStrategy, tmp_path: Path
) -> None:
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    def fit(*callbacks: keras.callbacks.Callback) -> keras.Model:
        with make_strategy(2).scope():
            model = make()
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        model.fit(X, Y, epochs=4, verbose=0, callbacks=[backup, *callbacks])
        return model

    with pytest.raises(KeyboardInterrupt):
        fit(Interrupt())
    model = fit()
    assert model.history.epoch == [2, 3]
    assert int(model.optimizer.iterations) == 4


def test_callbacks_that_write_files_work(make_strategy: MakeStrategy, tmp_path: Path) -> None:
    with make_strategy(2).scope():
        model = make()
    best = tmp_path / "best.weights.h5"
    model.fit(
        X,
        Y,
        epochs=3,
        validation_data=(X, Y),
        verbose=0,
        callbacks=[
            keras.callbacks.CSVLogger(tmp_path / "log.csv"),
            keras.callbacks.ModelCheckpoint(best, save_weights_only=True, save_best_only=True),
            keras.callbacks.TensorBoard(tmp_path / "tensorboard"),
        ],
    )
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 4
    assert list((tmp_path / "tensorboard").rglob("events.*"))
    copy = make()
    copy.load_weights(best)
    np.testing.assert_allclose(copy.predict(X, verbose=0), model.predict(X, verbose=0), atol=1e-6)
