"""The parts that models are made of, each from one form of tensor to the same or another form.

A vector has the shape `(batch, 6)`, a sequence `(batch, time, 6)`, an image
`(batch, height, width, 3)`, and ids `(batch, 3)`. A part that keeps the form can be left out of a
model, which then still is one.
"""

from __future__ import annotations

import dataclasses

VOCABULARY = 64
IDS = 3


@dataclasses.dataclass(frozen=True)
class Block:
    """Some layers, and how they are called.

    Attributes:
        call: an expression of the tensor `h` and of the layers, `{0}`, `{1}`, ...
        layers: the expressions that make the layers; a later one may name an earlier one.
        tags: what comparisons and tables of outcomes must know.
    """

    call: str
    layers: tuple[str, ...] = ()
    tags: frozenset[str] = frozenset()

    @property
    def is_plain(self) -> bool:
        """Whether it is one layer, called on `h`, as in a Sequential model."""
        return self.call == "{0}(h)" and len(self.layers) == 1


def one(layer: str, *tags: str) -> Block:
    """Return the block of a single layer."""
    return Block("{0}(h)", (layer,), frozenset(tags))


def _of(*layers: str) -> list[Block]:
    return [one(layer) for layer in layers]


_ANY = [
    *_of(
        "layers.BatchNormalization(momentum=0.9)",
        "layers.BatchNormalization(center=False, momentum=0.5)",
        "layers.LayerNormalization()",
        "layers.RMSNormalization()",
        "layers.UnitNormalization()",
        "layers.Activation('gelu')",
        "layers.ReLU(negative_slope=0.1)",
        "layers.LeakyReLU()",
        "layers.ELU()",
        "layers.Rescaling(0.5, offset=0.1)",
        "layers.Identity()",
        "layers.Lambda(lambda t: t * 0.5)",
        "layers.ActivityRegularization(l2=0.01)",
        "parts.Counter()",
        "parts.Scale()",
    ),
    one("parts.RunningMean()", "reads state it wrote"),
    one("parts.Largest()", "reads state it wrote"),
    one("parts.InControlFlow()", "control flow"),
    one("layers.Dropout(0.3)", "random"),
    one("layers.GaussianNoise(0.1)", "random"),
    one("layers.GaussianDropout(0.2)", "random"),
    one("layers.AlphaDropout(0.2)", "random"),
]

_DENSE = [
    *_of(
        "layers.Dense(6, activation='tanh')",
        "layers.Dense(6, use_bias=False)",
        "layers.Dense(6, activation='relu', kernel_regularizer='l2')",
        "layers.Dense(6, kernel_regularizer=keras.regularizers.L1L2(0.01, 0.01))",
        "layers.Dense(6, activity_regularizer=keras.regularizers.L1(0.01))",
        "layers.Dense(6, kernel_constraint='non_neg')",
        "layers.Dense(6, kernel_constraint=keras.constraints.MaxNorm(0.5, axis=1))",
        "layers.Dense(6, kernel_initializer='orthogonal', bias_initializer='ones')",
        "layers.PReLU()",
        "parts.Residual(6)",
        "keras.Sequential([layers.Dense(5, activation='relu'), layers.Dense(6)])",
        "keras.Sequential([layers.Dense(6), layers.BatchNormalization()])",
    ),
    Block("{0}({0}(h))", ("layers.Dense(6, activation='tanh')",)),
    Block("h + {0}(h)", ("layers.Dense(6)",)),
    Block("h * {0}(h)", ("layers.Dense(6, activation='sigmoid')",)),
    Block("{1}({0}(h))", ("layers.Dense(5)", "parts.Transposed({0})")),
    Block("{1}([h, {0}(h)])", ("layers.Dense(6)", "layers.Average()")),
    Block("{1}([h, {0}(h)])", ("layers.Dense(6)", "layers.Maximum()")),
    Block("{1}([h, {0}(h)])", ("layers.Dense(6)", "layers.Subtract()")),
    Block("ops.stop_gradient({0}(h)) + h", ("layers.Dense(6)",)),
    Block("{0}(h) + 0.0 * {1}(h)", ("layers.Dense(6)", "layers.Dense(6)")),
]

VECTOR = [
    *_ANY,
    *_DENSE,
    *_of(
        "layers.EinsumDense('ab,bc->ac', output_shape=6)",
        "layers.GroupNormalization(groups=2)",
        "layers.Normalization(mean=0.1, variance=2.0)",
        "layers.SpectralNormalization(layers.Dense(6))",
        "layers.Dense(6, kernel_constraint=keras.constraints.MaxNorm(0.5, axis=0))",
        "layers.Dense(6, kernel_constraint=keras.constraints.UnitNorm(axis=0))",
        "layers.Softmax()",
    ),
    Block("{1}({0}(h))", ("layers.Reshape((2, 3))", "layers.Flatten()")),
    Block("{1}({0}(h))", ("layers.RepeatVector(2)", "layers.GRU(6)")),
]

SEQUENCE = [
    *_ANY,
    *_DENSE,
    *_of(
        "layers.Conv1D(6, 2, padding='same')",
        "layers.Conv1D(6, 3, padding='causal', dilation_rate=2)",
        "layers.SeparableConv1D(6, 2, padding='same')",
        "layers.DepthwiseConv1D(2, padding='same')",
        "layers.Conv1DTranspose(6, 2, padding='same')",
        "layers.LSTM(6, return_sequences=True)",
        "layers.GRU(6, return_sequences=True, reset_after=False)",
        "layers.SimpleRNN(6, return_sequences=True, go_backwards=True)",
        "layers.Bidirectional(layers.LSTM(3, return_sequences=True))",
        "layers.RNN([layers.GRUCell(4), layers.LSTMCell(6)], return_sequences=True)",
        "layers.TimeDistributed(layers.Dense(6))",
        "layers.AveragePooling1D(2, strides=1, padding='same')",
        "layers.MaxPooling1D(2, strides=1, padding='same')",
        "layers.ZeroPadding1D(1)",
        "layers.Masking(0.0)",
    ),
    one("layers.SpatialDropout1D(0.2)", "random"),
    Block("{0}(h, h)", ("layers.MultiHeadAttention(2, 3)",)),
    Block("{0}(h, h, use_causal_mask=True)", ("layers.MultiHeadAttention(2, 3)",)),
    Block("{0}(h, h)", ("layers.GroupQueryAttention(3, 2, 1)",)),
    Block("{0}([h, h])", ("layers.Attention(use_scale=True)",)),
    Block("{0}([h, h])", ("layers.AdditiveAttention()",)),
]

IMAGE = [
    *_ANY,
    *_of(
        "layers.Conv2D(3, 2, padding='same', activation='relu')",
        "layers.Conv2D(3, 3, padding='same', kernel_regularizer='l2')",
        "layers.DepthwiseConv2D(2, padding='same')",
        "layers.SeparableConv2D(3, 2, padding='same')",
        "layers.Conv2DTranspose(3, 2, padding='same')",
        "layers.GroupNormalization(groups=1)",
        "layers.MaxPooling2D(2, strides=1, padding='same')",
        "layers.AveragePooling2D(2, strides=1, padding='same')",
        "layers.UpSampling2D(2)",
        "layers.ZeroPadding2D(1)",
    ),
    one("layers.SpatialDropout2D(0.2)", "random"),
    one("layers.RandomFlip()", "random"),
    Block("h + {0}(h)", ("layers.Conv2D(3, 1)",)),
]

EMBEDDINGS = _of(
    f"layers.Embedding({VOCABULARY}, 6)",
    f"layers.Embedding({VOCABULARY}, 6, mask_zero=True)",
    f"layers.Embedding({VOCABULARY}, 6, embeddings_regularizer='l2')",
    f"layers.Embedding({VOCABULARY}, 6, embeddings_constraint='non_neg')",
    f"layers.ReversibleEmbedding({VOCABULARY}, 6)",
)
EMBEDDINGS += [
    Block("{0}(h) + {1}(h)", (f"layers.Embedding({VOCABULARY}, 6)",) * 2),
    Block(
        "{0}(h) + {0}(h[:, ::-1])",
        (f"layers.Embedding({VOCABULARY}, 6)",),
        frozenset({"repeated ids"}),
    ),
    Block("{1}({0}(h))", (f"layers.Embedding({VOCABULARY}, 4)", "layers.Dense(6)")),
]

TO_VECTOR = {
    "vector": [],
    "sequence": [
        *_of(
            "layers.GlobalAveragePooling1D()",
            "layers.GlobalMaxPooling1D()",
            "layers.LSTM(6)",
            "layers.GRU(6)",
            "layers.SimpleRNN(6)",
            "layers.Bidirectional(layers.GRU(3))",
            "layers.RNN(layers.StackedRNNCells([layers.SimpleRNNCell(4), layers.LSTMCell(6)]))",
        ),
        Block("{1}({0}(h))", ("layers.Flatten()", "layers.Dense(6)")),
    ],
    "image": [
        Block("{1}({0}(h))", ("layers.GlobalAveragePooling2D()", "layers.Dense(6)")),
        Block("{1}({0}(h))", ("layers.GlobalMaxPooling2D()", "layers.Dense(6)")),
        Block("{1}({0}(h))", ("layers.Flatten()", "layers.Dense(6, activation='relu')")),
        Block(
            "{2}({1}({0}(h)))",
            ("layers.Reshape((-1, 3))", "layers.LSTM(4)", "layers.Dense(6)"),
        ),
    ],
}
"""The last block of a tower, by the form that it takes."""

KEEPS = {"vector": VECTOR, "sequence": SEQUENCE, "image": IMAGE}
"""The blocks that keep a form."""

MERGES = [
    Block("{0}([LEFT, RIGHT])", ("layers.Add()",)),
    Block("{0}([LEFT, RIGHT])", ("layers.Multiply()",)),
    Block("{1}({0}([LEFT, RIGHT]))", ("layers.Concatenate()", "layers.Dense(6)")),
    Block("{1}({0}([LEFT, RIGHT]))", ("layers.Dot(1)", "layers.Dense(6)")),
]
