"""Inputs: every form of data that plain Keras's fit takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import keras_nlp
import numpy as np
import pytest
import tensorflow as tf

from tests.cluster.contract.conftest import Make, assert_learns, same_evaluation, same_training

RANDOM = np.random.default_rng(0)
N = 48
X = RANDOM.normal(size=(N, 3)).astype("float32")
Y = X[:, :1] * 2 + 1
IDS = RANDOM.integers(1, 30, (N, 4))
WORDS = np.array(["red", "green", "blue", "black"])
TEXTS = np.array([" ".join(RANDOM.choice(WORDS, 3)) for _ in range(N)])
IS_RED = np.array([["red" in text] for text in TEXTS]).astype("float32")


def two_in_two_out() -> keras.Model:
    a, b = keras.Input((3,), name="a"), keras.Input((4,), name="b", dtype="int32")
    embedded = keras.layers.Flatten()(keras.layers.Embedding(30, 4)(b))
    joined = keras.layers.Concatenate()([a, embedded])
    outputs = {
        "value": keras.layers.Dense(1, name="value")(joined),
        "kind": keras.layers.Dense(2, name="kind")(joined),
    }
    return keras.Model({"a": a, "b": b}, outputs)


def test_dictionaries_of_inputs_outputs_losses_and_weights(make: Make) -> None:
    kinds = (X[:, 0] > 0).astype("int32")

    def compiled() -> keras.Model:
        model = two_in_two_out()
        entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(
            keras.optimizers.Adam(0.02),
            loss={"value": "mse", "kind": entropy},
            loss_weights={"value": 0.5, "kind": 2.0},
            metrics={"value": ["mae"], "kind": ["accuracy"]},
        )
        return model

    model, plain = make(compiled)
    data = {"a": X, "b": IDS}, {"value": Y, "kind": kinds}
    same_evaluation(model, plain, *data)
    assert_learns(model, *data)


def test_validation_split_takes_the_last_examples(make: Make) -> None:
    model, plain = make(lambda: regressor())
    histories = [
        m.fit(X, Y, validation_split=0.25, batch_size=N, shuffle=False, verbose=0).history
        for m in (model, plain)
    ]
    assert set(histories[0]) == set(histories[1]) == {"loss", "val_loss"}
    np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=1e-5)
    np.testing.assert_allclose(histories[0]["val_loss"], histories[1]["val_loss"], rtol=1e-5)


def test_class_weight_and_sample_weight(make: Make) -> None:
    def classifier() -> keras.Model:
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", entropy, weighted_metrics=["accuracy"])
        return model

    labels = (X[:, :1] > 0).astype("int32")
    weights = np.linspace(0.5, 2, N)
    for arguments in ({"class_weight": {0: 1.0, 1: 3.0}}, {"sample_weight": weights}):
        model, plain = make(classifier)
        histories = [
            m.fit(X, labels, batch_size=N, verbose=0, **arguments).history for m in (model, plain)
        ]
        for name, values in histories[1].items():
            np.testing.assert_allclose(histories[0][name], values, rtol=1e-5)
    same_evaluation(model, plain, X, labels, sample_weight=weights)


def test_masks_reach_the_layers_that_use_them(make: Make) -> None:
    def masked() -> keras.Model:
        ids = keras.Input((4,), dtype="int32")
        embedded = keras.layers.Embedding(30, 4, mask_zero=True)(ids)
        model = keras.Model(ids, keras.layers.Dense(1)(keras.layers.LSTM(4)(embedded)))
        model.compile(keras.optimizers.SGD(0.05), "mse")
        return model

    ids = np.where(RANDOM.random((N, 4)) < 0.3, 0, IDS)
    model, plain = make(masked)
    same_training(model, plain, ids, Y)


@pytest.mark.parametrize("kind", ["ragged", "sparse"])
def test_ragged_and_sparse_ids(make: Make, kind: str) -> None:
    def embedded() -> keras.Model:
        ids = keras.Input((None,), dtype="int32", ragged=kind == "ragged", sparse=kind == "sparse")
        rows = keras.layers.Embedding(30, 4)(ids)
        pooled = keras.layers.Lambda(lambda r: tf.reduce_mean(r, axis=1), output_shape=(4,))(rows)
        model = keras.Model(ids, keras.layers.Dense(1)(pooled))
        model.compile(keras.optimizers.Adam(0.02), "mse")
        return model

    if kind == "ragged":
        lengths = RANDOM.integers(1, 5, N)
        ids: Any = tf.RaggedTensor.from_row_lengths(RANDOM.integers(1, 30, lengths.sum()), lengths)
    else:
        ids = tf.sparse.from_dense(np.where(RANDOM.random((N, 4)) < 0.3, 0, IDS))
    model, plain = make(embedded)
    data = tf.data.Dataset.from_tensor_slices((ids, Y)).batch(8)
    same_evaluation(model, plain, data)
    assert_learns(model, data)
    (program,) = model.train_function.by_spec.values()
    assert [v.name for v in program.demand.tables] == ["embeddings"]  # only rows are pulled


def test_string_inputs_through_lookups_in_the_model(make: Make) -> None:
    def looked_up() -> keras.Model:
        words = keras.Input((1,), dtype="string")
        first = keras.layers.StringLookup(vocabulary=[*WORDS])(words)
        second = keras.layers.Hashing(11)(words)
        rows = keras.layers.Embedding(5, 4)(first) + keras.layers.Embedding(11, 4)(second)
        model = keras.Model(words, keras.layers.Dense(1)(keras.layers.Flatten()(rows)))
        model.compile(keras.optimizers.SGD(0.05), "mse")
        return model

    words = tf.constant(RANDOM.choice([*WORDS, "unknown"], (N, 1)))
    targets = tf.cast(words == "red", tf.float32)
    model, plain = make(looked_up)
    same_training(model, plain, tf.data.Dataset.from_tensors((words, targets)))


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_text_vectorization_inside_and_outside_of_the_model(make: Make, where: str) -> None:
    vectorize = keras.layers.TextVectorization(output_sequence_length=3)
    vectorize.adapt(TEXTS)
    ids_of = {"inside": lambda t: t, "outside": vectorize}[where]

    def reader() -> keras.Model:
        inside = where == "inside"
        given = keras.Input((), dtype="string") if inside else keras.Input((3,), dtype="int64")
        rows = keras.layers.Embedding(8, 4)(vectorize(given) if inside else given)
        model = keras.Model(given, keras.layers.Dense(1)(keras.layers.Flatten()(rows)))
        model.compile(keras.optimizers.SGD(0.05), "mse")
        return model

    data = tf.data.Dataset.from_tensors((TEXTS, IS_RED))
    data = data.map(lambda text, y: (ids_of(text), y))
    model, plain = make(reader)
    same_training(model, plain, data)


def test_adapted_normalization(make: Make) -> None:
    normalize = keras.layers.Normalization()
    normalize.adapt(X * 7 + 3)

    def normalized() -> keras.Model:
        model = keras.Sequential([keras.Input((3,)), normalize, keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.05), "mse")
        return model

    model, plain = make(normalized)
    same_training(model, plain, X * 7 + 3, Y)


class Bag(keras.layers.Layer):
    """The means of the rows of sparse ids."""

    def build(self, input_shape: Any) -> None:
        self.table = self.add_weight(shape=(30, 4), name="table")

    def call(self, ids: Any) -> Any:
        table = tf.convert_to_tensor(self.table)
        return tf.nn.safe_embedding_lookup_sparse(table, ids, None, combiner="mean")


class Rag(keras.layers.Layer):
    """The means of rows of any length, which are filled up with zeros."""

    def call(self, x: Any) -> Any:
        return tf.reduce_mean(tf.cast(x.to_tensor(), tf.float32) / 30, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["sparse", pytest.param("ragged", marks=pytest.mark.slow)])
def test_layers_that_take_sparse_or_ragged_tensors_alone(make: Make, kind: str) -> None:
    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first = Bag() if kind == "sparse" else Rag()
            self.last = keras.layers.Dense(1)

        def call(self, x: Any) -> Any:
            return self.last(tf.ensure_shape(self.first(x), [None, 4 if kind == "sparse" else 1]))

    def compiled() -> keras.Model:
        model = Model()
        model.compile("sgd", "mse", metrics=["mae"])
        return model

    sparse = tf.sparse.from_dense(IDS)
    x = sparse if kind == "sparse" else tf.RaggedTensor.from_sparse(sparse)
    model, plain = make(compiled)
    plain(x)
    model(x)
    model.set_weights(plain.get_weights())
    same_training(model, plain, tf.data.Dataset.from_tensors((x, Y)))


class Left(keras.layers.Layer):
    """Its first input, and its second if there is one."""

    def call(self, a: Any, b: Any = None) -> Any:
        return a if b is None else a + b


def test_an_input_may_be_none(make: Make) -> None:
    def optional() -> keras.Model:
        a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b", optional=True)
        model = keras.Model({"a": a, "b": b}, keras.layers.Dense(1)(Left()(a, b)))
        model.compile("sgd", "mse")
        return model

    model, plain = make(optional)
    given = {"a": X, "b": None}, Y
    for one in (model, plain):
        one.fit(*given, batch_size=N, shuffle=False, verbose=0)
        one.fit(tf.data.Dataset.from_tensors(given), shuffle=False, verbose=0)
        one.fit((batch for batch in [given]), shuffle=False, verbose=0)
        one.train_on_batch(*given)
    same_evaluation(model, plain, *given, batch_size=N)
    with pytest.warns(UserWarning, match="structure of `inputs`") as warned:
        model.predict((X, None), verbose=0)
    assert len([w for w in warned if "structure of `inputs`" in str(w.message)]) == 1
    with pytest.raises(ValueError, match="not optional"):
        model.fit({"a": None, "b": X}, Y, verbose=0)


class Sequence(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        return X[:8], Y[:8]


@pytest.mark.parametrize("kind", ["PyDataset", "generator", "from_generator"])
def test_the_chief_deals_out_what_only_it_can_read(make: Make, kind: str) -> None:
    model, _ = make(lambda: regressor())
    sequence = Sequence()
    spec = (tf.TensorSpec([None, 3]), tf.TensorSpec([None, 1]))

    def batches() -> Iterator[Any]:
        yield from (sequence[index] for index in range(2))

    data: Any = {
        "PyDataset": sequence,
        "generator": batches(),
        "from_generator": tf.data.Dataset.from_generator(batches, output_signature=spec),
    }[kind]
    model.fit(data, shuffle=False, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 2
    if kind == "from_generator":
        predicted = model.predict(data, verbose=0)
        np.testing.assert_allclose(predicted, model.predict(np.tile(X[:8], (2, 1)), verbose=0))


def regressor() -> keras.Model:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def test_lookups_in_the_users_own_pipeline(make: Make) -> None:
    lookup = keras.layers.StringLookup(vocabulary=[*WORDS])
    hashing = keras.layers.Hashing(11)

    def looked_up() -> keras.Model:
        ids = keras.Input((2,), dtype="int64")
        rows = keras.layers.Flatten()(keras.layers.Embedding(16, 4)(ids))
        model = keras.Model(ids, keras.layers.Dense(1)(rows))
        model.compile(keras.optimizers.SGD(0.05), "mse")
        return model

    words = RANDOM.choice([*WORDS, "unknown"], N)
    targets = (words == "red").astype("float32")[:, None]
    data = tf.data.Dataset.from_tensors((words, targets))
    data = data.map(lambda w, y: (tf.stack([lookup(w), 5 + hashing(w)], axis=1), y))
    model, plain = make(looked_up)
    same_training(model, plain, data)


@pytest.mark.slow
def test_weights_in_a_dataset_and_class_weights_for_one(make: Make) -> None:
    def classifier() -> keras.Model:
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    labels = (X[:, 0] > 0).astype("int32")
    weighted = tf.data.Dataset.from_tensors((X, labels, np.linspace(0.5, 2, N)))
    plain_data = tf.data.Dataset.from_tensors((X, labels))
    for data, arguments in [(weighted, {}), (plain_data, {"class_weight": {0: 1.0, 1: 3.0}})]:
        model, plain = make(classifier)
        losses = [
            m.fit(data, verbose=0, epochs=2, **arguments).history["loss"] for m in (model, plain)
        ]
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


@pytest.mark.slow
def test_a_keras_nlp_preprocessor_mapped_over_the_users_dataset(make: Make) -> None:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    preprocessor = keras_nlp.models.BertTextClassifierPreprocessor(
        keras_nlp.tokenizers.BertTokenizer(vocabulary), sequence_length=5
    )

    def classifier() -> keras.Model:
        backbone = keras_nlp.models.BertBackbone(
            vocabulary_size=9, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16,
            max_sequence_length=5, dropout=0.0,
        )  # fmt: skip
        task = keras_nlp.models.BertTextClassifier(
            backbone, num_classes=2, preprocessor=None, dropout=0.0
        )
        entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        task.compile(keras.optimizers.SGD(0.05), entropy)
        return task

    data = tf.data.Dataset.from_tensors((TEXTS, IS_RED[:, 0].astype("int32")))
    data = data.map(preprocessor)
    model, plain = make(classifier)
    same_training(model, plain, data)
