"""models/lib/vocabulary.py: lossless pieces, the cache, the unigram distribution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.lib import corpus, vocabulary
from models.lib.corpus import Corpus
from models.lib.inputs import InputError
from models.lib.vocabulary import END_ID, PAD_ID, Vocabulary

TEXT = (
    "def add(first, second):\n    return first + second\n\n\n"
    "class Point:\n\tx: int = 0  # two  spaces\n"
)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("texts")
    for number in range(4):
        lines = (TEXT.replace("add", f"add{n}").replace("x", f"x{number}") for n in range(200))
        (folder / f"{number}.txt").write_text("".join(lines))
    return corpus.text_files(f"{folder}/*.txt")


@pytest.fixture(scope="module")
def trained(texts: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    return vocabulary.load_or_train(texts, 512, tmp_path_factory.mktemp("vocabularies"))


@pytest.mark.parametrize(
    "text", [TEXT, "  leading", "trailing  ", "a\r\nb", "naïve ☃ 𝄞", "\n\n\n", "\t\tx", ""]
)
def test_text_survives_tokens(trained: Vocabulary, text: str) -> None:
    processor = trained.processor()
    assert processor.decode(processor.encode(text)) == text


def test_second_call_reads_the_cache(
    texts: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = vocabulary.load_or_train(texts, 512, tmp_path)
    monkeypatch.setattr(vocabulary, "_train", lambda *_: pytest.fail("trained again"))

    second = vocabulary.load_or_train(texts, 512, tmp_path)

    assert second.model == first.model
    np.testing.assert_array_equal(second.counts, first.counts)
    assert len(list(tmp_path.iterdir())) == 2


def test_size_and_text_have_vocabularies_of_their_own(texts: Corpus, tmp_path: Path) -> None:
    vocabulary.load_or_train(texts, 512, tmp_path)
    vocabulary.load_or_train(texts, 520, tmp_path)
    other = Corpus(
        name="other",
        train=texts.train[:2],
        held_out=texts.held_out,
        file_count=1,
        digest="other",
    )
    vocabulary.load_or_train(other, 512, tmp_path)
    assert len(list(tmp_path.glob("*.model"))) == 3


def test_cache_that_was_cut_short_is_made_again(texts: Corpus, tmp_path: Path) -> None:
    first = vocabulary.load_or_train(texts, 512, tmp_path)
    (counts_file,) = tmp_path.glob("*.counts.npy")
    (model_file,) = tmp_path.glob("*.model")
    counts_file.unlink()
    model_file.write_bytes(b"cut short")

    second = vocabulary.load_or_train(texts, 512, tmp_path)

    assert second.model == first.model  # Training is deterministic.
    assert model_file.read_bytes() == first.model


def test_counts_are_of_the_training_passages_and_their_ends(
    texts: Corpus, trained: Vocabulary
) -> None:
    processor = trained.processor()
    tokens = sum(len(processor.encode(passage.read())) for passage in texts.train)
    assert trained.counts.sum() == tokens + len(texts.train)
    assert trained.counts[END_ID] == len(texts.train)
    assert trained.counts[PAD_ID] == 0
    assert trained.size == len(trained.counts) == processor.get_piece_size()


def test_text_of_few_words_gets_fewer_pieces(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one two\n" * 2000)
    texts = corpus.text_files(f"{tmp_path}/a.txt")
    assert vocabulary.load_or_train(texts, 4096, tmp_path / "v").size < 400


def test_too_small_a_vocabulary_is_refused(tmp_path: Path) -> None:
    many = "".join(chr(code) for code in range(0x4E00, 0x4E00 + 2000))
    (tmp_path / "a.txt").write_text((many + "\n") * 5, encoding="utf-8")
    texts = corpus.text_files(f"{tmp_path}/a.txt")
    with pytest.raises(InputError, match=r"--vocabulary-size 512.*larger vocabulary"):
        vocabulary.load_or_train(texts, 512, tmp_path / "v")


def test_unigram_perplexity_of_equal_counts_is_the_number_of_pieces() -> None:
    train = np.array([0, *[1000] * 64])
    held_out = np.array([0, *range(64)])
    assert vocabulary.unigram_perplexity(train, held_out) == pytest.approx(64)


def test_unigram_perplexity_by_hand() -> None:
    # With one added to each count: probabilities 1/8, 2/8, 5/8; padding is left out.
    train = np.array([99, 0, 1, 4])
    held_out = np.array([7, 1, 0, 3])
    expected = (1 / 8 * (5 / 8) ** 3) ** (-1 / 4)
    assert vocabulary.unigram_perplexity(train, held_out) == pytest.approx(expected)


def test_piece_unseen_in_training_has_a_finite_perplexity() -> None:
    assert np.isfinite(vocabulary.unigram_perplexity(np.array([0, 0, 5]), np.array([0, 9, 1])))
