"""How a model is trained: each policy with an Adam that suits it, and the loss it may end at."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tfps
from benchmarks.learning import lesson
from benchmarks.learning.lesson import Curve, Lesson
from models.lib.settings import LOCAL_STEPS, STALENESS_STEPS, diloco
from tfps.update import Policy

if TYPE_CHECKING:
    import keras

ONE_PROCESS, ASYNCHRONOUS, SYNCHRONOUS = "one process", "asynchronous", "synchronous"
_ELASTIC_RATE = 0.9
# With a warm-up of 100 steps the GPT learns less with 1.4 on 2 workers, and with 4 on 4.
RATE_OF_MEANS = 2.0
# Late gradients have a momentum of their own (Mitliagkas et al. 2016, "Asynchrony begets momentum,
# with an application to deep learning").
_LATE: dict[str, Any] = {"betas": (0.2, 0.98)}
_FEWER_LOCAL_STEPS = (4, 8)
_PERCENT_ABOVE_ONE_PROCESS, _PERCENT_ABOVE_SYNCHRONOUS = 3.0, 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to train.

    Attributes:
        make_update: Makes the policy; None trains by plain Keras in the chief's process.
        batches: How many batches, of single workers, the optimizer counts as one iteration.
        rate: Times the recipe's learning rate.
        betas: Adam's.
        warmup: Over which share of all examples the learning rate rises. In the recipes it rises
            faster: what is late does most harm before the second moments have settled.
        reference: Who it is compared with; None for whom others are compared with.
        allowed_percent: By how much its loss may be above the reference's.
    """

    make_update: Callable[[], Policy] | None
    batches: int = 1
    rate: float = 1.0
    betas: tuple[float, float] = (0.5, 0.98)
    warmup: float = 0.2
    reference: str | None = ONE_PROCESS
    allowed_percent: float | None = _PERCENT_ABOVE_ONE_PROCESS

    @property
    def local_steps(self) -> int | None:
        """Local steps of a worker between updates; None for other policies."""
        update = self.make_update() if self.make_update else None
        return update.steps if isinstance(update, tfps.update.Local) else None

    def __str__(self) -> str:
        """Say all that was set."""
        update = said(self.make_update()) if self.make_update else "plain Keras, no strategy"
        first, second = self.betas
        return (
            f"{update}; rate x {self.rate:g}, betas {first:g} and {second:g}, "
            f"warm-up {100 * self.warmup:g} %, batches in an iteration: {self.batches}"
        )


def policies(workers: int, rate_of_means: float = RATE_OF_MEANS) -> dict[str, Contender]:
    """Return all contenders by name, each compared with one process that takes as many examples.

    An update of the mean of N batches is one of a batch N times as large: there are N times fewer
    of them, with less noise in each, and the learning rate is larger.

    Args:
        workers: How many there are.
        rate_of_means: Times the recipe's learning rate, where an update is a mean.
    """
    update = tfps.update
    wide: dict[str, Any] = {"batches": workers, "rate": rate_of_means}
    local = _for_local_steps(LOCAL_STEPS, workers, rate_of_means)
    most = workers - 1
    return {
        ONE_PROCESS: Contender(make_update=None, reference=None, allowed_percent=None),
        ASYNCHRONOUS: Contender(make_update=update.Asynchronous, **_LATE),
        "asynchronous-drop": Contender(
            make_update=lambda: update.Asynchronous(max_staleness=most), **_LATE
        ),
        "asynchronous-wait": Contender(
            make_update=lambda: update.Asynchronous(max_staleness=most, above="wait"), **_LATE
        ),
        "inverse-staleness": Contender(
            make_update=lambda: update.Asynchronous(rate_scale=update.inverse_staleness), **_LATE
        ),
        SYNCHRONOUS: Contender(make_update=update.Synchronous, **wide),
        "semi-synchronous": Contender(make_update=update.SemiSynchronous, **wide),
        "bounded-staleness": Contender(
            make_update=lambda: update.BoundedStaleness(STALENESS_STEPS), **_LATE
        ),
        "local": Contender(make_update=lambda: diloco(LOCAL_STEPS), **local),
        "local-averaging": Contender(make_update=lambda: update.Local(LOCAL_STEPS), **local),
        "local-elastic": Contender(make_update=_elastic, **local),
        "dense-and-rows": Contender(make_update=lambda: update.DenseAndRows(), **wide),
    }


def local_steps(workers: int, rate_of_means: float = RATE_OF_MEANS) -> dict[str, Contender]:
    """Return `Synchronous`, and what takes local steps, to be compared with it.

    Args:
        workers: How many there are.
        rate_of_means: Times the recipe's learning rate, where an update is a mean.
    """
    everyone = policies(workers, rate_of_means)
    for steps in _FEWER_LOCAL_STEPS:
        make_update = functools.partial(diloco, steps)
        everyone[f"local-{steps}"] = Contender(
            make_update=make_update, **_for_local_steps(steps, workers, rate_of_means)
        )
    allowed = {"reference": SYNCHRONOUS, "allowed_percent": _PERCENT_ABOVE_SYNCHRONOUS}
    synchronous = dataclasses.replace(everyone[SYNCHRONOUS], reference=None, allowed_percent=None)
    return {
        SYNCHRONOUS: synchronous,
        **{
            name: dataclasses.replace(contender, **allowed)
            for name, contender in everyone.items()
            if name.startswith("local")
        },
    }


def _for_local_steps(steps: int, workers: int, rate: float) -> dict[str, Any]:
    """Return the Adam for local steps; the more batches make an update, the longer the warm-up.

    With half or 1.5 times the default rate, or a momentum of 0.9, the GPT learns less.
    """
    return {"rate": rate, "warmup": min(0.5, steps * workers / 128)}


def said(policy: Policy) -> str:
    """Return a policy's settings as text, including those of an outer optimizer."""
    fields = [field.name for field in dataclasses.fields(policy) if field.repr]
    settings = [f"{name}={_said_value(getattr(policy, name))}" for name in fields]
    return f"{type(policy).__name__}({', '.join(settings)})"


def _said_value(value: object) -> str:
    import keras

    if not isinstance(value, keras.optimizers.SGD):
        return repr(value)
    config = value.get_config()
    said = [f"{name}={config[name]:g}" for name in ("learning_rate", "momentum", "nesterov")]
    return f"SGD({', '.join(said)})"


def _elastic() -> Policy:
    update = tfps.update
    outer = update.ElasticAveraging(_ELASTIC_RATE)
    return update.Local(LOCAL_STEPS, outer=outer, update=update.Asynchronous())


def train(contender: Contender, what: Lesson, workers: int) -> Curve:
    """Train with the contender's policy and Adam, on the cluster or in this process.

    Args:
        contender: The contender.
        what: The model and its data.
        workers: Number of workers of the cluster.
    """
    if contender.make_update is None:
        return lesson.in_one_process(what, lambda: optimizer(contender, what), workers)
    return lesson.on_cluster(
        what, lambda: optimizer(contender, what), update=contender.make_update()
    )


def optimizer(contender: Contender, what: Lesson) -> keras.optimizers.Optimizer:
    """Return the contender's Adam, whose rate decays until all examples have been visited."""
    import keras

    from models.lib.training import schedule

    first, second = contender.betas
    iterations = max(1, what.steps // contender.batches)
    warmup = int(contender.warmup * iterations)
    return keras.optimizers.Adam(
        schedule(what.learning_rate * contender.rate, iterations, warmup),
        beta_1=first,
        beta_2=second,
        global_clipnorm=what.clip_norm,
    )
