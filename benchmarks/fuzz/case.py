"""A case: what is trained, on what, by whom. It is written as a program."""

from __future__ import annotations

import dataclasses

from benchmarks.fuzz.blocks import Block

INPUT_SHAPES = {"vector": (6,), "sequence": (4, 6), "image": (4, 4, 3), "ids": (3,)}
DEFAULT_STEP = "keras.Model"
TAGGED_STEPS = {
    "steps.Disjoint": "several applies",
    "steps.Twice": "several applies",
    "steps.ReadAfter": "read after apply",
    "steps.Clipped": "read after apply",
    "steps.Sometimes": "apply in cond",
    "steps.Sharpness": "assigned parameters",
    "steps.SetRate": "rate set in the step",
}
"""What a train_step does that others do not."""
NEEDS_VARIABLES = frozenset(
    {"steps.Teacher", "steps.TwoOptimizers", "steps.ReadAfter", "steps.Sometimes"}
)
"""The train_steps with variables of their own. Only functional models take them once built."""


@dataclasses.dataclass(frozen=True)
class Tower:
    """An input of the model, and what follows it until the inputs are merged.

    Attributes:
        form: the form of the input; see `blocks`.
        first: makes a sequence of ids; None for other inputs.
        blocks: keep the form.
        last: makes a vector of it; None for vectors.
    """

    form: str
    first: Block | None
    blocks: tuple[Block, ...]
    last: Block | None

    @property
    def all(self) -> list[Block]:
        """All blocks in order."""
        return [b for b in (self.first, *self.blocks, self.last) if b is not None]


@dataclasses.dataclass(frozen=True)
class Head:
    """An output: the layer that makes it, its loss, metrics and targets."""

    layer: str
    loss: str
    metrics: tuple[str, ...]
    target: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """All that a seed decides; each field can be made simpler on its own.

    Attributes:
        style: "functional", "sequential", "subclassed", or "lazy": subclassed, and
            built when it is first trained.
        step: the class of the model, which has the train_step.
        data: "arrays", "dataset" or "repeated dataset".
        weights: "", "sample" or "class".
        callback: the expression of a callback of fit; empty for none.
        repeated_ids: whether an id can be several times in a batch.
        then: the methods that are called after fit.
    """

    seed: int
    style: str
    towers: tuple[Tower, ...]
    merge: Block | None
    trunk: tuple[Block, ...]
    heads: tuple[Head, ...]
    step: str
    dtype: str
    optimizer: str
    data: str
    packing: str
    examples: int
    batch: int
    weights: str
    validates: bool
    epochs: int
    steps_per_execution: int
    then: tuple[str, ...]
    strategy: tuple[tuple[str, str], ...]
    callback: str = ""
    repeated_ids: bool = False

    @property
    def blocks(self) -> list[Block]:
        """All blocks of the model."""
        merge = [] if self.merge is None else [self.merge]
        return [*(b for t in self.towers for b in t.all), *merge, *self.trunk]

    @property
    def tags(self) -> frozenset[str]:
        """What comparisons and tables must know of the case."""
        tags = {tag for block in self.blocks for tag in block.tags}
        if self.step in TAGGED_STEPS:
            tags.add(TAGGED_STEPS[self.step])
        if "accumulation" in self.optimizer and "use_ema" in self.optimizer:
            tags.add("averages with accumulation")
        if "use_ema" in self.optimizer and any("constraint" in str(b.layers) for b in self.blocks):
            tags.add("averages with constraints")
        return frozenset(tags)

    @property
    def has_ids(self) -> bool:
        """Whether an input is of ids, so that a table is looked up by rows."""
        return any(tower.form == "ids" for tower in self.towers)

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches of an epoch."""
        return -(-self.examples // self.batch)
