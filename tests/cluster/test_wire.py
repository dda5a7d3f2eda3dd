"""What travels: codecs on pulls and pushes, their state, their bytes."""

from __future__ import annotations

import logging
import re
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfps
from tests.cluster.models_on_the_wire import (
    CLASSES,
    COUNTERS,
    IDS,
    SLOPE,
    classifier,
    run_steps,
    sloped,
)
from tfps import wire
from tfps.training import profile

pytestmark = pytest.mark.timeout(180)

SLOW = pytest.mark.slow

SPARSE = wire.ErrorFeedback(wire.TopK(0.01))


@pytest.mark.parametrize(
    ("num_shards", "codec", "bytes_per_number"),
    [(1, wire.Identity(), 4), (2, wire.Cast("bfloat16"), 2), (1, wire.Cast("float16"), 2)],
    ids=repr,
)
def test_bytes_are_those_of_the_numbers_that_travel(
    make_strategy: Any, num_shards: int, codec: wire.Codec, bytes_per_number: int
) -> None:
    history = run_steps(sloped(make_strategy(num_shards, pull=codec, push=codec)), 3, epochs=2)
    for traffic in history.traffic:
        assert sum(traffic.push_bytes) == 3 * bytes_per_number * SLOPE.size
        assert sum(traffic.uncoded_push_bytes) == 3 * 4 * SLOPE.size
        assert sum(traffic.pull_bytes) == 3 * (bytes_per_number * SLOPE.size + COUNTERS)
        assert sum(traffic.uncoded_pull_bytes) == 3 * (4 * SLOPE.size + COUNTERS)
    if num_shards == 2:
        assert len(set(history.traffic[0].push_bytes)) == 1
    coded = not isinstance(codec, wire.Identity)
    assert ("push_bytes" in history.history) == coded
    if coded:
        assert history.history["push_bytes"] == [3 * 2 * SLOPE.size] * 2


def test_bytes_follow_the_unique_rows_and_are_logged(
    make_strategy: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rows = wire.DenseAndRows(dense=wire.Identity(), rows=wire.Cast("bfloat16"))
    with make_strategy(pull=rows, push=rows).scope():
        ids = keras.Input((6,), dtype="int32")
        summed = keras.ops.sum(keras.layers.Embedding(300, 16)(ids), axis=(1, 2))
        model = keras.Model(ids, summed)
        model.compile("sgd", "mse")
    with caplog.at_level(logging.INFO, logger="tfps"):
        (traffic,) = model.fit(IDS, CLASSES, batch_size=16, shuffle=False, verbose=0).traffic
    unique = sum(len(np.unique(batch)) for batch in np.split(IDS, 4))
    asked = 2 * 4 * unique  # ids, int32, of what is pulled and of what is pushed
    assert sum(traffic.pull_bytes) == 2 * 16 * unique + 4 * COUNTERS
    assert sum(traffic.uncoded_pull_bytes) == 4 * 16 * unique + 4 * COUNTERS
    assert sum(traffic.push_bytes) == 2 * 16 * unique + asked
    assert sum(traffic.uncoded_push_bytes) == 4 * 16 * unique + asked
    assert f"push_bytes {sum(traffic.push_bytes) / 1e6:.3f} MB" in caplog.text


# Int8 and TopK learn in test_own_copies.py.
@pytest.mark.parametrize(
    ("num_shards", "pull", "push"),
    [
        (2, wire.Lossless(wire.Int8()), wire.Lossless(wire.Cast("float16"))),
        pytest.param(1, wire.Cast("float16"), wire.ErrorFeedback(wire.OneBit()), marks=SLOW),
        pytest.param(1, wire.Identity(), wire.ErrorFeedback(wire.PowerSGD(2)), marks=SLOW),
        pytest.param(1, wire.Identity(), wire.ErrorFeedback(wire.RandomK(0.1)), marks=SLOW),
    ],
    ids=repr,
)
def test_a_model_learns_through_a_codec(
    make_strategy: Any, num_shards: int, pull: wire.Codec, push: wire.Codec
) -> None:
    model = classifier(make_strategy(num_shards, pull=pull, push=push), steps_per_execution=2)
    history = model.fit(IDS, CLASSES, batch_size=8, epochs=20, verbose=0)
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    assert int(model.optimizer.iterations) == 20 * 8
    traffic = history.traffic[-1]
    assert sum(traffic.pull_bytes) <= sum(traffic.uncoded_pull_bytes)
    assert sum(traffic.push_bytes) < sum(traffic.uncoded_push_bytes)


def test_residuals_stay_on_each_worker_from_call_to_call(make_strategy: Any) -> None:
    model = sloped(make_strategy(push=SPARSE), steps_per_execution=3)
    run_steps(model, 7)
    run_steps(model, 13)
    (kernel,) = model.get_weights()
    # How many of the 20 steps each worker took is not known.
    possible = [-sent_by_top_k(n) - sent_by_top_k(20 - n) for n in range(21)]
    assert min(np.abs(kernel - p).max() for p in possible) < 1e-4
    assert np.abs(kernel + 20 * SLOPE).max() > 1  # much is still held back


def sent_by_top_k(steps: int) -> np.ndarray:
    """Return the sum of what a worker sends: of 1,600 numbers the largest 16 in each step."""
    residual, sent = np.zeros(SLOPE.size, "float32"), np.zeros(SLOPE.size, "float32")
    for _ in range(steps):
        residual += SLOPE.ravel()
        largest = np.argsort(np.abs(residual))[-16:]
        sent[largest] += residual[largest]
        residual[largest] = 0
    return sent.reshape(SLOPE.shape)


def test_a_warm_up_changes_the_codec_at_its_step(make_strategy: Any) -> None:
    warm_up = wire.Warmup(((0, wire.Identity()), (5, wire.Cast("bfloat16"))))
    model = sloped(make_strategy(push=warm_up), steps_per_execution=4)
    history = run_steps(model, 8, epochs=2)
    size = SLOPE.size
    assert [sum(t.push_bytes) for t in history.traffic] == [(5 * 4 + 3 * 2) * size, 8 * 2 * size]
    assert int(model.optimizer.iterations) == 16


def test_auto_says_what_it_picked_and_why(
    make_strategy: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    strategy = make_strategy(pull=wire.Auto(), push=wire.Auto())
    model = classifier(strategy)
    model.fit(IDS, CLASSES, batch_size=8, epochs=2, verbose=0)
    assert int(model.optimizer.iterations) == 2 * 8  # what was measured counts for nothing
    said = re.findall(r'^(pull|push)=Auto\(\): \w+\(.*A step computes for .* ms; its .* MB take',
                      capfd.readouterr().out, re.MULTILINE)  # fmt: skip
    assert said == ["pull", "push"]
    model.fit(IDS, CLASSES, batch_size=8, verbose=0)
    assert "Auto" not in capfd.readouterr().out  # once for each model


def test_auto_measures_on_the_workers_that_have_data(
    make_strategy: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    model = sloped(make_strategy(push=wire.Auto()))
    one_batch = tf.data.Dataset.from_tensors((np.ones((4, 1)), np.ones((4, 1))))
    model.fit(one_batch, verbose=0)
    assert "push=" in capfd.readouterr().out
    assert int(model.optimizer.iterations) == 1


def test_a_loop_picks_too(make_strategy: Any, capfd: pytest.CaptureFixture[str]) -> None:
    strategy = make_strategy(push=wire.Auto())
    model = classifier(strategy)
    with strategy.scope():
        optimizer = keras.optimizers.SGD(0.1)

    def step(model: keras.Model, batch: Any) -> Any:
        ids, classes = batch
        return keras.ops.mean(keras.losses.binary_crossentropy(classes, model(ids)))

    data = tf.data.Dataset.from_tensor_slices((IDS, CLASSES)).batch(8).repeat()
    loop = strategy.loop(step, model=model, optimizer=optimizer, data=data)
    assert "push=" in capfd.readouterr().out
    assert loop.run(10)["loss"] > 0


@pytest.mark.timeout(40)  # less than workers wait for one another
def test_auto_does_not_wait_for_a_worker_that_fails(
    make_strategy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed, failed = profile._timed, []

    def fail_once(call: Any, size: int) -> float:
        if not failed:
            failed.append(size)
            raise tf.errors.InvalidArgumentError(None, None, "this worker fails")
        return timed(call, size)

    monkeypatch.setattr(profile, "_timed", fail_once)
    with pytest.raises(tf.errors.InvalidArgumentError, match="this worker fails"):
        run_steps(sloped(make_strategy(push=wire.Auto())), 4)


def test_a_name_that_is_not_auto_is_refused() -> None:
    with pytest.raises(TypeError, match=r"push='int8': give a codec.* or None"):
        tfps.ParameterServerStrategy(push="int8")


@pytest.mark.parametrize("codec", [wire.TopK(0.1), SPARSE, wire.OneBit(), wire.PowerSGD(1)])
def test_parameters_are_not_pulled_with_what_leaves_them_out(codec: wire.Codec) -> None:
    with pytest.raises(ValueError, match=r"pull=.* cannot be pulled .* Take Identity, Cast"):
        tfps.ParameterServerStrategy(pull=codec)


# tests/unit/wire has every codec meet NaN and infinities.
@pytest.mark.parametrize("codec", [wire.Int8(), SPARSE], ids=repr)
def test_what_is_not_finite_arrives(make_strategy: Any, codec: wire.Codec) -> None:
    slope = SLOPE.copy()
    slope[17, 3], slope[39, 39] = np.nan, np.inf
    model = sloped(make_strategy(push=codec), slope)
    run_steps(model, 1)
    assert not np.isfinite(model.get_weights()[0][[17, 39], [3, 39]]).any()


def test_biases_norms_and_rows_of_a_sparsifier_stay_as_they_are(make_strategy: Any) -> None:
    strategy = make_strategy(pull=wire.Int8(), push=SPARSE)
    model = classifier(strategy)
    variables = {v.path: v for v in model.trainable_variables}
    parameters = [
        wire.Parameter.of(path, v.shape, rows=path.endswith("embeddings"))
        for path, v in variables.items()
    ]
    pushed = {p.name.split("/")[-1]: SPARSE.for_parameter(p) for p in parameters}
    assert pushed.pop("kernel") == wire.Identity()  # the last layer's: 64 numbers
    assert set(pushed.values()) == {wire.Identity()}
    big = wire.Parameter.of("dense/kernel", (96, 64))
    assert SPARSE.for_parameter(big) == SPARSE


def test_policies_nest(make_strategy: Any) -> None:
    by_name = wire.ByName({"kernel$": wire.Cast()}, otherwise=wire.Identity())
    policies = [
        wire.BySize(wire.Cast(), min_elements=10),
        by_name,
        wire.DenseAndRows(dense=by_name, rows=wire.Identity()),
        wire.Warmup(((0, by_name), (100, SPARSE))),
    ]
    for policy in policies:
        history = run_steps(sloped(make_strategy(push=policy)), 2)
        assert sum(history.traffic[0].push_bytes) == 2 * 2 * SLOPE.size
