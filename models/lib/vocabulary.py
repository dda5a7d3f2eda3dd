"""A SentencePiece vocabulary, trained on a corpus once and cached. No TensorFlow here."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from models.lib.corpus import Corpus, Passage
from models.lib.inputs import InputError
from models.lib.run_folder import write_atomically

PAD_ID, UNKNOWN_ID, START_ID, END_ID = range(4)
SAMPLE_BYTES = 1_000_000
_BATCH_PASSAGES = 64

# Lossless: spaces, tabs and line ends are kept, and a character without a piece becomes its bytes.
_TRAINER_OPTIONS: dict[str, Any] = {
    "model_type": "unigram",
    "pad_id": PAD_ID,
    "unk_id": UNKNOWN_ID,
    "bos_id": START_ID,
    "eos_id": END_ID,
    "normalization_rule_name": "identity",
    "add_dummy_prefix": False,
    "remove_extra_whitespaces": False,
    "allow_whitespace_only_pieces": True,
    "user_defined_symbols": ["\n", "\t"],
    "byte_fallback": True,
    "hard_vocab_limit": False,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The pieces that text is split into, and how often each occurs in the training text.

    Attributes:
        model: SentencePiece's model, serialized.
        counts: `(size,)` int64, how often each piece is a target in the training passages.
    """

    model: bytes
    counts: np.ndarray

    @property
    def size(self) -> int:
        """Return the number of pieces; a small corpus has fewer than were requested."""
        return len(self.counts)

    @property
    def digest(self) -> str:
        """Return a hash of the pieces."""
        return hashlib.sha256(self.model).hexdigest()

    def processor(self) -> sentencepiece.SentencePieceProcessor:
        """Return an encoder and decoder for Python; in a tf.data graph, use tensorflow-text."""
        return sentencepiece.SentencePieceProcessor(model_proto=self.model)

    def unigram_perplexity(self, held_out: Sequence[Passage]) -> float:
        """Return the held-out perplexity of predicting each piece by its training frequency.

        A model that ignores the order of pieces cannot do better.
        """
        return unigram_perplexity(self.counts, count_targets(self.model, held_out))


def load_or_train(corpus: Corpus, size: int, folder: Path, *, seed: int = 0) -> Vocabulary:
    """Load the corpus's vocabulary from a folder, or train it and save it there.

    Args:
        corpus: Corpus to train on; only its training passages are used.
        size: Number of pieces to request.
        folder: Cache with one `KEY.model` and one `KEY.counts.npy` for each corpus and size.
        seed: Seed of the choice of passages that the pieces are trained on.

    Raises:
        InputError: The text has more different characters than the requested pieces.
    """
    key = hashlib.sha256(
        json.dumps([corpus.digest, size, seed, SAMPLE_BYTES, _TRAINER_OPTIONS]).encode()
    ).hexdigest()[:16]
    model_file, counts_file = folder / f"{key}.model", folder / f"{key}.counts.npy"
    if counts_file.exists():  # The last file to be written.
        return Vocabulary(model=model_file.read_bytes(), counts=np.load(counts_file))
    model = _train(corpus.train, size, seed)
    vocabulary = Vocabulary(model=model, counts=count_targets(model, corpus.train))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(model_file, model)
    buffer = io.BytesIO()
    np.save(buffer, vocabulary.counts)
    write_atomically(counts_file, buffer.getvalue())
    return vocabulary


def count_targets(model: bytes, passages: Sequence[Passage]) -> np.ndarray:
    """Count how often each piece is a target: all pieces of each passage, and its end.

    Returns:
        `(vocabulary size,)` int64.
    """
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    counts = np.zeros(processor.get_piece_size(), np.int64)
    for start in range(0, len(passages), _BATCH_PASSAGES):
        texts = [passage.read() for passage in passages[start : start + _BATCH_PASSAGES]]
        for ids in processor.encode(texts, num_threads=2):
            counts += np.bincount(ids, minlength=len(counts))
    counts[END_ID] += len(passages)
    return counts


def unigram_perplexity(train_counts: np.ndarray, held_out_counts: np.ndarray) -> float:
    """Return the perplexity of held-out pieces under the training frequencies, smoothed by 1.

    Args:
        train_counts: `(vocabulary size,)`, how often each piece is a target in training.
        held_out_counts: The same, in the held-out text.
    """
    smoothed = train_counts[UNKNOWN_ID:] + 1.0  # Padding is never a target.
    log_probabilities = np.log(smoothed / smoothed.sum())
    targets = held_out_counts[UNKNOWN_ID:]
    return float(np.exp(-(targets @ log_probabilities) / targets.sum()))


def _train(passages: Sequence[Passage], size: int, seed: int) -> bytes:
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_sample_lines(passages, seed),
            model_writer=model,
            vocab_size=size,
            num_threads=2,
            minloglevel=2,
            **_TRAINER_OPTIONS,
        )
    except RuntimeError as error:
        raise InputError(
            f"--vocabulary-size {size}: SentencePiece cannot make pieces of this text: {error}. "
            "Text with many different characters needs a larger vocabulary."
        ) from error
    return model.getvalue()


def _sample_lines(passages: Sequence[Passage], seed: int) -> Iterator[str]:
    """Yield the lines of passages, in a random order, up to about `SAMPLE_BYTES`."""
    order = list(passages)
    random.Random(seed).shuffle(order)
    remaining_bytes = SAMPLE_BYTES
    for passage in order:
        # SentencePiece drops sentences of more than 4192 bytes: split long lines.
        for line in passage.read().split("\n"):
            yield from (line[start : start + 1000] for start in range(0, len(line), 1000))
        remaining_bytes -= passage.size_bytes
        if remaining_bytes <= 0:
            return
