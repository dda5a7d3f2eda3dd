"""models/sample.py: a model continues prompts."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest

from models import corpus, gpt_lm, sample, vocabulary
from models.gpt_lm import Settings

SETTINGS = Settings(layers=1, heads=2, width=8, sequence_length=16, vocabulary_size=512)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> corpus.Corpus:
    file = tmp_path_factory.mktemp("texts") / "a.txt"
    file.write_text("".join(f"name{n} = first + {n}  # é\n" for n in range(2000)), "utf-8")
    return corpus.text_files(str(file))


def test_sample_continues_prompts_and_is_repeatable(texts: corpus.Corpus, tmp_path: Path) -> None:
    pieces = vocabulary.load_or_train(texts, SETTINGS.vocabulary_size, tmp_path)
    keras.utils.set_random_seed(1)
    model = gpt_lm.make_model(SETTINGS, pieces.size)
    weights = model.get_weights()

    def write(seed: int) -> str:
        copy = gpt_lm.make_model(SETTINGS, pieces.size)
        copy.set_weights(weights)
        prompts = sample.longest(texts.held_out, 2)
        return sample.continue_prompts(
            copy, pieces.processor(), prompts, sequence_length=16, seed=seed
        )

    text = write(0)
    assert text.count("--- prompt ---\nname") == 2
    continuations = text.split("--- continuation ---\n")[1:]
    assert len(continuations) == 2
    assert any(len(continuation) > 10 for continuation in continuations)
    assert write(0) == text
    assert write(1) != text


def test_longest_passages_come_first(texts: corpus.Corpus) -> None:
    first, second = sample.longest(texts.train, 2)
    assert len(first.encode()) >= len(second.encode())
    assert len(first.encode()) == max(passage.size_bytes for passage in texts.train)
