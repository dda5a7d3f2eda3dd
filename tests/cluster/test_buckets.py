"""Messages of some of a ps' parameters each, pushed and pulled at the same time."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfps
from tests.cluster.models_on_the_wire import CLASSES, IDS, classifier, run_steps
from tfps import wire
from tfps.step.program import WorkerProgram
from tfps.step.step import StepSettings
from tfps.training import auto
from tfps.transport.messages import Wire
from tfps.wire.auto import StepProfile

pytestmark = pytest.mark.timeout(180)

WIDTH = 64
KERNEL_BYTES = 4 * WIDTH * WIDTH


def stacked(strategy: Any, layers: int = 8, **arguments: Any) -> keras.Model:
    """Make a model of layers of the same size over 2 ps, and a table that is pulled by rows."""
    keras.utils.set_random_seed(1)
    with strategy.scope():
        embed = [keras.layers.Embedding(100, WIDTH), keras.layers.Flatten()]
        hidden = [
            keras.layers.Dense(WIDTH, activation="tanh", use_bias=False) for _ in range(layers)
        ]
        model = keras.Sequential([keras.Input((1,)), *embed, *hidden, keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(0.001), "mse", **arguments)
    return model


@pytest.mark.parametrize(
    ("codec", "overlap"),
    [
        (wire.Identity(), False),
        pytest.param(wire.Lossless(wire.Cast()), True, marks=pytest.mark.slow),
    ],
    ids=["in turn", "overlap"],
)
def test_buckets_change_no_number(make_strategy: Any, codec: wire.Codec, overlap: bool) -> None:
    results = []
    for bucket_bytes in (None, 1) if overlap else (None, 2 * KERNEL_BYTES, 1):
        strategy = make_strategy(pull=codec, push=codec, overlap=overlap, bucket_bytes=bucket_bytes)
        model = stacked(strategy, layers=5, steps_per_execution=6)
        history = run_steps(model, 6)  # one call: of one worker
        results.append((model.get_weights(), history.traffic))
    (weights, traffic), *others = results
    for other_weights, other_traffic in others:
        for one, other in zip(weights, other_weights, strict=True):
            np.testing.assert_array_equal(one, other)
        if codec == wire.Identity():  # what is compressed together differs
            assert other_traffic == traffic


# test_own_copies.py has smaller models learn with the same codecs and buckets.
@pytest.mark.slow
def test_buckets_learn_with_rows_statistics_and_codecs(make_strategy: Any) -> None:
    sparse = wire.ErrorFeedback(wire.TopK(0.1))
    strategy = make_strategy(2, pull=wire.Int8(), push=sparse, bucket_bytes=1000)
    model = classifier(strategy, steps_per_execution=4)
    history = model.fit(IDS, CLASSES, batch_size=8, epochs=25, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]


@pytest.mark.usefixtures("_cluster")
def test_first_layers_are_pulled_while_the_last_are_pushed() -> None:
    """A pull waits for the updates of what it reads, and for what these wait for, but no more."""
    strategy = tfps.ParameterServerStrategy()  # whose ps are empty
    model = stacked(strategy)
    travelling = Wire(
        pull=wire.Identity(), push=wire.Identity(), num_ps=2, bucket_bytes=KERNEL_BYTES
    )
    spec = (tf.TensorSpec([4, 1]), tf.TensorSpec([4, 1]))
    with strategy.scope():
        program = WorkerProgram(
            model.train_step, spec, StepSettings(wire=travelling, num_workers=2)
        )
    functions = program.dispatch(most_steps=8).function.graph.as_graph_def().library.function
    [loop] = [f for f in functions if "while_body" in f.signature.name and _nodes(f, _UPDATE)]
    updates = {node.input[0] for node in _nodes(loop, _UPDATE)}
    reads = [node for node in _nodes(loop, "ReadVariableOp") if node.input[0] in updates]
    assert len(reads) == len(updates) == 10  # eight layers, and the last one's kernel and bias
    messages = []
    for read in reads:
        before = _all_before(read, loop)
        assert {node.input[0] for node in before if node.op == _UPDATE} == {read.input[0]}
        packed = [node for node in before if node.op == "ConcatV2" and _is_bytes(node)]
        messages.append(len({node.name for node in packed}))
    # Each waits for the one before the last to the same ps, and for the first, which has the rates.
    # Of 7 messages to one ps the last waits for 4, itself among them; 3 go to the other.
    assert sorted(messages) == [1, 1, 1, 2, 2, 2, 3, 3, 4, 4]


_UPDATE = "ResourceApplyAdam"


def _nodes(function: Any, op: str) -> list[Any]:
    return [node for node in function.node_def if node.op == op]


def _is_bytes(node: Any) -> bool:
    return tf.DType(node.attr["T"].type) == tf.uint8


def _all_before(node: Any, function: Any) -> list[Any]:
    """Return all nodes of a function that must run before one of them."""
    by_name = {one.name: one for one in function.node_def}
    found: dict[str, Any] = {}
    waiting = [node]
    while waiting:
        for source in waiting.pop().input:
            name = source.lstrip("^").split(":")[0]
            if name in by_name and name not in found:
                found[name] = by_name[name]
                waiting.append(by_name[name])
    return list(found.values())


def test_auto_picks_buckets_for_a_slow_link(
    make_strategy: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    slow = StepProfile(
        compute_s=0.1, pull_bytes=150_000, push_bytes=150_000,
        pull_bytes_per_s=1e5, push_bytes_per_s=1e5,
    )  # fmt: skip
    monkeypatch.setattr(auto, "profile_step", lambda *_: slow)
    strategy = make_strategy(pull=wire.Auto(), push=wire.Auto())
    model = stacked(strategy, layers=3, steps_per_execution=4)
    history = run_steps(model, 8, epochs=4).history
    assert "bucket_bytes=6250: they are pushed and" in capfd.readouterr().out
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def test_a_bucket_has_at_least_a_byte(make_strategy: Any) -> None:
    with pytest.raises(ValueError, match="bucket_bytes=0: give a number above 0, or None"):
        make_strategy(bucket_bytes=0)
