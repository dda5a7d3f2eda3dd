"""Draw a case from a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence

from benchmarks.fuzz import blocks, optimizers
from benchmarks.fuzz.blocks import Block
from benchmarks.fuzz.case import DEFAULT_STEP, NEEDS_VARIABLES, TAGGED_STEPS, Case, Head, Tower

PLAIN_STEPS = (
    "steps.Tape",
    "steps.Penalty",
    "steps.Teacher",
    "steps.TwoOptimizers",
    "steps.Iterations",
)
_PARTITIONERS = "tf.distribute.experimental.partitioners"
PARTITIONERS = (
    None,
    f"{_PARTITIONERS}.FixedShardsPartitioner(2)",
    f"{_PARTITIONERS}.FixedShardsPartitioner(2)",
    f"{_PARTITIONERS}.FixedShardsPartitioner(3)",
    f"{_PARTITIONERS}.MinSizePartitioner(48, max_shards=2)",
)
CODECS = ("tfps.wire.Lossless()", "tfps.wire.Identity()")
EXACT_POLICIES = ("tfps.update.Synchronous()", "tfps.update.SemiSynchronous(quorum=1)")
POLICIES = (
    "tfps.update.Asynchronous(max_staleness=2)",
    "tfps.update.Synchronous()",
    "tfps.update.SemiSynchronous(quorum=2)",
    "tfps.update.BoundedStaleness(1)",
    "tfps.update.Local(2)",
    "tfps.update.Local(2, update=tfps.update.Asynchronous())",
)

CALLBACKS = (
    "keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.5 * rate)",
    "keras.callbacks.EarlyStopping('loss', patience=0)",
    "keras.callbacks.ReduceLROnPlateau('loss', patience=0)",
    "keras.callbacks.TerminateOnNaN()",
)

_HEADS = {
    "regression": (
        ["layers.Dense(2, name='NAME')", "layers.Dense(2, activation='softplus', name='NAME')"],
        ["'mse'", "'mae'", "'huber'", "'log_cosh'", "keras.losses.MeanSquaredLogarithmicError()"],
        [
            "'mae'",
            "'mse'",
            "keras.metrics.RootMeanSquaredError()",
            "keras.metrics.R2Score()",
            "keras.metrics.CosineSimilarity()",
        ],
        "rng.uniform(0, 2, (n, 2)).astype('f4')",
    ),
    "binary": (
        ["layers.Dense(1, activation='sigmoid', name='NAME')"],
        ["'binary_crossentropy'", "keras.losses.BinaryFocalCrossentropy()", "'hinge'"],
        [
            "keras.metrics.BinaryAccuracy()",
            "keras.metrics.AUC(num_thresholds=20)",
            "keras.metrics.Precision()",
            "keras.metrics.Recall()",
            "keras.metrics.FalsePositives()",
        ],
        "rng.integers(0, 2, (n, 1)).astype('f4')",
    ),
    "classes": (
        ["layers.Dense(3, activation='softmax', name='NAME')"],
        ["'sparse_categorical_crossentropy'", "keras.losses.SparseCategoricalCrossentropy()"],
        [
            "'accuracy'",
            "keras.metrics.SparseTopKCategoricalAccuracy(2)",
            "keras.metrics.SparseCategoricalCrossentropy()",
            "keras.metrics.MeanIoU(3, sparse_y_pred=False)",
        ],
        "rng.integers(0, 3, n).astype('i4')",
    ),
    "one hot": (
        ["layers.Dense(3, activation='softmax', name='NAME')"],
        [
            "keras.losses.CategoricalCrossentropy(label_smoothing=0.1)",
            "keras.losses.CategoricalFocalCrossentropy()",
            "'kl_divergence'",
            "keras.losses.Dice()",
        ],
        [
            "keras.metrics.CategoricalAccuracy()",
            "keras.metrics.F1Score()",
            "keras.metrics.TopKCategoricalAccuracy(2)",
            "keras.metrics.OneHotMeanIoU(3)",
        ],
        "np.eye(3, dtype='f4')[rng.integers(0, 3, n)]",
    ),
}


def draw(seed: int, *, workers: int) -> Case:
    """Return the case of a seed.

    Args:
        seed: any int.
        workers: the number of workers; with several, policies that change numbers are drawn, too.
    """
    rng = random.Random(seed)
    style = rng.choice(["functional"] * 3 + ["sequential"] * 2 + ["subclassed"] * 2 + ["lazy"])
    num_inputs = 1 if style == "sequential" else rng.choice([1, 1, 2])
    towers = tuple(_tower(rng, style) for _ in range(num_inputs))
    merge = rng.choice(blocks.MERGES) if num_inputs == 2 else None
    trunk = _some(rng, blocks.VECTOR, rng.choice([0, 1, 1, 2]), style)
    if workers > 1 or rng.random() < 0.2:
        trunk += (blocks.one("parts.Probe()"), blocks.one("parts.Counter()"))
    num_outputs = 2 if style == "functional" and rng.random() < 0.2 else 1
    tasks = [rng.choice(list(_HEADS)) for _ in range(num_outputs)]
    repeats = any("repeated ids" in b.tags for tower in towers for b in tower.all)
    optimizer = rng.choice(sorted(optimizers.LINEAR)) if repeats else optimizers.draw(rng)
    if style == "lazy" and "ScheduleFree" in optimizer:
        style = "subclassed"  # plain Keras loses the values that it begins with if fit builds it
    has_ids = any(tower.form == "ids" for tower in towers)
    examples, batch = rng.choice([16, 20, 24]), rng.choice([4, 8])
    return Case(
        seed=seed,
        style=style,
        towers=towers,
        merge=merge,
        trunk=trunk,
        heads=tuple(_head(rng, task, index) for index, task in enumerate(tasks)),
        step=_step(rng, style),
        dtype=_dtype(rng, optimizer, [*trunk, *(b for tower in towers for b in tower.all)]),
        optimizer=optimizer,
        data=rng.choice(["arrays", "arrays", "dataset", "repeated dataset"]),
        packing=rng.choice(["dict", "tuple"]),
        examples=examples,
        batch=batch,
        weights=_weights(rng, tasks),
        validates=rng.random() < 0.25,
        epochs=rng.choice([1, 2, 3]),
        steps_per_execution=rng.choice([1, 1, 2, 3]),
        then=tuple(name for name in ("evaluate", "predict") if rng.random() < 0.25),
        strategy=_strategy(rng, workers, has_ids),
        callback=rng.choice([*[""] * 8, *CALLBACKS]),
        repeated_ids=workers > 1 or optimizer in optimizers.LINEAR,
    )


def _dtype(rng: random.Random, optimizer: str, drawn: Sequence[Block]) -> str:
    """Draw a dtype policy; Keras adds no losses of several dtypes, nor accumulates in float64."""
    dtype = rng.choice(["float32"] * 6 + ["mixed_bfloat16", "float64"])
    has_losses = any("egulariz" in layer for block in drawn for layer in block.layers)
    return "float32" if has_losses or "accumulation" in optimizer else dtype


def _weights(rng: random.Random, tasks: list[str]) -> str:
    if len(tasks) == 2:
        return ""
    return rng.choice(["", "", "sample", "class" if tasks == ["classes"] else ""])


def _some(
    rng: random.Random, choices: Sequence[Block], count: int, style: str
) -> tuple[Block, ...]:
    """Draw some blocks; layers of random numbers seldom, since they hide differences."""
    drawn = []
    while len(drawn) < count:
        block = rng.choice(choices)
        if style == "sequential" and not block.is_plain:
            continue
        if "random" in block.tags and rng.random() < 0.7:
            continue
        drawn.append(block)
    return tuple(drawn)


def _tower(rng: random.Random, style: str) -> Tower:
    form = rng.choice(["vector", "vector", "sequence", "image", "ids", "ids"])
    first = None
    if form == "ids":
        (first,) = _some(rng, blocks.EMBEDDINGS, 1, style)
    inside = "sequence" if form == "ids" else form
    kept = _some(rng, blocks.KEEPS[inside], rng.choice([0, 1, 1, 2]), style)
    last = None
    if inside != "vector":
        candidates = [b for b in blocks.TO_VECTOR[inside] if b.is_plain or style != "sequential"]
        last = rng.choice(candidates) if candidates else blocks.one("layers.Flatten()")
    return Tower(form, first, kept, last)


def _head(rng: random.Random, task: str, index: int) -> Head:
    outputs, losses, metrics, target = _HEADS[task]
    drawn = rng.sample(metrics, rng.choice([0, 1, 2]))
    if index == 0:
        drawn.append("parts.CountExamples()")
    layer = rng.choice(outputs).replace("NAME", f"out{index}")
    return Head(layer, rng.choice(losses), tuple(drawn), target)


def _step(rng: random.Random, style: str) -> str:
    if style == "sequential" or rng.random() < 0.5:
        return DEFAULT_STEP
    steps = [*PLAIN_STEPS, *TAGGED_STEPS]
    return rng.choice([s for s in steps if style == "functional" or s not in NEEDS_VARIABLES])


def _strategy(rng: random.Random, workers: int, has_ids: bool) -> tuple[tuple[str, str], ...]:
    arguments = {"variable_partitioner": rng.choice(PARTITIONERS)}
    if rng.random() < 0.2:
        arguments["pull"] = rng.choice(CODECS)
    if rng.random() < 0.2:
        arguments["push"] = rng.choice(CODECS)
    policies = EXACT_POLICIES if workers == 1 else POLICIES
    if rng.random() < (0.15 if workers == 1 else 0.5):
        arguments["update"] = rng.choice(policies)
    elif rng.random() < 0.1:
        arguments["bucket_bytes"] = "64"
    if has_ids:
        arguments["lazy_rows"] = "False"
    return tuple((name, value) for name, value in arguments.items() if value is not None)
