"""What can be set in the recipe models/gpt_lm.py; its command line is made from this."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from models.corpus import Corpus
from models.errors import InputError
from models.vocabulary import Vocabulary

_MAY_CHANGE_ON_RESUME = frozenset({"check_only", "data", "epochs", "name", "steps_per_execution"})
_LEAST = {"learning_rate": 1e-9, "seed": 0, "sequence_length": 8, "vocabulary_size": 512}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Train a GPT-style language model from scratch on text. Started again, a run resumes."""

    data: str | None = None
    """Glob pattern of UTF-8 text files, quoted ('texts/**/*.txt'); without it, the source of
    Python's standard library."""
    name: str = "gpt_lm"
    """Name of the run: its results go to runs/NAME."""
    epochs: int = 4
    """Epochs of steps-per-epoch steps; after each, the model is validated and saved."""
    steps_per_epoch: int = 300
    """Steps in an epoch, those of all workers together."""
    batch_size: int = 16
    """Examples in a step."""
    sequence_length: int = 128
    """Tokens in an example."""
    vocabulary_size: int = 4096
    """SentencePiece pieces at most; text with few different words has fewer."""
    layers: int = 3
    """Transformer layers."""
    heads: int = 4
    """Attention heads; they divide the width."""
    width: int = 128
    """Size of a token's vector."""
    learning_rate: float = 7e-4
    """Adam's highest learning rate, between a linear warm-up and a cosine decay."""
    steps_per_execution: int = 10
    """Steps that a worker runs in one dispatch."""
    dtype: Literal["float32", "mixed_bfloat16"] = "float32"
    """What layers compute in; variables are float32."""
    seed: int = 0
    """Seed of the initial weights, the order of the text, and the sample."""
    check_only: bool = False
    """Check the settings and the text, and leave; silent if they are good."""

    def check(self) -> None:
        """Check the values.

        Raises:
            InputError: Some are out of range; all of them are listed.
        """
        faults = [
            f"--{key.replace('_', '-')} is {value}, but must be at least {_LEAST.get(key, 1)}."
            for key, value in dataclasses.asdict(self).items()
            if type(value) in (int, float) and not value >= _LEAST.get(key, 1)
        ]
        if self.heads > 0 and self.width % self.heads:
            faults.append(
                f"--width is {self.width}, but must be a multiple of --heads, {self.heads}."
            )
        if not self.name or Path(self.name).name != self.name or self.name.startswith("."):
            faults.append(f"--name is {self.name!r}, but must be a plain folder name, like gpt_lm.")
        if faults:
            raise InputError("\n".join(faults))

    def identity(self, corpus: Corpus, vocabulary: Vocabulary) -> dict[str, object]:
        """Return what must be the same for a run to resume."""
        kept = {
            key: value
            for key, value in dataclasses.asdict(self).items()
            if key not in _MAY_CHANGE_ON_RESUME
        }
        return {**kept, "corpus": corpus.digest, "vocabulary": vocabulary.digest}
