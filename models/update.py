"""When updates take effect, by the names that a recipe's command line takes.

No TensorFlow here until a policy is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import tfps

if TYPE_CHECKING:
    from tfps.update import Policy

Update = Literal[
    "asynchronous",
    "synchronous",
    "synchronous-backup",
    "semi-synchronous",
    "bounded-staleness",
    "local",
]

STALENESS_STEPS = 4
LOCAL_STEPS = 16


def policy(name: Update) -> Policy | None:
    """Return the policy of a name; None, the strategy's default, is "asynchronous".

    `bounded-staleness` has a bound of 4 steps. `local` is DiLoCo with rounds of 16 steps (Douillard
    et al. 2023, "DiLoCo: Distributed Low-Communication Training of Language Models").

    Raises:
        ValueError: There is no such name.
    """
    if name == "asynchronous":
        return None
    if name == "synchronous":
        return tfps.update.Synchronous()
    if name == "synchronous-backup":
        return tfps.update.Synchronous(backup_workers=1)
    if name == "semi-synchronous":
        return tfps.update.SemiSynchronous()
    if name == "bounded-staleness":
        return tfps.update.BoundedStaleness(STALENESS_STEPS)
    if name == "local":
        return diloco(LOCAL_STEPS)
    raise ValueError(f"No policy is called {name!r}; there are {', '.join(get_args(Update))}.")


def diloco(steps: int) -> Policy:
    """Return local steps in rounds, whose mean moves SGD with Nesterov momentum takes up.

    Args:
        steps: Of each worker, in a round.
    """
    import keras

    outer = keras.optimizers.SGD(0.7, momentum=0.9, nesterov=True)
    return tfps.update.Local(steps, outer=outer)
