"""What can be set in every recipe; a recipe's command line is made from a subclass of this."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from models.errors import InputError
from models.update import Update
from models.wire import Pull, Push


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of a run. A subclass adds its own, and names the least values of numbers.

    Attributes:
        LEAST: The least value of a number, where that is not 1.
        MAY_CHANGE: What may differ when a run resumes.
    """

    LEAST: ClassVar[Mapping[str, float]] = {"learning_rate": 1e-9, "seed": 0}
    MAY_CHANGE: ClassVar[frozenset[str]] = frozenset(
        {"check_only", "data", "epochs", "name", "steps_per_execution"}
    )

    name: str
    """Name of the run: its results go to runs/NAME."""
    epochs: int
    """Epochs; after each, the model is validated and saved."""
    learning_rate: float
    """Learning rate of the optimizer."""
    steps_per_execution: int = 10
    """Steps that a worker runs in one dispatch."""
    pull: Pull = "float32"
    """Format in which parameters travel to the workers; auto measures the links, and picks one.
    Vectors and what is small stay float32 in any, and so do their gradients."""
    push: Push = "float32"
    """Format in which gradients travel to the ps. Of onebit, topk (the largest 5 %), randomk (1 %)
    and powersgd (rank 8), what one step leaves out is sent by later ones; but for randomk the first
    steps send more."""
    overlap: bool = False
    """Pull and push while computing; --steps-per-execution has to be above 1."""
    update: Update = "asynchronous"
    """When updates take effect. asynchronous: each gradient when it arrives; synchronous: the mean
    of one of each worker; synchronous-backup: the same without the slowest worker;
    semi-synchronous: the mean of as many as there are workers; bounded-staleness: workers compute
    on parameters that lack 4 steps of others at most; local: workers take 16 steps by themselves,
    then what they moved by is taken together."""
    check_only: bool = False
    """Check the settings and the data, and leave; silent if they are good."""

    def check(self) -> None:
        """Check the values.

        Raises:
            InputError: Some are out of range; all of them are listed.
        """
        if faults := self.faults():
            raise InputError("\n".join(faults))

    def faults(self) -> list[str]:
        """Say what is wrong with the values, a sentence for each fault."""
        faults = [
            f"--{key.replace('_', '-')} is {value}, but must be at least {self.LEAST.get(key, 1)}."
            for key, value in dataclasses.asdict(self).items()
            if type(value) in (int, float) and not value >= self.LEAST.get(key, 1)
        ]
        if not self.name or Path(self.name).name != self.name or self.name.startswith("."):
            faults.append(f"--name is {self.name!r}, but must be a plain folder name, like mine.")
        if self.overlap and self.steps_per_execution == 1:
            faults.append(
                "--overlap has no effect with --steps-per-execution 1, but takes it above 1."
            )
        if self.overlap and self.update != "asynchronous":
            faults.append(
                f"--overlap does not go with --update {self.update}, but with asynchronous only."
            )
        return faults

    def identity(self, **digests: str) -> dict[str, object]:
        """Return what must be the same for a run to resume: settings, and hashes of its data."""
        kept = {
            key: value
            for key, value in dataclasses.asdict(self).items()
            if key not in self.MAY_CHANGE
        }
        return {**kept, **digests}
