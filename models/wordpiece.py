"""A WordPiece vocabulary, learned from the training texts once and kept."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path

import keras_nlp
import tensorflow as tf

from models.files import write_atomically

SPECIAL_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SAMPLE_CHARACTERS = 1_000_000


def load_or_learn(texts: Sequence[str], size: int, folder: Path) -> list[str]:
    """Load the vocabulary of texts from a folder, or learn it and keep it there.

    Args:
        texts: What to learn from; of much text, a random sample.
        size: How many pieces to have at most, the special ones included.
        folder: Holds one `KEY.txt` for each collection of texts and size.

    Returns:
        The pieces, the special ones first; texts are to be lowercased.
    """
    key = hashlib.sha256(json.dumps([size, SAMPLE_CHARACTERS, *texts]).encode()).hexdigest()[:16]
    file = folder / f"{key}.txt"
    if file.exists():
        return read(file)
    pieces = _learn(_sample(texts), size)
    folder.mkdir(parents=True, exist_ok=True)
    write(file, pieces)
    return pieces


def read(file: Path) -> list[str]:
    """Read pieces from a file that has one a line."""
    return file.read_bytes().decode().removesuffix("\n").split("\n")


def write(file: Path, pieces: Sequence[str]) -> None:
    """Write pieces to a file, one a line."""
    write_atomically(file, "".join(f"{piece}\n" for piece in pieces).encode())


def _learn(texts: Sequence[str], size: int) -> list[str]:
    pieces = keras_nlp.tokenizers.compute_word_piece_vocabulary(
        tf.data.Dataset.from_tensor_slices(list(texts)).batch(1024),
        vocabulary_size=size,
        lowercase=True,
        reserved_tokens=list(SPECIAL_PIECES),
    )
    # A control character that Python takes for white space would be lost in a file of lines.
    return [piece for piece in pieces if piece == piece.strip()]


def _sample(texts: Sequence[str]) -> list[str]:
    order = list(texts)
    random.Random(0).shuffle(order)
    sample, characters = [], 0
    for text in order:
        sample.append(text)
        characters += len(text)
        if characters >= SAMPLE_CHARACTERS:
            break
    return sample
