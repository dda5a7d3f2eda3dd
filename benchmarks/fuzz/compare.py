"""Train a case in plain Keras and on parameter servers, and say where they differ."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import traceback
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

import tfps
from benchmarks.fuzz.case import Case
from benchmarks.fuzz.outcome import Outcome
from benchmarks.fuzz.source import program

TOLERANCES = {"float32": 2e-5, "mixed_bfloat16": 2e-2, "float64": 1e-6}
"""The most by which numbers may differ, of 1 plus the largest number of their array.

Both sides run the same kernels, but a ps adds and multiplies in another order. float32 has 24 bits,
bfloat16 8; with float64, metrics and the optimizers' constants are still float32.
"""


@dataclasses.dataclass(frozen=True)
class Trained:
    """The numbers of a training."""

    model: Any
    history: dict[str, list[float]]
    weights: list[tuple[str, np.ndarray]]
    state: list[tuple[str, np.ndarray]]
    then: dict[str, Any]


@functools.lru_cache(maxsize=16)
def strategy_of(arguments: tuple[tuple[str, str], ...]) -> tfps.ParameterServerStrategy:
    """Return a strategy; cases with the same arguments share one."""
    import tensorflow as tf

    names = {"tf": tf, "tfps": tfps}
    return tfps.ParameterServerStrategy(**{n: eval(v, names) for n, v in arguments})


def outcome_of(case: Case) -> Outcome:
    """Train twice and compare.

    Where a gradient is zero but for rounding, Adam makes whole steps of it, in any direction. So an
    array does not count that plain Keras itself makes another of when it starts elsewhere by the
    last bit.
    """
    plain = trained_or_outcome(case, None)
    if isinstance(plain, Outcome):
        return plain
    ours = trained_or_outcome(case, strategy_of(case.strategy))
    if isinstance(ours, Outcome):
        return ours
    found = _differences(case, plain, ours)
    if not found:
        return Outcome("equal")
    rounded: set[tuple[str, str]] = set()
    for seed in (1, 2, 3):
        again = trained_or_outcome(case, None, perturbed=seed)
        if isinstance(again, Trained):
            rounded |= _differences(case, plain, again).keys()
    faults = {key: detail for key, detail in found.items() if key not in rounded}
    details = [f"{name}: {apart}" for (_, name), apart in (faults or found).items()]
    kinds = list(dict.fromkeys(kind for kind, _ in faults)) or ["rounding"]
    return Outcome(" and ".join(kinds[:2]), "; ".join(details[:6]))


def trained_or_outcome(
    case: Case, strategy: Any, *, perturbed: int | None = None
) -> Trained | Outcome:
    """Run the program of a case in the scope of a strategy, or in plain Keras; catch its errors.

    Args:
        case: the case.
        strategy: the strategy; None is plain Keras.
        perturbed: the seed of the signs by which the last bits of the initial weights change.
    """
    try:
        names = namespace(case)
        with quietly(case):
            with contextlib.nullcontext() if strategy is None else strategy.scope():
                model = names["build"]()
            if perturbed is not None:
                _perturb(model, np.random.default_rng(perturbed))
            trained = _train(case, model, names)
    except Exception as error:
        if strategy is None:
            return Outcome("invalid", first_lines(error))
        if isinstance(error, NotImplementedError):
            return Outcome("refused", first_lines(error))
        return Outcome(f"raised {type(error).__name__}", first_lines(error) + _place(error))
    if strategy is None and not all(np.all(np.isfinite(v)) for _, v in trained.weights):
        return Outcome("invalid", "plain Keras's weights are not finite")
    return trained


def namespace(case: Case) -> dict[str, Any]:
    """Return what the program of a case defines."""
    names: dict[str, Any] = {}
    exec(compile(program(case), f"<seed {case.seed}>", "exec"), names)
    return names


@contextlib.contextmanager
def quietly(case: Case) -> Iterator[None]:
    """Start from the case's seed, without warnings, and leave Keras's settings as they were."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(case.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            keras.config.set_dtype_policy("float32")


def _train(case: Case, model: Any, names: dict[str, Any]) -> Trained:
    history = names["fit"](model).history
    optimizers = [model.optimizer, getattr(model, "second", None)]
    state = [v for o in optimizers if o is not None for v in o.variables if not _is_local(v)]
    return Trained(
        model=model,
        history=history,
        weights=_values(v for v in model.weights if v.name != "seed_generator_state"),
        state=_values(state),
        then=_read(case, model, names),
    )


def _read(case: Case, model: Any, names: dict[str, Any]) -> dict[str, Any]:
    x, y, weight = names["data"]()[-1]
    results: dict[str, Any] = {}
    if "evaluate" in case.then:
        arguments = {"batch_size": case.batch, "verbose": 0, "return_dict": True}
        results["evaluate"] = model.evaluate(x, y, sample_weight=weight, **arguments)
    if "predict" in case.then:
        results["predict"] = model.predict(x, batch_size=case.batch, verbose=0)
    return results


def read_plainly(case: Case, ours: Trained) -> dict[str, Any]:
    """Evaluate and predict in plain Keras, with the weights of a trained model."""
    names = namespace(case)
    with quietly(case):
        model = names["build"]()
        if not model.built:
            model(keras.tree.map_structure(lambda array: array[:1], names["data"]()[-1][0]))
        model.set_weights(ours.model.get_weights())
        return _read(case, model, names)


def _values(variables: Iterable[Any]) -> list[tuple[str, np.ndarray]]:
    return [(variable.path, np.asarray(variable.numpy())) for variable in variables]


def _is_local(variable: Any) -> bool:
    """Whether it holds accumulated gradients, which tfps keeps on the workers."""
    return "gradient_accumulator" in variable.path


def _perturb(model: Any, random: np.random.Generator) -> None:
    """Change the last bit of each weight of 32 bits, up or down."""
    for weight in model.weights:
        if str(weight.dtype) == "float32":
            signs = random.choice([-1, 1], weight.shape)
            weight.assign(weight.numpy() * (1 + 2.0**-23 * signs))


def _differences(case: Case, plain: Trained, ours: Trained) -> dict[tuple[str, str], str]:
    """Return what differs: how far apart, by the kind of number and its name."""
    tolerance = TOLERANCES[case.dtype]
    if "random" in case.tags:
        broken = [name for name, value in ours.weights if not np.all(np.isfinite(value))]
        return {("weights not finite", name): "" for name in broken}
    found: dict[tuple[str, str], str] = {}
    for kind, theirs, mine in _pairs(plain, ours):
        for name, value in theirs.items():
            if name not in mine:
                found[f"{kind} missing", name] = "not there"
            elif apart := difference(value, mine[name], tolerance):
                found[f"{kind} differ", name] = apart
    return found


def _pairs(plain: Trained, ours: Trained) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    pairs = [
        ("logs", plain.history, ours.history),
        ("weights", _numbered(plain.weights), _numbered(ours.weights)),
        ("optimizer state", _numbered(plain.state), _numbered(ours.state)),
    ]
    for name in plain.then:
        theirs, mine = (
            value if isinstance(value, dict) else {"output": value}
            for value in (plain.then[name], ours.then[name])
        )
        pairs.append((f"{name} results", theirs, mine))
    return pairs


def _numbered(values: list[tuple[str, np.ndarray]]) -> dict[str, np.ndarray]:
    names = (path.rpartition("/")[2] for path, _ in values)
    pairs = enumerate(zip(names, values, strict=True))
    return {f"{i} {name}": value for i, (name, (_, value)) in pairs}


def difference(theirs: Any, mine: Any, tolerance: float) -> str:
    """Say how far apart two arrays are; empty if they are equal within the tolerance."""
    a, b = np.asarray(theirs, "f8"), np.asarray(mine, "f8")
    if a.shape != b.shape:
        return f"shapes {a.shape} and {b.shape}"
    if not a.size:
        return ""
    apart = np.abs(a - b)
    limit = tolerance * (1 + np.max(np.abs(a[np.isfinite(a)]), initial=0.0))
    if np.all((apart <= limit) | (a == b) | (np.isnan(a) & np.isnan(b))):
        return ""
    worst = np.unravel_index(np.argmax(np.nan_to_num(apart, nan=np.inf)), a.shape)
    return f"{a[worst]:.7g} in plain Keras, {b[worst]:.7g} here"


def first_lines(error: BaseException) -> str:
    """Return the beginning of an error's message, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _place(error: BaseException) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/tfps/" in f.filename]
    return f" [{frames[-1].filename.rpartition('/tfps/')[2]}:{frames[-1].lineno}]" if frames else ""
