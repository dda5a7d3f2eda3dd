"""What can be set where a GPT is trained to be compared, and who takes part."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from models.gpt_lm import Settings


class Contender(Protocol):
    """One way to train; `str()` says all that was set."""

    @property
    def reference(self) -> str | None:
        """Who it is compared with; None for those that others are compared with."""

    @property
    def allowed_percent(self) -> float | None:
        """By how much its loss may be above the reference's; None without a bound."""


ContenderT = TypeVar("ContenderT", bound=Contender)


def chosen(
    everyone: Mapping[str, ContenderT], names: Sequence[str], option: str
) -> dict[str, ContenderT]:
    """Return those of some names, and before them those that they are compared with.

    Args:
        everyone: All that there are, by name.
        names: Of contenders; none for all.
        option: The option that the names came with, for the error.

    Raises:
        ValueError: A name is not one of them.
    """
    for name in names:
        if name not in everyone:
            raise ValueError(f"{option}: {name} is not among {', '.join(everyone)}.")
    wanted = names or tuple(everyone)
    references = {everyone[name].reference for name in wanted}
    return {
        name: contender
        for name, contender in everyone.items()
        if name in wanted or name in references
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextArguments:
    """Train the model of models/gpt_lm.py in several ways."""

    epochs: int
    """Epochs; after each, the held-out loss is measured."""
    steps_per_epoch: int
    """Steps in an epoch, batches of single workers."""
    batch_size: int = 16
    """Examples in a step of the GPT."""
    sequence_length: int = 64
    """Tokens in an example of the GPT."""
    vocabulary_size: int = 2048
    """SentencePiece pieces of the GPT at most."""
    data: str | None = None
    """Glob pattern of text files for the GPT, quoted; without it, Python's standard library."""
    repeats: int = 1
    """How often each is trained with; the medians are compared."""
    workers: int = 2
    """Workers, of one thread each."""
    json: Path | None = None
    """A file to write the numbers to."""
    plot: Path | None = None
    """A PNG file to draw the curves to."""

    @property
    def gpt(self) -> Settings:
        """The GPT's settings."""
        return Settings(
            data=self.data,
            epochs=self.epochs,
            steps_per_epoch=self.steps_per_epoch,
            batch_size=self.batch_size,
            sequence_length=self.sequence_length,
            vocabulary_size=self.vocabulary_size,
        )

    def check(self) -> None:
        """Check the values.

        Raises:
            ValueError: Some cannot be.
        """
        self.gpt.check()
        self.check_counts("repeats", "workers")

    def check_counts(self, *names: str) -> None:
        """Check numbers of which there must be one at least.

        Raises:
            ValueError: One is below 1.
        """
        for name in names:
            if getattr(self, name) < 1:
                option = name.replace("_", "-")
                raise ValueError(f"--{option} is {getattr(self, name)}, but must be at least 1.")
