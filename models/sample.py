"""Text that a trained language model writes, after the beginnings of held-out passages."""

from __future__ import annotations

from collections.abc import Sequence

import keras_nlp
import numpy as np
import sentencepiece

from models.corpus import Passage
from models.vocabulary import END_ID, PAD_ID, START_ID


def continue_prompts(
    model: keras_nlp.models.GPT2CausalLM,
    processor: sentencepiece.SentencePieceProcessor,
    prompts: Sequence[str],
    *,
    sequence_length: int,
    seed: int,
) -> str:
    """Let a model continue prompts by top-k sampling.

    Args:
        model: A model whose variables lie in this process: each token needs all of them.
        processor: Turns text into tokens and back.
        prompts: Beginnings; each is cut to a quarter of the sequence length.
        sequence_length: The tokens of prompt and continuation together.
        seed: Of the sampling.

    Returns:
        The prompts, each with its continuation.
    """
    model.compile(
        sampler=keras_nlp.samplers.TopKSampler(k=20, temperature=0.8, seed=seed), jit_compile=False
    )
    beginnings = [
        [START_ID, *processor.encode(prompt)][: max(2, sequence_length // 4)] for prompt in prompts
    ]
    token_ids = np.full((len(prompts), sequence_length), PAD_ID, np.int32)
    for row, ids in zip(token_ids, beginnings, strict=True):
        row[: len(ids)] = ids
    inputs = {"token_ids": token_ids, "padding_mask": (token_ids != PAD_ID).astype(np.int32)}
    written = np.asarray(model.generate(inputs, stop_token_ids=[END_ID])["token_ids"])
    return "\n".join(
        _passage(processor, beginning, row[len(beginning) :].tolist())
        for beginning, row in zip(beginnings, written, strict=True)
    )


def longest(passages: Sequence[Passage], count: int) -> list[str]:
    """Read the longest passages, as prompts."""
    by_size = sorted(passages, key=lambda passage: -passage.size_bytes)
    return [passage.read() for passage in by_size[:count]]


def _passage(
    processor: sentencepiece.SentencePieceProcessor, prompt: list[int], continuation: list[int]
) -> str:
    if END_ID in continuation:
        continuation = continuation[: continuation.index(END_ID)]
    return (
        f"--- prompt ---\n{processor.decode(prompt[1:])}\n"
        f"--- continuation ---\n{processor.decode(continuation)}\n"
    )
