"""models/lib/bert.py: presets are checked, pieces are learned once, each worker has its share."""

from __future__ import annotations

import json
from pathlib import Path

import keras_nlp
import numpy as np
import pytest
import tensorflow as tf

from models.lib import bert
from models.lib.bert import check_preset
from models.lib.inputs import InputError
from models.lib.labelled_texts import Examples

CONFIG = {"class_name": "BertBackbone", "config": {"max_sequence_length": 64}}


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.weights.h5").write_bytes(b"weights")
    return tmp_path


def test_digest_is_of_config_and_weights(preset: Path) -> None:
    digest = check_preset(preset, 64)
    assert check_preset(preset, 8) == digest
    (preset / "model.weights.h5").write_bytes(b"others")
    assert check_preset(preset, 64) != digest


@pytest.mark.parametrize("missing", ["tokenizer.json", "model.weights.h5"])
def test_preset_without_a_file_is_refused(preset: Path, missing: str) -> None:
    (preset / missing).unlink()
    with pytest.raises(InputError, match=r"needs tokenizer\.json, and model\.weights\.h5 or"):
        check_preset(preset, 64)


def test_folder_without_config_is_refused(preset: Path) -> None:
    (preset / "config.json").unlink()
    with pytest.raises(InputError, match=r"config\.json cannot be read: No such file"):
        check_preset(preset, 64)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"class_name": "a", "config": {}}'])
def test_damaged_config_is_refused(preset: Path, content: str) -> None:
    (preset / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"config\.json is no config of a BERT backbone"):
        check_preset(preset, 64)


def test_preset_of_another_model_is_refused(preset: Path) -> None:
    (preset / "config.json").write_text(json.dumps({**CONFIG, "class_name": "GPT2Backbone"}))
    with pytest.raises(InputError, match="holds a GPT2Backbone, but must hold a BertBackbone"):
        check_preset(preset, 64)


def test_sequence_longer_than_the_presets_positions_is_refused(preset: Path) -> None:
    with pytest.raises(InputError, match=r"--sequence-length is 65, but .* has 64 positions"):
        check_preset(preset, 65)


TEXTS = ["The quick brown Fox jumps over the lazy dog.", "Ünlike the foxes\x1c"] * 20


def test_pieces_cut_the_texts_they_were_learned_from(tmp_path: Path) -> None:
    pieces = bert.load_or_learn(TEXTS, 300, tmp_path)
    assert tuple(pieces[:5]) == bert.SPECIAL_PIECES
    assert len(set(pieces)) == len(pieces) <= 300
    tokenizer = keras_nlp.models.BertTokenizer(vocabulary=pieces, lowercase=True)
    ids = tokenizer(TEXTS[0])
    assert pieces.index("[UNK]") not in ids
    assert tokenizer.detokenize(ids) == "the quick brown fox jumps over the lazy dog ."


def test_pieces_are_learned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = bert.load_or_learn(TEXTS, 300, tmp_path)
    monkeypatch.setattr(bert, "_learn", None)
    assert bert.load_or_learn(TEXTS, 300, tmp_path) == pieces
    with pytest.raises(TypeError):
        bert.load_or_learn(TEXTS, 200, tmp_path)
    with pytest.raises(TypeError):
        bert.load_or_learn(TEXTS[1:], 300, tmp_path)


def test_file_gives_back_what_was_written(tmp_path: Path) -> None:
    pieces = ["[PAD]", "a", "##\u2028", "\x85"]
    bert.write_pieces(tmp_path / "a.txt", pieces)
    assert bert.read_pieces(tmp_path / "a.txt") == pieces


def test_of_much_text_a_sample_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bert, "SAMPLE_CHARACTERS", 50)
    seen: list[list[str]] = []
    monkeypatch.setattr(bert, "_learn", lambda texts, size: seen.append(texts) or ["a"])
    monkeypatch.setattr(bert, "write_pieces", lambda file, pieces: None)
    bert.load_or_learn([f"{number:010}" for number in range(99)], 300, Path("/nowhere"))
    assert len(seen[0]) == 5


EXAMPLES = Examples(texts=tuple(map(str, range(10))), labels=np.arange(10))


def context(worker: int, workers: int) -> tf.distribute.InputContext:
    return tf.distribute.InputContext(num_input_pipelines=workers, input_pipeline_id=worker)


def test_held_out_examples_are_on_one_worker_once() -> None:
    make_dataset = bert.held_out_batches(EXAMPLES, batch_size=2)
    shares = [list(make_dataset(context(worker, 3)).unbatch()) for worker in range(3)]
    pairs = [(text.numpy().decode(), int(label)) for share in shares for text, label in share]
    assert sorted(pairs) == [(str(number), number) for number in range(10)]


def test_worker_without_held_out_examples_has_an_empty_dataset() -> None:
    few = Examples(texts=("a",), labels=np.array([0]))
    dataset = bert.held_out_batches(few, batch_size=2)(context(1, 2))
    assert dataset.element_spec[0].dtype == tf.string
    assert list(dataset) == []


def test_training_repeats_the_share_in_full_batches() -> None:
    dataset = bert.training_batches(EXAMPLES, batch_size=5, seed=0)(context(1, 2))
    rounds = [labels.numpy() for _, labels in dataset.take(4)]
    assert all(sorted(labels) == [1, 3, 5, 7, 9] for labels in rounds)
    assert len({tuple(labels) for labels in rounds}) > 1


def test_each_worker_needs_an_example_to_train_on() -> None:
    make_dataset = bert.training_batches(EXAMPLES, batch_size=5, seed=0)
    with pytest.raises(ValueError, match="11 workers share 10 texts"):
        make_dataset(context(0, 11))
