"""A case as a program: `build`, `data`, `fit` and the strategy."""

from __future__ import annotations

import re

from benchmarks.fuzz.blocks import IDS, VOCABULARY, Block
from benchmarks.fuzz.case import DEFAULT_STEP, INPUT_SHAPES, NEEDS_VARIABLES, Case, Head

_LETTERS = "ab"
HEADER = """\
import keras, numpy as np, tensorflow as tf, tfps
from keras import layers, ops
from benchmarks.fuzz import parts, steps
from benchmarks.fuzz.ids import distinct
"""


def program(case: Case) -> str:
    """Return the program of `case`; it defines `build`, `strategy`, `data` and `fit`."""
    return "\n".join(
        [HEADER, *_build(case), "", *_data(case), "", *_fit(case), _strategy(case), ""]
    )


class _Body:
    """The lines that make the layers of a model, and those that call them."""

    def __init__(self, case: Case, prefix: str) -> None:
        self.case = case
        self.prefix = prefix
        self.made: list[str] = []
        self.called: list[str] = []
        self._names: dict[int, list[str]] = {}

    def call(self, block: Block, into: str, **inputs: str) -> None:
        """Call the layers of `block` on the tensor named `into`, and name the result so, too."""
        names: list[str] = []
        for expression in block.layers:
            name = f"{self.prefix}l{len(self.made)}"
            self.made.append(f"{name} = {expression.format(*names)}")
            names.append(name)
        expression = block.call.format(*names)
        inputs = inputs or {"h": into}
        for old, new in inputs.items():
            expression = _renamed(expression, old, new)
        self.called.append(f"{into} = {expression}")

    def write(self) -> None:
        """Write all of the model but its inputs; `out` is its output."""
        case = self.case
        for letter, tower in zip(_LETTERS, case.towers, strict=False):
            for block in tower.all:
                self.call(block, letter)
        if case.merge is not None:
            self.call(case.merge, "a", LEFT="a", RIGHT="b")
        for block in case.trunk:
            self.call(block, "a")
        outputs = []
        for index, head in enumerate(case.heads):
            name = f"out{index}"
            self.made.append(f"{self.prefix}{name} = {_output(case, head)}")
            outputs.append(f"{self.prefix}{name}(a)")
        self.called.append(f"out = {_many(case, outputs, 'out')}")


def _renamed(expression: str, old: str, new: str) -> str:
    """Replace a name that stands alone."""
    return re.sub(rf"(?<![\w.'\"]){old}(?![\w'\"])", new, expression)


def _many(case: Case, values: list[str], kind: str) -> str:
    if len(values) == 1:
        return values[0]
    if kind == "out" or case.packing == "dict":
        names = [f"out{i}" if kind == "out" else _LETTERS[i] for i in range(len(values))]
        return "{" + ", ".join(f"'{n}': {v}" for n, v in zip(names, values, strict=True)) + "}"
    return "(" + ", ".join(values) + ")"


def _build(case: Case) -> list[str]:
    if case.style == "sequential":
        lines = _sequential(case)
    elif case.style == "functional":
        lines = _functional(case)
    else:
        lines = _subclassed(case)
    if case.style != "lazy":
        lines += ["    keras.config.set_dtype_policy('float32')"]
    lines += [
        f"    model.compile(optimizer={case.optimizer},",
        f"        loss={_many(case, [h.loss for h in case.heads], 'out')},",
        f"        metrics={_metrics(case)}, steps_per_execution={_execution(case)})",
    ]
    if case.step in NEEDS_VARIABLES:
        lines += ["    model.build_more()"]
    if case.style != "lazy":
        lines += ["    model.optimizer.build(model.trainable_variables)"]
    return [*lines, "    return model"]


def _output(case: Case, head: Head) -> str:
    """Return the layer of an output; metrics do not take bfloat16."""
    mixed = case.dtype.startswith("mixed")
    return head.layer.replace("name=", "dtype='float32', name=") if mixed else head.layer


def _execution(case: Case) -> int:
    """Return the steps per execution; Keras rounds `steps_per_epoch` up to whole executions."""
    uneven = case.data == "repeated dataset" and case.steps_per_epoch % case.steps_per_execution
    return 1 if uneven else case.steps_per_execution


def _metrics(case: Case) -> str:
    if len(case.heads) == 1:
        return "[" + ", ".join(case.heads[0].metrics) + "]"
    each = ["[" + ", ".join(head.metrics) + "]" for head in case.heads]
    return _many(case, each, "out")


def _start(case: Case) -> list[str]:
    return ["def build():", f"    keras.config.set_dtype_policy({case.dtype!r})"]


def _sequential(case: Case) -> list[str]:
    (tower,), (head,) = case.towers, case.heads
    chain = [b.layers[0] for b in [*tower.all, *case.trunk]]
    lines = [*_start(case), f"    model = {_class(case)}([", f"        {_input(case, 0)},"]
    return [*lines, *(f"        {layer}," for layer in [*chain, _output(case, head)]), "    ])"]


def _class(case: Case) -> str:
    return "keras.Sequential" if case.style == "sequential" else case.step


def _input(case: Case, index: int) -> str:
    form = case.towers[index].form
    dtype = ", dtype='int32'" if form == "ids" else ", dtype='float32'"
    return f"keras.Input({INPUT_SHAPES[form]}, name={_LETTERS[index]!r}{dtype})"


def _functional(case: Case) -> list[str]:
    body = _Body(case, "")
    body.write()
    names = _LETTERS[: len(case.towers)]
    lines = [f"    in_{name} = {name} = {_input(case, i)}" for i, name in enumerate(names)]
    lines += [f"    {line}" for line in [*body.made, *body.called]]
    inputs = _many(case, [f"in_{name}" for name in names], "in")
    stepped = (
        []
        if case.step == DEFAULT_STEP
        else [f"class Stepped({case.step}, keras.Model):", "    pass", ""]
    )
    model = "Stepped" if stepped else case.step
    return [*stepped, *_start(case), *lines, f"    model = {model}({inputs}, out)"]


def _subclassed(case: Case) -> list[str]:
    body = _Body(case, "self.")
    body.write()
    names = _LETTERS[: len(case.towers)]
    mixed = "" if case.step == DEFAULT_STEP else f"{case.step}, "
    lines = [
        f"class Net({mixed}keras.Model):",
        "    def __init__(self):",
        "        super().__init__()",
    ]
    lines += [f"        {line}" for line in body.made]
    lines += ["    def call(self, inputs, training=None):"]
    if len(names) == 1:
        lines += ["        a = inputs"]
    else:
        keys = [f"'{n}'" if case.packing == "dict" else str(i) for i, n in enumerate(names)]
        lines += [f"        {n} = inputs[{k}]" for n, k in zip(names, keys, strict=True)]
    lines += [f"        {line}" for line in body.called]
    lines += ["        return out", ""]
    if case.style == "lazy":
        return [*lines, *_start(case), "    model = Net()"]
    build = "    model(keras.tree.map_structure(lambda array: array[:1], data()[0][0]))"
    return [*lines, *_start(case), "    model = Net()", build]


def _data(case: Case) -> list[str]:
    lines = [
        "def data():",
        f"    rng = np.random.default_rng({case.seed})",
        "    parts_of_data = []",
    ]
    lines += [
        f"    for n in {(case.examples, case.batch + 1) if case.validates else (case.examples,)}:"
    ]
    inputs = []
    for tower in case.towers:
        shape = INPUT_SHAPES[tower.form]
        if tower.form != "ids":
            inputs.append(f"rng.normal(size=(n, {str(shape)[1:-1].rstrip(',')})).astype('f4')")
        elif case.repeated_ids:
            inputs.append(f"rng.integers(1, {VOCABULARY}, (n, {IDS})).astype('i4')")
        else:
            inputs.append(f"distinct(rng, n, {case.batch}, {IDS}, {VOCABULARY})")
    lines += [f"        x = {_many(case, inputs, 'in')}"]
    lines += [f"        y = {_many(case, [head.target for head in case.heads], 'out')}"]
    weight = "rng.uniform(0.5, 2.0, n).astype('f4')" if case.weights == "sample" else "None"
    lines += [f"        parts_of_data.append((x, y, {weight}))"]
    return [*lines, "    return parts_of_data"]


def _fit(case: Case) -> list[str]:
    lines = ["def fit(model):", "    train, *validation = data()", "    extra = {}"]
    if case.callback:
        lines += [f"    extra['callbacks'] = [{case.callback}]"]
    if case.validates:
        lines += ["    extra['validation_data'] = tuple(v for v in validation[0] if v is not None)"]
    if case.weights == "class":
        lines += ["    extra['class_weight'] = {0: 0.5, 1: 2.0, 2: 1.0}"]
    if case.data == "arrays":
        lines += [
            "    x, y, weight = train",
            f"    return model.fit(x, y, sample_weight=weight, batch_size={case.batch},",
            f"        epochs={case.epochs}, shuffle=False, verbose=0, **extra)",
        ]
        return lines
    repeated = case.data == "repeated dataset"
    steps = f"steps_per_epoch={case.steps_per_epoch}, " if repeated else ""
    if case.validates:
        lines += [f"    extra['validation_batch_size'] = {case.batch}"]
    return [
        *lines,
        "    pieces = tuple(piece for piece in train if piece is not None)",
        f"    dataset = tf.data.Dataset.from_tensor_slices(pieces).batch({case.batch})",
        *(["    dataset = dataset.repeat()"] if repeated else []),
        f"    return model.fit(dataset, epochs={case.epochs}, {steps}verbose=0, **extra)",
    ]


def _strategy(case: Case) -> str:
    arguments = ", ".join(f"{name}={value}" for name, value in case.strategy)
    return f"strategy = lambda: tfps.ParameterServerStrategy({arguments})"
