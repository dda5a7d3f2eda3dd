"""Bytes per step of training a GPT-2 whole, and of its low-rank adapters (LoRA) alone.

    python -m benchmarks.lora

starts a chief, 2 workers of one thread each and 2 ps through `tfps local`, and trains a GPT-2 of
keras-nlp from scratch with `model.fit` and Adam, in float32: all of it, and then another after
`backbone.enable_lora(rank)`, which freezes everything but the adapters. A worker pulls frozen
parameters once and keeps them. The first epoch is therefore counted by itself: what it took beyond
as many steps of the later ones is the first pull.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro

import tfps
from benchmarks import launch, report, traffic
from benchmarks.traffic import Traffic

BATCH = 8
HEADS = 4
PS = 2
WORKERS = 2
FLOAT_BYTES = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Count the bytes per step of full training and of LoRA on a local cluster."""

    vocabulary: int = 4096
    """Rows of the table, which both looks up and predicts."""
    width: int = 256
    """Numbers in a row."""
    layers: int = 4
    """Transformer layers."""
    sequence: int = 32
    """Ids in an example."""
    rank: int = 4
    """Rank of the adapters."""
    steps: int = 20
    """Steps of an epoch."""
    rounds: int = 3
    """Epochs to measure; one to warm up comes first."""
    json: Path | None = None
    """A file to write the numbers to."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """The counted bytes of one model.

    Attributes:
        training: What was trained.
        trainable: The parameters that a step updates.
        per_step: What each ps received and sent in a step, after the first epoch.
        first: What each ps received and sent in the first epoch beyond that.
    """

    training: str
    trainable: int
    per_step: list[Traffic]
    first: list[Traffic]


def main() -> None:
    """Measure, on a cluster that this command starts."""
    arguments = tyro.cli(Arguments)
    launch.on_local_cluster(lambda: measure(arguments), "benchmarks.lora", ps=PS, workers=WORKERS)


def measure(arguments: Arguments) -> None:
    """Train both models on the cluster of TF_CONFIG and publish what was counted."""
    strategy = tfps.ParameterServerStrategy(variable_partitioner=tfps.AutoPartitioner())
    found = []
    for rank in (None, arguments.rank):
        with strategy.scope():
            model = make_model(arguments, rank)
        found.append(count(model, "all" if rank is None else f"LoRA, rank {rank}", arguments))
    title = f"GPT-2 of {found[0].trainable:,} parameters, float32"
    report.publish([_totals(title, found), _per_ps(found)], arguments.json)


def make_model(arguments: Arguments, rank: int | None) -> Any:
    """Make the compiled language model; in a strategy's scope its variables lie on the ps.

    Args:
        arguments: Its sizes.
        rank: Of the adapters of its queries and values; None trains everything.
    """
    import keras
    from keras_nlp import models

    backbone = models.GPT2Backbone(
        vocabulary_size=arguments.vocabulary,
        num_layers=arguments.layers,
        num_heads=HEADS,
        hidden_dim=arguments.width,
        intermediate_dim=4 * arguments.width,
        max_sequence_length=arguments.sequence,
    )
    if rank is not None:
        backbone.enable_lora(rank)
    model = models.GPT2CausalLM(backbone, preprocessor=None)
    model.compile(keras.optimizers.Adam(1e-4))
    return model


def count(model: Any, training: str, arguments: Arguments) -> Found:
    """Train the model, and count what each ps receives and sends."""
    epochs = _traffic_of_epochs(model, arguments)
    steps = arguments.steps
    per_step = [_mean(list(of_ps), steps) for of_ps in zip(*epochs[1:], strict=True)]
    first = [
        Traffic(
            received_bytes=whole.received_bytes - steps * step.received_bytes,
            sent_bytes=whole.sent_bytes - steps * step.sent_bytes,
        )
        for whole, step in zip(epochs[0], per_step, strict=True)
    ]
    trainable = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    return Found(training=training, trainable=trainable, per_step=per_step, first=first)


def make_data(arguments: Arguments) -> Any:
    """Return the function from which each worker builds its endless dataset."""

    def dataset(context: Any) -> Any:
        import tensorflow as tf

        def batch(number: Any) -> tuple[Any, Any]:
            seed = tf.stack([tf.cast(context.input_pipeline_id, tf.int64), number])
            shape = [BATCH, arguments.sequence + 1]
            ids = tf.random.stateless_uniform(shape, seed, 0, arguments.vocabulary, tf.int32)
            mask = tf.ones([BATCH, arguments.sequence], tf.bool)
            return {"token_ids": ids[:, :-1], "padding_mask": mask}, ids[:, 1:]

        return tf.data.Dataset.counter().map(batch).prefetch(2)

    return dataset


def _traffic_of_epochs(model: Any, arguments: Arguments) -> list[list[Traffic]]:
    """Train, and return for each epoch what each ps received and sent."""
    import keras

    config = tfps.TFConfig.from_environment()
    assert config is not None  # Every task of the local cluster has one.
    pids = traffic.listeners(config.cluster.ps, traffic.sockets())
    counters: list[list[Traffic]] = []

    def read(*_: Any) -> None:
        counters.append(traffic.of_processes(pids, traffic.sockets()))

    model.fit(
        make_data(arguments),
        epochs=1 + arguments.rounds,
        steps_per_epoch=arguments.steps,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=read, on_epoch_end=read)],
        verbose=0,
    )
    return [
        [now.since(then) for now, then in zip(after, before, strict=True)]
        for before, after in zip(counters[::2], counters[1::2], strict=True)
    ]


def _mean(epochs: Sequence[Traffic], steps: int) -> Traffic:
    """Return the traffic of a step, the mean of all steps of some epochs."""
    total = len(epochs) * steps
    return Traffic(
        received_bytes=round(sum(epoch.received_bytes for epoch in epochs) / total),
        sent_bytes=round(sum(epoch.sent_bytes for epoch in epochs) / total),
    )


def _totals(title: str, found: Sequence[Found]) -> report.Table:
    rows: list[list[report.Cell]] = []
    for model in found:
        numbers = FLOAT_BYTES * model.trainable
        pushed, pulled = _sum(model.per_step)
        _, first = _sum(model.first)
        part = (pushed + pulled) / sum(_sum(found[0].per_step))
        moved = [numbers / 1e6, pushed / 1e6, pulled / 1e6, 100 * part, first / 1e6]
        rows.append([model.training, model.trainable, *moved])
    return report.Table(
        title=f"{title}. MB per step, {WORKERS} workers, {PS} ps together",
        columns=["trained", "parameters", "numbers", "pushed", "pulled", "% of all", "first pull"],
        rows=rows,
        note="numbers: what the float32 values of the trained parameters take, one way. first "
        "pull: MB that the first epoch pulled beyond its steps, by all workers together.",
    )


def _per_ps(found: Sequence[Found]) -> report.Table:
    rows: list[list[report.Cell]] = []
    for model in found:
        for ps, (step, first) in enumerate(zip(model.per_step, model.first, strict=True)):
            moved = [step.received_bytes / 1e6, step.sent_bytes / 1e6, first.sent_bytes / 1e6]
            rows.append([model.training, ps, *moved])
    return report.Table(
        title="The same by ps",
        columns=["trained", "ps", "pushed", "pulled", "first pull"],
        rows=rows,
        note="Counted by TCP connections of each ps, so without headers.",
    )


def _sum(per_ps: Sequence[Traffic]) -> tuple[int, int]:
    """Return the bytes that all ps received and sent."""
    return sum(ps.received_bytes for ps in per_ps), sum(ps.sent_bytes for ps in per_ps)


if __name__ == "__main__":
    main()
