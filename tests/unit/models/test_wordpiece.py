"""models/wordpiece.py: pieces that a BertTokenizer takes, learned once."""

from __future__ import annotations

from pathlib import Path

import keras_nlp
import pytest

from models import wordpiece

TEXTS = ["The quick brown Fox jumps over the lazy dog.", "Ünlike the foxes\x1c"] * 20


def test_pieces_cut_the_texts_they_were_learned_from(tmp_path: Path) -> None:
    pieces = wordpiece.load_or_learn(TEXTS, 300, tmp_path)
    assert tuple(pieces[:5]) == wordpiece.SPECIAL_PIECES
    assert len(set(pieces)) == len(pieces) <= 300
    tokenizer = keras_nlp.models.BertTokenizer(vocabulary=pieces, lowercase=True)
    ids = tokenizer(TEXTS[0])
    assert pieces.index("[UNK]") not in ids
    assert tokenizer.detokenize(ids) == "the quick brown fox jumps over the lazy dog ."


def test_pieces_are_learned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = wordpiece.load_or_learn(TEXTS, 300, tmp_path)
    monkeypatch.setattr(wordpiece, "_learn", None)
    assert wordpiece.load_or_learn(TEXTS, 300, tmp_path) == pieces
    with pytest.raises(TypeError):
        wordpiece.load_or_learn(TEXTS, 200, tmp_path)
    with pytest.raises(TypeError):
        wordpiece.load_or_learn(TEXTS[1:], 300, tmp_path)


def test_file_gives_back_what_was_written(tmp_path: Path) -> None:
    pieces = ["[PAD]", "a", "##\u2028", "\x85"]
    wordpiece.write(tmp_path / "a.txt", pieces)
    assert wordpiece.read(tmp_path / "a.txt") == pieces


def test_of_much_text_a_sample_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordpiece, "SAMPLE_CHARACTERS", 50)
    seen: list[list[str]] = []
    monkeypatch.setattr(wordpiece, "_learn", lambda texts, size: seen.append(texts) or ["a"])
    monkeypatch.setattr(wordpiece, "write", lambda file, pieces: None)
    wordpiece.load_or_learn([f"{number:010}" for number in range(99)], 300, Path("/nowhere"))
    assert len(seen[0]) == 5
