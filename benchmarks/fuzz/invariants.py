"""What holds for several workers, in whatever order their updates take effect."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from benchmarks.fuzz import compare
from benchmarks.fuzz.case import Case
from benchmarks.fuzz.compare import Trained
from benchmarks.fuzz.outcome import Outcome

_DEPENDS_ON_ORDER = re.compile(
    r"schedules|Callback|global_clipnorm|LossScale|use_ema|accumulation|ScheduleFree|update"
)
_NOT_CONSTANT = frozenset(
    {"steps.Clipped", "steps.Iterations", "steps.SetRate", "steps.Sharpness", "steps.Sometimes"}
)
_CORRECTED = re.compile(r"Ada(m|max|mW)\(|Nadam|Lamb")  # by the number of the update
_CALLS = {"steps.Twice": 2, "steps.Sharpness": 2}
_APPLIES = {"steps.Twice": 2, "steps.Disjoint": 2}


def outcome_of(case: Case) -> Outcome:
    """Train on parameter servers, and check the counts, the sums, and the states that are left."""
    ours = compare.trained_or_outcome(case, compare.strategy_of(case.strategy))
    if isinstance(ours, Outcome):
        plain = compare.trained_or_outcome(case, None)
        return Outcome("invalid", plain.detail) if isinstance(plain, Outcome) else ours
    found = [
        *_finite(ours),
        *_counts(case, ours),
        *_probe(case, ours),
        *_reading(case, ours),
    ]
    return Outcome(*found[0]) if found else Outcome("equal")


def _finite(ours: Trained) -> list[tuple[str, str]]:
    broken = [path for path, value in ours.weights if not np.all(np.isfinite(value))]
    return [("weights not finite", ", ".join(broken))] if broken else []


def _counts(case: Case, ours: Trained) -> list[tuple[str, str]]:
    """Check that each epoch counts each example once, and each step and update once."""
    found = []
    (counted,) = (v for k, v in ours.history.items() if k.endswith("examples") and "val" not in k)
    if counted != [case.examples] * case.epochs:
        found.append(("examples miscounted", f"{counted}, {case.examples} in each epoch"))
    steps = case.steps_per_epoch * case.epochs
    calls = _CALLS.get(case.step, 1)
    for path, value in ours.weights:
        if "/counter" in path:
            expected = calls * (steps if value.shape == () else case.examples * case.epochs)
            if not np.all(value == expected):
                found.append(("state miscounted", f"{path}: {value}, {expected} expected"))
    merged = any(name in str(case.strategy) for name in ("Synchronous", "SemiSynchronous"))
    if not merged and case.step != "steps.Sometimes" and "accumulation" not in case.optimizer:
        updates = int(ours.model.optimizer.iterations)
        expected = steps * _APPLIES.get(case.step, 1)
        # Each ps drops what comes too late for it; one of them counts the updates.
        dropped = sum(each.measured.dropped.sum(axis=1) for each in ours.model.history.updates)
        if expected not in updates + dropped:
            counts = f"{updates} and {dropped} dropped"
            found.append(("updates miscounted", f"{counts}, {expected} expected"))
    return found


def _probe(case: Case, ours: Trained) -> list[tuple[str, str]]:
    """Check that a weight of constant gradient is where plain Keras's is after as many updates."""
    if _DEPENDS_ON_ORDER.search(f"{case.optimizer} {case.strategy}") or case.step in _NOT_CONSTANT:
        return []
    plain = compare.trained_or_outcome(case, None)
    if isinstance(plain, Outcome):
        return [("invalid", plain.detail)]
    pairs = zip([*plain.weights, *plain.state], [*ours.weights, *ours.state], strict=True)
    tolerance = compare.TOLERANCES[case.dtype]
    for (path, theirs), (_, mine) in pairs:
        if "probe" in path and (apart := compare.difference(theirs, mine, tolerance)):
            corrected = path.endswith("/probe") and _CORRECTED.search(case.optimizer)
            what = "bias correction" if corrected else "constant gradients do not add up"
            return [(what, f"{path}: {apart}")]
    return []


def _reading(case: Case, ours: Trained) -> list[tuple[str, str]]:
    """Check that evaluate and predict give what plain Keras gives with the same weights."""
    if not case.then or "random" in case.tags:
        return []
    theirs = compare.read_plainly(case, ours)
    found: list[tuple[str, str]] = []
    for name, values in theirs.items():
        mine: Any = ours.then[name]
        values, mine = ((v if isinstance(v, dict) else {"output": v}) for v in (values, mine))
        for key, value in values.items():
            tolerance = compare.TOLERANCES[case.dtype]
            if apart := compare.difference(value, mine[key], tolerance):
                found.append((f"{name} differs", f"{key}: {apart}"))
    return found
