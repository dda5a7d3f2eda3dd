"""models/bert_task.py: a classifier from scratch, from a preset, with LoRA."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras_nlp
import numpy as np
import pytest

from models import bert_task
from models.bert_classifier import Settings
from models.labelled_texts import labelled_texts
from models.preset import check_preset
from models.wordpiece import SPECIAL_PIECES

DATA = labelled_texts("words", [("one", "a"), ("two", "b"), ("six", "c")], [("one", "a")])
PIECES = [*SPECIAL_PIECES, "one", "two", "six"]
SETTINGS = Settings(width=8, heads=2, layers=1, sequence_length=8, batch_size=1)


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run leaves."""
    folder = tmp_path_factory.mktemp("preset")
    bert_task.make_model(SETTINGS, DATA, PIECES).save_to_preset(str(folder))
    return folder


def test_model_has_a_logit_for_each_class_and_takes_raw_text() -> None:
    model = bert_task.make_model(SETTINGS, DATA, PIECES)
    logits = model.predict(np.array(["One two", "six"], dtype=object), verbose=0)
    assert logits.shape == (2, 3)
    token_ids = model.preprocessor(["ONE six"])["token_ids"]
    np.testing.assert_array_equal(token_ids, [[2, 5, 7, 3, 0, 0, 0, 0]])


def test_models_begin_with_the_same_weights() -> None:
    weights = [bert_task.make_model(SETTINGS, DATA, PIECES).get_weights() for _ in range(2)]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_preset_gives_backbone_and_pieces_and_the_data_the_head(
    preset: Path, tmp_path: Path
) -> None:
    check_preset(preset, 8)
    settings = dataclasses.replace(SETTINGS, preset=preset, width=999)
    two = labelled_texts("words", [("one", "x"), ("two", "y")], [("one", "x")])
    pieces = bert_task.load_pieces(settings, two, tmp_path / "vocabulary.txt")
    assert pieces == PIECES
    assert (tmp_path / "vocabulary.txt").read_text().split() == PIECES
    model = bert_task.make_model(settings, two, pieces)
    assert model.num_classes == 2
    assert model.preprocessor.sequence_length == 8
    expected = keras_nlp.models.BertBackbone.from_preset(str(preset)).get_weights()
    for weight, value in zip(model.backbone.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_lora_trains_little_more_than_the_head(preset: Path) -> None:
    settings = dataclasses.replace(SETTINGS, preset=preset, lora_rank=2)
    model = bert_task.make_model(settings, DATA, PIECES)
    names = {variable.path.split("/")[-1] for variable in model.backbone.trainable_variables}
    assert names >= {"lora_kernel_a", "lora_kernel_b"}
    assert "embeddings" not in names
    whole = bert_task.make_model(SETTINGS, DATA, PIECES)
    assert len(model.trainable_variables) < 0.5 * len(whole.trainable_variables)


def test_vocabulary_of_a_run_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "vocabulary.txt"
    file.write_text("a\nb\n")
    assert bert_task.load_pieces(SETTINGS, DATA, file) == ["a", "b"]
