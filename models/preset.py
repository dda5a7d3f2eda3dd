"""Checks a folder that keras-nlp is to load a BERT backbone from. No TensorFlow here."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from models.errors import InputError

_WEIGHTS = ("model.weights.h5", "model.weights.json")


def check_preset(folder: Path, sequence_length: int) -> str:
    """Look into a preset's folder, before keras-nlp does.

    Args:
        folder: The folder, as keras-nlp's `save_to_preset` leaves it.
        sequence_length: Tokens that a text is to have; the backbone must have as many positions.

    Returns:
        A hash of the backbone's config and weights.

    Raises:
        InputError: It is no BERT preset, lacks a file, or is made for shorter texts.
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
