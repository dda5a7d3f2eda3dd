"""Keras's callbacks, and files that move between layouts and plain Keras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.cluster.conftest import NUM_WORKERS
from tests.cluster.contract.conftest import Make
from tests.cluster.model_state import assert_same_state, state
from tests.cluster.processes import processes, program

RANDOM = np.random.default_rng(0)
N = 48
IDS = RANDOM.integers(0, 20, (N, 4))
X = RANDOM.normal(size=(N, 4)).astype("float32")
Y = X[:, :1] * 2 + 1


def dense() -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def embedded() -> keras.Model:
    ids = keras.Input((4,), dtype="int32")
    rows = keras.layers.Flatten()(keras.layers.Embedding(20, 3)(ids))
    model = keras.Model(ids, keras.layers.Dense(1)(keras.layers.BatchNormalization()(rows)))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def weights_file(model: keras.Model, folder: Path) -> Callable[[keras.Model], Any]:
    model.save_weights(folder / "m.weights.h5")
    return lambda other: other.load_weights(folder / "m.weights.h5")


def checkpoint(model: keras.Model, folder: Path) -> Callable[[keras.Model], Any]:
    saved = tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(str(folder / "c"))

    def restore(other: keras.Model) -> None:
        status = tf.train.Checkpoint(model=other, optimizer=other.optimizer).restore(saved)
        status.assert_existing_objects_matched()

    return restore


@pytest.mark.parametrize("save", [weights_file, pytest.param(checkpoint, marks=pytest.mark.slow)])
def test_weights_and_slots_move_to_plain_keras_and_back(
    make: Make, save: Any, tmp_path: Path
) -> None:
    model, plain = make(embedded)
    model.fit(IDS, Y, epochs=2, verbose=0)
    plain.optimizer.build(plain.trainable_variables)
    save(model, tmp_path)(plain)
    assert_same_state(model, plain)
    plain.fit(IDS, Y, epochs=2, verbose=0)
    save(plain, tmp_path)(model)
    assert_same_state(model, plain)
    model.fit(IDS, Y, verbose=0)


@pytest.mark.slow
def test_whole_models_move_to_plain_keras_and_back(
    make: Make, sharded: Any, tmp_path: Path
) -> None:
    model, _ = make(embedded)
    model.fit(IDS, Y, epochs=2, verbose=0)
    model.save(tmp_path / "ours.keras")
    plain = keras.models.load_model(tmp_path / "ours.keras")
    assert_same_state(model, plain)
    plain.fit(IDS, Y, epochs=2, verbose=0)
    plain.save(tmp_path / "theirs.keras")
    with sharded.scope():
        again = keras.models.load_model(tmp_path / "theirs.keras")
    assert_same_state(again, plain)
    again.fit(IDS, Y, verbose=0)
    assert int(again.optimizer.iterations) == int(plain.optimizer.iterations) + 2


@pytest.mark.slow
def test_files_move_to_a_cluster_with_other_numbers_of_ps_and_shards_and_back(
    make: Make, tmp_path: Path
) -> None:
    model, _ = make(embedded)
    model.fit(IDS, Y, epochs=2, verbose=0)
    model.save(tmp_path / "m.keras")
    weights_file(model, tmp_path)
    checkpoint(model, tmp_path)
    np.savez(tmp_path / "state.npz", *state(model))
    (tmp_path / "logs").mkdir()
    with processes(tmp_path / "logs") as ours:
        assert ours.start(program("restore.py", str(tmp_path))).wait(100) == 0, ours.err()
        assert ours.out().splitlines() == ["0.0 3"] * 3
    model.load_weights(tmp_path / "back.weights.h5")
    back = np.load(tmp_path / "back.npz")
    for i, value in enumerate(state(model)):
        np.testing.assert_array_equal(value, back[f"arr_{i}"])


def test_an_export_serves(make: Make, tmp_path: Path) -> None:
    model, _ = make(embedded)
    model.fit(IDS, Y, verbose=0)
    model.export(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    served = loaded.serve(tf.constant(IDS, tf.int32))
    np.testing.assert_allclose(served, model.predict(IDS, verbose=0), atol=1e-6)
    with model.distribute_strategy.scope():
        layer = keras.layers.TFSMLayer(str(tmp_path / "exported"))
    np.testing.assert_allclose(layer(tf.constant(IDS, tf.int32)), served, atol=1e-6)
    assert len(layer.weights) == len(model.weights)


class Interrupt(keras.callbacks.Callback):
    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            raise KeyboardInterrupt


def test_backup_by_batches_goes_on_where_it_was(make: Make, tmp_path: Path) -> None:
    def fit(*callbacks: keras.callbacks.Callback) -> keras.Model:
        model, _ = make(dense)
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", save_freq=4)
        model.fit(X, Y, batch_size=8, epochs=3, verbose=0, callbacks=[backup, *callbacks])
        return model

    with pytest.raises(KeyboardInterrupt):
        fit(Interrupt(1))
    model = fit()
    assert model.history.epoch[-1] == 2
    assert int(model.optimizer.iterations) >= 12


def test_checkpoints_of_whole_models_and_of_the_best_weights(make: Make, tmp_path: Path) -> None:
    model, plain = make(dense)
    checkpoints = [
        keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"),
        keras.callbacks.ModelCheckpoint(
            tmp_path / "best.weights.h5", monitor="loss", save_best_only=True,
            save_weights_only=True,
        ),
    ]  # fmt: skip
    model.fit(X, Y, epochs=3, verbose=0, callbacks=checkpoints)
    assert_same_state(keras.models.load_model(tmp_path / "3.keras"), model)
    plain.load_weights(tmp_path / "best.weights.h5")
    np.testing.assert_array_equal(plain.get_weights()[0], model.get_weights()[0])


def test_a_loss_that_is_not_a_number_terminates(make: Make) -> None:
    model, _ = make(dense)
    x = np.where(np.arange(N)[:, None] == 20, np.nan, X)
    nan = keras.callbacks.TerminateOnNaN()
    history = model.fit(x, Y, batch_size=4, epochs=5, shuffle=False, verbose=0, callbacks=[nan])
    assert len(history.history["loss"]) == 1
    assert np.isnan(history.history["loss"][0])


def test_tensorboard_with_histograms_and_graph(make: Make, tmp_path: Path) -> None:
    model, _ = make(dense)
    board = keras.callbacks.TensorBoard(
        tmp_path, histogram_freq=1, write_graph=True, write_steps_per_second=True, update_freq=2
    )
    model.fit(X, Y, validation_data=(X, Y), batch_size=8, epochs=2, verbose=0, callbacks=[board])
    tags = {
        value.tag
        for file in (tmp_path / "train").glob("events.*")
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }
    assert {"epoch_loss", "batch_loss", "keras"} <= tags
    assert any("kernel" in tag and "histogram" in tag for tag in tags), tags


def test_swapped_averages_are_what_is_evaluated_and_saved(make: Make, tmp_path: Path) -> None:
    def averaged() -> keras.Model:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        optimizer = keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.5)
        model.compile(optimizer, "mse")
        return model

    model, plain = make(averaged)
    swap = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True) for _ in range(2)]
    histories = [
        m.fit(
            X, Y, validation_data=(X, Y), batch_size=N, epochs=3, verbose=0, callbacks=[s]
        ).history
        for m, s in zip((model, plain), swap, strict=True)
    ]
    np.testing.assert_allclose(histories[0]["val_loss"], histories[1]["val_loss"], rtol=1e-5)
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_the_progress_bar_counts_all_steps(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    model, _ = make(dense)
    model.fit(X, Y, batch_size=8, epochs=1, verbose=1)
    assert "6/6" in capsys.readouterr().out


def test_a_callback_reads_and_writes_weights(make: Make) -> None:
    class Halve(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.seen = self.model.get_weights()
            self.model.set_weights([w / 2 for w in self.seen])

    model, _ = make(dense)
    halve = Halve()
    model.fit(X, Y, verbose=0, callbacks=[halve])
    for now, then in zip(model.get_weights(), halve.seen, strict=True):
        np.testing.assert_array_equal(now, then / 2)


@pytest.mark.skipif(NUM_WORKERS > 1, reason="others would be in the middle of their steps")
def test_with_one_worker_callbacks_see_what_they_see_in_plain_keras(make: Make) -> None:
    def regressor() -> keras.Model:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.01), "mse", steps_per_execution=2)
        return model

    class Acts(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[Any] = []

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.begun = batch
            self.model.optimizer.learning_rate = 0.01 * (batch + 1)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.seen += [self.begun, batch, *logs.values()]
            self.seen += [self.model.evaluate(X[:8], Y[:8], verbose=0)]
            self.seen += [float(self.model.predict(X[:8], verbose=0).sum())]
            self.model.reset_metrics()

        def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.seen.append(batch)

        def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
            self.seen += [batch, logs["outputs"].sum()]

    def acts(model: keras.Model) -> list[Any]:
        callback = Acts()
        fit: dict[str, Any] = {"epochs": 2, "verbose": 0, "callbacks": [callback]}
        arrays = X[:40], Y[:40]
        history = model.fit(*arrays, batch_size=8, shuffle=False, **fit).history
        of_unknown_size = (
            tf.data.Dataset.from_tensor_slices(arrays).batch(8).filter(lambda *_: True)
        )
        later = model.fit(of_unknown_size, **fit).history
        model.predict(of_unknown_size, verbose=0, callbacks=[callback])
        return [*callback.seen, *history["loss"], *later["loss"]]

    model, plain = make(regressor)
    np.testing.assert_allclose(acts(model), acts(plain), rtol=1e-5)
