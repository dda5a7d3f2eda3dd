"""The models and their data, the same for the project and every peer.

A model is written once for both Kerases: each function takes the module, `keras` or `tf_keras`.
PyTorch's versions, in `torch_ddp.py`, have the same parameters and learn from the same batches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from benchmarks.encoder import BATCH, HEADS, LAYERS, SEQUENCE, VOCABULARY, WIDTH

ModelName = Literal["encoder", "recommender", "linear"]
Batches = tuple[np.ndarray, np.ndarray]

POOL = 64
SEED = 11
TABLE_ROWS = 10_000_000
ROW_WIDTH = 16
COLUMNS = 26
HIDDEN = (64, 32)
FEATURES = 16
ENCODER_RATE = 1e-4
RECOMMENDER_RATE = 0.01
LINEAR_RATE = 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chosen:
    """The arguments of every contender.

    Attributes:
        model: Which model it trains.
        rows: Rows of the recommender's table.
        steps: Steps of a turn, over all workers; one batch each.
    """

    model: ModelName
    rows: int = TABLE_ROWS
    steps: int

    @property
    def case(self) -> Case:
        """The model."""
        return CASES[self.model](self.rows)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A model and its data.

    Attributes:
        batch: Examples in a batch, of each worker.
        draw: Draws `POOL` batches at once: inputs and targets, `(POOL, batch, ...)`.
        make: Makes the model from the layers of `keras` or `tf_keras`.
        optimizer: Makes its optimizer from them.
        loss: Makes its loss from them.
        table: Rows and width of its embedding table; None without one.
    """

    batch: int
    draw: Callable[[np.random.Generator], Batches]
    make: Callable[[Any], Any]
    optimizer: Callable[[Any], Any]
    loss: Callable[[Any], Any]
    table: tuple[int, int] | None = None

    def compiled(self, keras: Any, steps_per_execution: int = 1) -> Any:
        """Make the model and compile it; in a strategy's scope its variables lie on the ps."""
        model = self.make(keras)
        optimizer, loss = self.optimizer(keras), self.loss(keras)
        model.compile(optimizer, loss, steps_per_execution=steps_per_execution)
        return model

    def batches(self) -> Batches:
        """Return the `POOL` batches that all contenders use: inputs and targets."""
        return self.draw(np.random.default_rng(SEED))

    def dataset(self, *_: Any) -> Any:
        """Return the endless dataset of a worker: the batches repeated, in its own order."""
        import tensorflow as tf

        data = tf.data.Dataset.from_tensor_slices(self.batches())
        return data.shuffle(POOL).repeat().prefetch(4)

    @property
    def unique_rows(self) -> float:
        """Unique rows of the table that a batch looks up, the mean of all batches."""
        if self.table is None:
            return 0.0
        return float(np.mean([len(np.unique(ids)) for ids in self.batches()[0]]))


def encoder(rows: int = 0) -> Case:
    """Return the reference encoder of `benchmarks.encoder`, written for both Kerases."""
    del rows  # Its table is the vocabulary.

    def make(keras: Any) -> Any:
        layers = keras.layers
        ids = keras.Input((SEQUENCE,), dtype="int32")
        hidden = _positions(keras)(layers.Embedding(VOCABULARY, WIDTH)(ids))
        for _ in range(LAYERS):
            attended = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(hidden, hidden)
            hidden = layers.LayerNormalization(epsilon=1e-5)(layers.Add()([hidden, attended]))
            wide = layers.Dense(4 * WIDTH, activation="relu")(hidden)
            added = layers.Add()([hidden, layers.Dense(WIDTH)(wide)])
            hidden = layers.LayerNormalization(epsilon=1e-5)(added)
        pooled = layers.GlobalAveragePooling1D()(hidden)
        return keras.Model(ids, layers.Dense(2)(pooled))

    def draw(random: np.random.Generator) -> Batches:
        ids = draw_ranks(random, VOCABULARY, (POOL, BATCH, SEQUENCE))
        return ids, ids[:, :, :1] % 2

    return Case(
        batch=BATCH,
        draw=draw,
        make=make,
        optimizer=lambda keras: keras.optimizers.Adam(ENCODER_RATE),
        loss=lambda keras: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        table=(VOCABULARY, WIDTH),
    )


def recommender(rows: int) -> Case:
    """Return a table of `rows` rows that 26 columns of ids look up, and small dense layers."""
    batch = 256

    def make(keras: Any) -> Any:
        layers = keras.layers
        ids = keras.Input((COLUMNS,), dtype="int32")
        hidden = layers.Flatten()(layers.Embedding(rows, ROW_WIDTH)(ids))
        for width in HIDDEN:
            hidden = layers.Dense(width, activation="relu")(hidden)
        return keras.Model(ids, layers.Dense(1)(hidden))

    def draw(random: np.random.Generator) -> Batches:
        ranks = draw_ranks(random, rows, (POOL, batch, COLUMNS)).astype(np.int64)
        # Frequent ids lie anywhere in the table, elsewhere for each column, as hashed ones do.
        ids = (ranks * 1_000_003 + np.arange(COLUMNS) * 7_368_787) % rows
        clicked = (ranks[:, :, :3].sum(axis=2, keepdims=True) % 3 == 0).astype(np.float32)
        return ids.astype(np.int32), clicked

    return Case(
        batch=batch,
        draw=draw,
        make=make,
        optimizer=lambda keras: keras.optimizers.Adagrad(RECOMMENDER_RATE),
        loss=lambda keras: keras.losses.BinaryCrossentropy(from_logits=True),
        table=(rows, ROW_WIDTH),
    )


def linear(rows: int = 0) -> Case:
    """Return a linear model, whose steps are cheap compared with dispatching them."""
    del rows
    batch = 32

    def make(keras: Any) -> Any:
        return keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(1)])

    def draw(random: np.random.Generator) -> Batches:
        x = random.normal(size=(POOL, batch, FEATURES)).astype(np.float32)
        # Without noise the gradients would fade to denormal numbers, which are slow.
        noise = random.normal(size=(POOL, batch, 1)).astype(np.float32)
        return x, x.sum(axis=2, keepdims=True) + noise

    return Case(
        batch=batch,
        draw=draw,
        make=make,
        optimizer=lambda keras: keras.optimizers.SGD(LINEAR_RATE),
        loss=lambda keras: keras.losses.MeanSquaredError(),
    )


CASES: dict[ModelName, Callable[[int], Case]] = {
    "encoder": encoder,
    "recommender": recommender,
    "linear": linear,
}


def draw_ranks(random: np.random.Generator, count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Draw ranks from 0 to `count - 1`, int32: rank r with probability near 1/(r + 1) (Zipf)."""
    ranks = np.exp(random.random(shape) * np.log(count + 1)) - 1
    return np.minimum(ranks.astype(np.int32), count - 1)


def _positions(keras: Any) -> Any:
    """Return a layer that adds position embeddings to `(batch, SEQUENCE, WIDTH)`."""

    class Positions(keras.layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.table = self.add_weight(
                name="table", shape=(SEQUENCE, WIDTH), initializer="glorot_uniform"
            )

        def call(self, inputs: Any) -> Any:
            return inputs + self.table

    return Positions()
