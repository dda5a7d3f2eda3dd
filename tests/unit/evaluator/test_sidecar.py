"""An evaluator from its start to its end, in one process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tfps
from tests.unit.evaluator.trained import X, Y, evaluate, make, save, train
from tfps.errors import CheckpointMismatchError
from tfps.evaluator import record


class Sidecar:
    """Starts evaluators of one folder, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoints = folder / "checkpoints"
        self.log_dir = folder / "logs"

    def evaluator(self, **arguments: Any) -> tfps.SidecarEvaluator:
        given = {
            **{"model": make("sgd"), "data": (X, Y), "checkpoints": self.checkpoints},
            **{"log_dir": self.log_dir, "poll_s": 0.01, **arguments},
        }
        return tfps.SidecarEvaluator(
            given.pop("model"), given.pop("data"), given.pop("checkpoints"), **given
        )

    def run(self, **arguments: Any) -> None:
        """Evaluate what is there."""
        self.evaluator(**arguments).start(lambda: True)

    def save(self, name: str, model: keras.Model, *, at_s: float) -> None:
        save_at(model, self.checkpoints / name, at_s)

    def steps(self) -> list[int]:
        return [evaluated.step for evaluated in record.read(str(self.log_dir)).evaluated]

    def events(self) -> dict[str, list[tuple[int, float]]]:
        """Read TensorBoard's events back."""
        accumulator = EventAccumulator(str(self.log_dir)).Reload()
        return {
            tag: [
                (event.step, tf.make_ndarray(event.tensor_proto).item())
                for event in accumulator.Tensors(tag)
            ]
            for tag in accumulator.Tags()["tensors"]
        }


def save_at(model: keras.Model, path: Path, at_s: float) -> None:
    save(model, path)
    for file in path.parent.glob(f"{path.name}*"):
        os.utime(file, (at_s, at_s))


@pytest.fixture
def sidecar(tmp_path: Path) -> Sidecar:
    return Sidecar(tmp_path)


def stages(*works: Callable[[], Any]) -> Callable[[], bool]:
    """Return an `is_over` that does one piece of work at each call, and then is true."""
    left = list(works)

    def is_over() -> bool:
        if left:
            left.pop(0)()
            return False
        return True

    return is_over


KINDS = [".weights.h5", ".keras", ""]


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, float]]]:
    """A folder for each kind of checkpoint, of three epochs each, and the results of the epochs."""
    folder, results = tmp_path_factory.mktemp("training"), []
    model = make()
    for epoch in (1, 2, 3):
        train(model)
        results.append(evaluate(model))
        for kind in KINDS:
            save_at(model, folder / f"kind{kind}" / f"epoch-{epoch}{kind}", epoch)
    return folder, results


@pytest.mark.parametrize("kind", KINDS)
def test_each_checkpoint_is_evaluated_once_in_order_of_time(
    kind: str,
    training: tuple[Path, list[dict[str, float]]],
    sidecar: Sidecar,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, expected = training
    sidecar.checkpoints = folder / f"kind{kind}"
    sidecar.run()
    sidecar.run()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["step 1", "step 2", "step 3"]
    assert lines[2].endswith(f"(epoch-3{kind})")
    events = sidecar.events()
    assert set(events) == {"evaluation_loss_vs_iterations", "evaluation_mae_vs_iterations"}
    for step, results in enumerate(expected, start=1):
        for name, value in results.items():
            at_step, found = events[f"evaluation_{name}_vs_iterations"][step - 1]
            assert (at_step, found) == (step, pytest.approx(value, rel=1e-6))


def test_a_file_that_is_overwritten_is_evaluated_each_time(sidecar: Sidecar) -> None:
    """BackupAndRestore has the last file and the one before, which is not evaluated again."""
    model = make()
    backup = keras.callbacks.BackupAndRestore(
        sidecar.checkpoints, double_checkpoint=True, delete_checkpoint=False
    )
    seen: list[int] = []

    class Evaluate(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch != 1:  # When the evaluator looks again, this one is but a backup.
                sidecar.run()
            seen.append(len(sidecar.steps()))

    model.fit(X, Y, batch_size=8, epochs=3, verbose=0, callbacks=[backup, Evaluate()])
    assert sidecar.steps() == [1, 2, 3]
    assert seen == [1, 1, 3]


def test_checkpoints_that_come_while_it_runs_are_evaluated(sidecar: Sidecar) -> None:
    model = make()
    works = [
        lambda epoch=epoch: sidecar.save(f"ckpt-{epoch}.weights.h5", train(model), at_s=epoch)
        for epoch in (1, 2)
    ]
    sidecar.evaluator(poll_s=0.0).start(stages(lambda: None, *works))
    assert sidecar.steps() == [1, 2]


def test_only_the_newest_is_evaluated_if_that_is_wanted(sidecar: Sidecar) -> None:
    model = make()
    for epoch in (1, 2, 3):
        sidecar.save(f"epoch-{epoch}.weights.h5", train(model), at_s=epoch)
    sidecar.run(skip_to_newest=True)
    assert sidecar.steps() == [3]


def test_a_restarted_evaluator_keeps_the_better_one(sidecar: Sidecar) -> None:
    best = sidecar.folder / "best.weights.h5"
    good, bad = train(make(), epochs=5), make()
    sidecar.save("a.weights.h5", good, at_s=1)
    sidecar.run(keep_best=best)
    sidecar.save("b.weights.h5", train(bad), at_s=2)
    sidecar.run(keep_best=best)
    assert sidecar.steps() == [5, 1]
    kept = make()
    kept.load_weights(best)
    assert evaluate(kept) == evaluate(good)
    content = json.loads((sidecar.log_dir / record.FILE).read_text())
    assert content["best"]["value"] == pytest.approx(evaluate(good)["loss"])


def test_a_checkpoint_that_cannot_be_read_is_told_once_and_passed_over(
    sidecar: Sidecar, capsys: pytest.CaptureFixture[str]
) -> None:
    model = train(make())
    sidecar.save("a.weights.h5", model, at_s=1)
    (sidecar.checkpoints / "b.weights.h5").write_bytes(b"\x89HDF, but no more")
    sidecar.save("c.weights.h5", train(model), at_s=2)
    sidecar.run()
    assert sidecar.steps() == [1, 2]
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tfps: ")]
    assert len(said) == 1
    assert "b.weights.h5 cannot be read, and is skipped: " in said[0]


def test_a_truncated_checkpoint_that_is_completed_is_evaluated(
    sidecar: Sidecar, capsys: pytest.CaptureFixture[str]
) -> None:
    sidecar.save("a.weights.h5", train(make()), at_s=1)
    file = sidecar.checkpoints / "a.weights.h5"
    content = file.read_bytes()
    file.write_bytes(content[:-100])
    looks: list[Callable[[], Any]] = [lambda: None] * 3  # And two tries.
    sidecar.evaluator(poll_s=0.0).start(stages(*looks, lambda: file.write_bytes(content)))
    assert sidecar.steps() == [1]
    assert capsys.readouterr().err == ""


def test_another_models_checkpoint_ends_it(sidecar: Sidecar) -> None:
    sidecar.save("a.weights.h5", train(make(units=5)), at_s=1)
    with pytest.raises(CheckpointMismatchError, match=r"a\.weights\.h5 does not fit"):
        sidecar.run()


def test_a_training_without_checkpoints_is_told(
    sidecar: Sidecar, capsys: pytest.CaptureFixture[str]
) -> None:
    sidecar.run()
    assert f"there was no checkpoint at {sidecar.checkpoints}" in capsys.readouterr().err


def test_without_a_step_in_the_file_its_name_or_a_count_gives_one(sidecar: Sidecar) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    for at_s, name in enumerate(["a", "at-7", "b"], start=1):
        model.set_weights([weight + 1 for weight in model.get_weights()])
        sidecar.save(f"{name}.weights.h5", model, at_s=at_s)
    sidecar.run()
    assert sidecar.steps() == [1, 7, 8]


def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
    assert context.num_input_pipelines == 1
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)


@pytest.mark.parametrize("kind", ["arrays", "weights", "function", "dataset"])
def test_data_is_what_validation_data_may_be(
    kind: str, training: tuple[Path, list[dict[str, float]]], sidecar: Sidecar
) -> None:
    kinds: dict[str, Any] = {
        **{"arrays": (X, Y), "weights": (X, Y, np.ones(8))},
        **{"function": dataset, "dataset": dataset(tf.distribute.InputContext())},
    }
    folder, (first, *_) = training
    sidecar.checkpoints = folder / "kind.weights.h5" / "epoch-1.weights.h5"
    sidecar.run(data=kinds[kind])
    ((step, loss),) = sidecar.events()["evaluation_loss_vs_iterations"]
    assert (step, loss) == (1, pytest.approx(first["loss"], rel=1e-5))


def test_a_model_that_is_not_built_is_built_by_a_batch(sidecar: Sidecar) -> None:
    def unbuilt() -> keras.Model:
        model = keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        return model

    sidecar.save("a.weights.h5", train(unbuilt()), at_s=1)
    sidecar.run(model=unbuilt())
    assert sidecar.steps() == [1]


def test_callbacks_find_the_step_in_the_optimizer(sidecar: Sidecar) -> None:
    found = []

    class Step(keras.callbacks.Callback):
        def on_test_end(self, logs: Any = None) -> None:
            found.append((int(self.model.optimizer.iterations), "loss" in logs))

    sidecar.save("a.weights.h5", train(make(), epochs=2), at_s=1)
    sidecar.run(callbacks=[Step()])
    assert found == [(2, True)]


def test_a_mode_that_is_not_known_is_refused_at_once(sidecar: Sidecar) -> None:
    with pytest.raises(ValueError, match="monitor='mae' needs mode='max' or mode='min'"):
        sidecar.evaluator(monitor="mae")


def test_a_damaged_record_is_told(sidecar: Sidecar) -> None:
    sidecar.log_dir.mkdir()
    (sidecar.log_dir / record.FILE).write_text("{")
    with pytest.raises(ValueError, match=r"evaluated\.json cannot be read .* Remove it"):
        sidecar.run()
