"""Bytes per step and examples/s of the reference encoder, on a local cluster of real processes.

    python -m benchmarks.encoder

starts a chief, 2 workers of one thread each and 2 ps through `tfps local`, and trains with
`model.fit` and Adam a 4-layer encoder from keras-nlp's parts, vocabulary 30522, width 256, sequence
64, batch 16; in float32, or in another format on the wire. It prints, for two distributions of
random token ids, the bytes that a step puts on the loopback device (headers, both ways,
everything), beside what the float32 numbers of a step take by themselves: each dense parameter and
each row that the batch looks up, once down and once back; and beside what
`history.traffic` has. Then the bytes that lie on each ps, and those that each ps receives and
sends.

Nothing else should talk over the loopback device meanwhile: its counter cannot tell processes
apart. The counters per ps can, so the two check each other.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import tyro

import tfps
from benchmarks import launch, report, traffic

VOCABULARY = 30522
WIDTH = 256
SEQUENCE = 64
BATCH = 16
LAYERS = 4
HEADS = 4
FLOAT_BYTES = 4
IDS = ("like text", "uniform")
Wire = Literal["float32", "bfloat16", "int8", "onebit", "topk", "topk5"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Measure bytes per step and examples/s of the reference encoder on a local cluster."""

    steps: int = 60
    """Steps of a measured round; a round to warm up comes first."""
    rounds: int = 3
    """Rounds to measure."""
    wire: Wire = "float32"
    """What travels: both ways as it is, cast or in int8; or the signs of the gradients, or their
    largest 1 % or 5 %, with error feedback against parameters in int8."""
    overlap: bool = False
    """Whether a worker pushes and pulls while it computes."""
    steps_per_execution: int = 1
    """Steps per dispatch."""
    json: Path | None = None
    """A file to write the numbers to."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Round:
    """One measured epoch.

    Attributes:
        seconds: How long it took.
        loopback_bytes: What crossed the loopback device.
        per_ps: What each ps received and sent.
        counted_bytes: What `history.traffic` has, both directions.
    """

    seconds: float
    loopback_bytes: int
    per_ps: list[traffic.Traffic]
    counted_bytes: int = 0


def main() -> None:
    """Measure, on a cluster that this command starts."""
    arguments = tyro.cli(Arguments)
    launch.on_local_cluster(lambda: measure(arguments), "benchmarks.encoder", ps=2, workers=2)


def measure(arguments: Arguments) -> None:
    """Train on the cluster of TF_CONFIG and publish what was counted."""
    pull, push = wires()[arguments.wire]
    strategy = tfps.ParameterServerStrategy(
        variable_partitioner=tfps.AutoPartitioner(),
        pull=pull,
        push=push,
        overlap=arguments.overlap,
    )
    with strategy.scope():
        model = make_encoder(arguments.steps_per_execution)
    found = {ids: _fit(model, ids, arguments) for ids in IDS}
    dense = model.count_params() - VOCABULARY * WIDTH
    title = (
        f"Reference encoder: {model.count_params():,} parameters, {dense:,} of them dense; "
        f"{arguments.wire}, 2 ps, 2 workers, {arguments.steps_per_execution} steps per dispatch"
        + (", overlap" if arguments.overlap else "")
    )
    tables = [
        _per_step(title, found, dense, arguments.steps),
        _per_ps(found, strategy.bytes_per_ps, arguments.steps),
    ]
    report.publish(tables, arguments.json)


def wires() -> dict[Wire, tuple[Any, Any]]:
    """Return the codecs of pull and push by the name of what travels."""
    wire = tfps.wire
    signs, sparse, less_sparse = (
        wire.DenseAndRows(dense=wire.ErrorFeedback(codec), rows=wire.Int8())
        for codec in (wire.OneBit(128), wire.TopK(0.01), wire.TopK(0.05))
    )
    return {
        "float32": (wire.Identity(), wire.Identity()),
        "bfloat16": (wire.Cast("bfloat16"), wire.Cast("bfloat16")),
        "int8": (wire.Int8(), wire.Int8()),
        "onebit": (wire.Int8(), signs),
        "topk": (wire.Int8(), sparse),
        "topk5": (wire.Int8(), less_sparse),
    }


def make_encoder(steps_per_execution: int = 1) -> Any:
    """Make the compiled reference encoder; in a strategy's scope its variables lie on the ps."""
    import keras
    import keras_nlp

    ids = keras.Input((SEQUENCE,), dtype="int32")
    hidden = keras_nlp.layers.TokenAndPositionEmbedding(VOCABULARY, SEQUENCE, WIDTH)(ids)
    for _ in range(LAYERS):
        hidden = keras_nlp.layers.TransformerEncoder(4 * WIDTH, HEADS)(hidden)
    pooled = keras.layers.GlobalAveragePooling1D()(hidden)
    model = keras.Model(ids, keras.layers.Dense(2)(pooled))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-4), loss, steps_per_execution=steps_per_execution)
    return model


def draw_ids(distribution: str, seed: Any) -> Any:
    """Draw one batch of ids, `(BATCH, SEQUENCE)` int32.

    Args:
        distribution: One of `IDS`. "like text": the id of rank r comes with probability near 1/r
            (Zipf's law), in the order of the ids, as in a vocabulary sorted by frequency.
        seed: Two integers.
    """
    import tensorflow as tf

    if distribution == "uniform":
        return tf.random.stateless_uniform([BATCH, SEQUENCE], seed, 0, VOCABULARY, tf.int32)
    uniform = tf.random.stateless_uniform([BATCH, SEQUENCE], seed)
    ranks = tf.cast(tf.exp(uniform * math.log(VOCABULARY + 1)), tf.int32) - 1
    return tf.clip_by_value(ranks, 0, VOCABULARY - 1)


def make_data(distribution: str) -> Callable[[Any], Any]:
    """Return the function from which each worker builds its endless dataset."""

    def dataset(context: Any) -> Any:
        import tensorflow as tf

        def batch(number: Any) -> tuple[Any, Any]:
            seed = tf.stack([tf.cast(context.input_pipeline_id, tf.int64), number])
            ids = draw_ids(distribution, seed)
            return ids, ids[:, :1] % 2

        return tf.data.Dataset.counter().map(batch).prefetch(2)

    return dataset


def _fit(model: Any, ids: str, arguments: Arguments) -> list[Round]:
    import keras

    config = tfps.TFConfig.from_environment()
    assert config is not None  # Every task of the local cluster has one.
    addresses = config.cluster.ps

    class Meter(keras.callbacks.Callback):
        """Reads the counters around each epoch, when no step is under way."""

        def __init__(self) -> None:
            super().__init__()
            self.rounds: list[Round] = []

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            found = traffic.sockets()
            self._pids = traffic.listeners(addresses, found)
            self._before = traffic.of_processes(self._pids, found)
            self._loopback = traffic.loopback_bytes()
            self._started = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seconds = time.perf_counter() - self._started
            loopback = traffic.loopback_bytes() - self._loopback
            after = traffic.of_processes(self._pids, traffic.sockets())
            moved = [now.since(then) for now, then in zip(after, self._before, strict=True)]
            self.rounds.append(Round(seconds=seconds, loopback_bytes=loopback, per_ps=moved))

    meter = Meter()
    history = model.fit(
        make_data(ids),
        epochs=1 + arguments.rounds,
        steps_per_epoch=arguments.steps,
        callbacks=[meter],
        verbose=0,
    )
    rounds = [
        dataclasses.replace(one, counted_bytes=sum(counted.pull_bytes) + sum(counted.push_bytes))
        for one, counted in zip(meter.rounds, history.traffic, strict=True)
    ]
    return rounds[1:]


def _per_step(title: str, found: dict[str, list[Round]], dense: int, steps: int) -> report.Table:
    rows: list[list[report.Cell]] = []
    for ids, rounds in found.items():
        unique = _unique_rows(ids)
        least = 2 * FLOAT_BYTES * (dense + unique * WIDTH)
        _, loopback, most = report.low_middle_high([r.loopback_bytes / steps for r in rounds])
        rates = report.low_middle_high([steps * BATCH / r.seconds for r in rounds])
        _, counted, _ = report.low_middle_high([r.counted_bytes / steps for r in rounds])
        on_sockets = [
            sum(ps.received_bytes + ps.sent_bytes for ps in r.per_ps) / steps for r in rounds
        ]
        off = [
            100 * (s * steps / r.counted_bytes - 1) for s, r in zip(on_sockets, rounds, strict=True)
        ]
        cells = [
            round(unique),
            least / 1e6,
            loopback / 1e6,
            most / 1e6,
            counted / 1e6,
            max(off, key=abs),
        ]
        rows.append([ids, *cells, *rates])
    columns = ["ids", "unique rows", "numbers MB", "loopback MB", "most", "counted MB", "% off"]
    columns += ["examples/s min", "median", "max"]
    return report.Table(
        title=f"{title}. Per step",
        columns=columns,
        rows=rows,
        note="unique rows: what a batch of 1,024 ids looks up. numbers: what the float32 values of "
        "the dense parameters and of those rows take, once down and once back. counted: "
        "history.traffic; off: by how much the ps' TCP connections moved more, at most.",
    )


def _per_ps(found: dict[str, list[Round]], lying: tuple[int, ...], steps: int) -> report.Table:
    rows: list[list[report.Cell]] = []
    for ids, rounds in found.items():
        received, sent = (
            [sum(getattr(r.per_ps[ps], name) for r in rounds) / len(rounds) / steps
             for ps in range(len(lying))]
            for name in ("received_bytes", "sent_bytes")
        )  # fmt: skip
        both = [down + up for down, up in zip(received, sent, strict=True)]
        for ps, held in enumerate(lying):
            moved = [received[ps] / 1e6, sent[ps] / 1e6, both[ps] / 1e6]
            rows.append([ids, ps, held / 1e6, *moved, 100 * (both[ps] / min(both) - 1)])
    return report.Table(
        title="Per ps: bytes of variables (slots not counted) and bytes per step, MB",
        columns=["ids", "ps", "variables", "received", "sent", "both", "% over least"],
        rows=rows,
        note="Counted by TCP connections of each ps, so without headers.",
    )


def _unique_rows(ids: str) -> float:
    """Return how many unique ids a batch has, the mean of 200 batches."""
    import tensorflow as tf

    sizes = [len(set(draw_ids(ids, (7, n)).numpy().flat)) for n in range(200)]
    return float(tf.reduce_mean(tf.constant(sizes, tf.float32)))


if __name__ == "__main__":
    main()
