"""models/preset.py: folders that keras-nlp could not load are told before it is imported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.errors import InputError
from models.preset import check_preset

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
def test_missing_file_is_told(preset: Path, missing: str) -> None:
    (preset / missing).unlink()
    with pytest.raises(InputError, match=r"needs tokenizer\.json, and model\.weights\.h5 or"):
        check_preset(preset, 64)


def test_folder_without_config_is_told(preset: Path) -> None:
    (preset / "config.json").unlink()
    with pytest.raises(InputError, match=r"config\.json cannot be read: No such file"):
        check_preset(preset, 64)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"class_name": "a", "config": {}}'])
def test_damaged_config_is_told(preset: Path, content: str) -> None:
    (preset / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"config\.json is no config of a BERT backbone"):
        check_preset(preset, 64)


def test_other_model_is_told(preset: Path) -> None:
    (preset / "config.json").write_text(json.dumps({**CONFIG, "class_name": "GPT2Backbone"}))
    with pytest.raises(InputError, match="holds a GPT2Backbone, but must hold a BertBackbone"):
        check_preset(preset, 64)


def test_too_long_texts_are_told(preset: Path) -> None:
    with pytest.raises(InputError, match=r"--sequence-length is 65, but .* has 64 positions"):
        check_preset(preset, 65)
