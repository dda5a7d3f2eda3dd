"""What surrounds BERT: its preset, its WordPiece vocabulary, and batches of labelled texts.

TensorFlow is imported only once the preset and the data are checked.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.lib.inputs import InputError
from models.lib.labelled_texts import Examples
from models.lib.run_folder import write_atomically

if TYPE_CHECKING:
    import tensorflow as tf

    DatasetFunction = Callable[[tf.distribute.InputContext], tf.data.Dataset]

SPECIAL_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SAMPLE_CHARACTERS = 1_000_000
_WEIGHTS = ("model.weights.h5", "model.weights.json")


def check_preset(folder: Path, sequence_length: int) -> str:
    """Check the folder of a preset, before keras-nlp loads it.

    Args:
        folder: A folder as keras-nlp's `save_to_preset` writes it.
        sequence_length: Tokens in a text; the backbone must have at least as many positions.

    Returns:
        A hash of the backbone's config and weights.

    Raises:
        InputError: The folder is no BERT preset, lacks a file, or is made for shorter texts.
    """
    config_file = folder / "config.json"
    try:
        config = json.loads(config_file.read_text())
        kind, positions = config["class_name"], config["config"]["max_sequence_length"]
    except OSError as error:
        raise InputError(
            f"--preset {folder}: {config_file.name} cannot be read: {error.strerror}. Give a "
            "folder that keras-nlp's save_to_preset wrote, like runs/NAME/preset."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"--preset {folder}: {config_file.name} is no config of a BERT backbone ({error!r}). "
            "Give a folder that keras-nlp's save_to_preset wrote, like runs/NAME/preset."
        ) from error
    if kind != "BertBackbone":
        raise InputError(f"--preset {folder}: holds a {kind}, but must hold a BertBackbone.")
    weights = [folder / name for name in _WEIGHTS if (folder / name).is_file()]
    if not weights or not (folder / "tokenizer.json").is_file():
        raise InputError(
            f"--preset {folder}: needs tokenizer.json, and {' or '.join(_WEIGHTS)}. Copy the "
            "whole folder."
        )
    if sequence_length > positions:
        raise InputError(
            f"--sequence-length is {sequence_length}, but --preset {folder} has {positions} "
            "positions. Give that many at most."
        )
    digest = hashlib.sha256(config_file.read_bytes())
    with weights[0].open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def load_or_learn(texts: Sequence[str], size: int, folder: Path) -> list[str]:
    """Load the WordPiece vocabulary of texts from a folder, or learn it and save it there.

    Args:
        texts: Texts to learn from; only a random sample of many texts is used.
        size: Largest number of pieces, special ones included.
        folder: Cache with one `KEY.txt` for each collection of texts and size.

    Returns:
        The pieces, special ones first. They are lowercase, so texts must be lowercased.
    """
    key = hashlib.sha256(json.dumps([size, SAMPLE_CHARACTERS, *texts]).encode()).hexdigest()[:16]
    file = folder / f"{key}.txt"
    if file.exists():
        return read_pieces(file)
    pieces = _learn(_sample(texts), size)
    folder.mkdir(parents=True, exist_ok=True)
    write_pieces(file, pieces)
    return pieces


def read_pieces(file: Path) -> list[str]:
    """Read pieces from a file, one per line."""
    return file.read_bytes().decode().removesuffix("\n").split("\n")


def write_pieces(file: Path, pieces: Sequence[str]) -> None:
    """Write pieces to a file, one per line."""
    write_atomically(file, "".join(f"{piece}\n" for piece in pieces).encode())


def _learn(texts: Sequence[str], size: int) -> list[str]:
    import keras_nlp
    import tensorflow as tf

    pieces = keras_nlp.tokenizers.compute_word_piece_vocabulary(
        tf.data.Dataset.from_tensor_slices(list(texts)).batch(1024),
        vocabulary_size=size,
        lowercase=True,
        reserved_tokens=list(SPECIAL_PIECES),
    )
    # Reading the file back would lose control characters that Python treats as white space.
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


def training_batches(examples: Examples, *, batch_size: int, seed: int) -> DatasetFunction:
    """Return a function that builds an endless dataset of a worker's share of the examples.

    Each round over the share has another order. The batches hold raw text: a keras-nlp task maps
    its preprocessor over them, on the worker. The function raises ValueError if there are fewer
    examples than workers.

    Returns:
        A function that builds batches of (texts, labels), `(batch_size,)` string and int64.
    """

    def make_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        worker, workers = context.input_pipeline_id, context.num_input_pipelines
        if len(examples) < workers:
            raise ValueError(
                f"{workers} workers share {len(examples)} texts, and each needs one. Give more "
                "texts, or start fewer workers."
            )
        share = _share(examples, context)
        share = share.shuffle(len(examples), seed=seed + 1000 * worker).repeat()
        return share.batch(batch_size).prefetch(2)

    return make_dataset


def held_out_batches(examples: Examples, *, batch_size: int) -> DatasetFunction:
    """Return a function that builds a finite dataset: one worker has each example, once."""

    def make_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return _share(examples, context).batch(batch_size).prefetch(2)

    return make_dataset


def _share(examples: Examples, context: tf.distribute.InputContext) -> tf.data.Dataset:
    import tensorflow as tf

    indices = slice(context.input_pipeline_id, None, context.num_input_pipelines)
    # The dtype is needed if the worker has no example.
    texts = tf.constant(examples.texts[indices], tf.string)
    return tf.data.Dataset.from_tensor_slices((texts, examples.labels[indices]))
