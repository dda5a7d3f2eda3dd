"""Texts with a label each, of which some are held out. No TensorFlow here."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import InputError
from models.held_out import held_out
from models.rows import Faults, Row, read_rows

Labelled = tuple[str, str]
"""A text and its label's name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examples:
    """Texts and their labels.

    Attributes:
        texts: `(examples,)`, none of them empty.
        labels: `(examples,)` int64, indices of classes.
    """

    texts: tuple[str, ...]
    labels: np.ndarray

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.texts)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelledTexts:
    """What to train on, and what is held out.

    Attributes:
        name: What it is, for a reader.
        classes: The labels' names, sorted.
        train: Examples to train on.
        held_out: Examples never trained on.
        digest: A hash of all texts and labels, and of which are held out.
    """

    name: str
    classes: tuple[str, ...]
    train: Examples
    held_out: Examples
    digest: str

    @property
    def most_frequent_accuracy(self) -> float:
        """Score the held-out texts when all are given the most frequent class of training."""
        most_frequent = np.bincount(self.train.labels, minlength=len(self.classes)).argmax()
        return float(np.mean(self.held_out.labels == most_frequent))

    def __str__(self) -> str:
        """Say how much there is."""
        shown = ", ".join(self.classes[:10]) + (", ..." if len(self.classes) > 10 else "")
        return (
            f"{self.name}: {len(self.train):,} texts to train on, {len(self.held_out):,} held "
            f"out, {len(self.classes)} classes: {shown}"
        )


def read_files(
    data: Path,
    test_data: Path | None,
    *,
    text_columns: Sequence[str],
    label_column: str,
    header: Sequence[str] = (),
) -> LabelledTexts:
    """Read labelled texts from CSV, TSV or JSONL files.

    Args:
        data: What to train on; without test data, a part of it is held out.
        test_data: What is held out. Its labels are among those of `data`.
        text_columns: Columns whose texts are joined by a space.
        label_column: Column of the label: text, or in JSONL a number or a truth value too.
        header: Names of the columns, for CSV and TSV files without a header line.

    Raises:
        InputError: A file or some lines of it cannot be used, or there are too few classes.
    """
    labelled = _read(data, text_columns, label_column, header)
    classes = {label for _, label in labelled}
    if len(classes) < 2 or len(classes) > max(2, len(labelled) // 2):
        raise InputError(
            f"{data}: column {label_column!r} has {len(classes)} different values in "
            f"{len(labelled)} rows, but it must have at least 2, each twice on average. Is "
            f"--label-column {label_column} the label?"
        )
    if test_data is None:
        return hold_out(str(data), labelled)
    test = _read(test_data, text_columns, label_column, header, sorted(classes))
    return labelled_texts(f"{data} and {test_data}", labelled, test)


def hold_out(name: str, labelled: Sequence[Labelled]) -> LabelledTexts:
    """Hold a part out, by a hash of the text alone: a text is never on both sides.

    Raises:
        InputError: There is nothing left to train on.
    """
    is_held_out = held_out([text for text, _ in labelled])
    train = [example for example, out in zip(labelled, is_held_out, strict=True) if not out]
    if not train:
        raise InputError(
            f"{name}: {len(labelled)} texts are too few to train on one part and hold out another. "
            "Give more texts, or a file as --test-data."
        )
    rest = [example for example, out in zip(labelled, is_held_out, strict=True) if out]
    return labelled_texts(name, train, rest)


def labelled_texts(
    name: str, train: Sequence[Labelled], held_out: Sequence[Labelled]
) -> LabelledTexts:
    """Put together what to train on and what is held out."""
    classes = tuple(sorted({label for _, label in [*train, *held_out]}))
    digest = hashlib.sha256()
    for part in (train, held_out):
        digest.update(f"{len(part)}\0".encode())
        for text, label in part:
            digest.update(f"{len(text)}\0{text}{len(label)}\0{label}".encode("utf-8", "replace"))
    return LabelledTexts(
        name=name,
        classes=classes,
        train=_examples(train, classes),
        held_out=_examples(held_out, classes),
        digest=digest.hexdigest(),
    )


def _examples(labelled: Iterable[Labelled], classes: Sequence[str]) -> Examples:
    index = {label: number for number, label in enumerate(classes)}
    texts, labels = zip(*labelled, strict=True)
    return Examples(texts=texts, labels=np.array([index[label] for label in labels], np.int64))


def _read(
    path: Path,
    text_columns: Sequence[str],
    label_column: str,
    header: Sequence[str],
    known: Sequence[str] = (),
) -> list[Labelled]:
    faults = Faults(path)
    labelled = []
    hint = "Give --text-column and --label-column."
    if not header and path.suffix != ".jsonl":
        hint += " If the line is a row already, name all columns: --columns NAME NAME."
    for row in read_rows(path, [*text_columns, label_column], header=header, hint=hint):
        label = _label(row.fields[label_column])
        if label is None:
            faults.add(row.line, f"{label_column!r} is {row.fields[label_column]!r}, no label.")
        elif known and label not in known:
            faults.add(row.line, _unknown_label(label, known))
        elif fault := _text_fault(row, text_columns):
            faults.add(row.line, fault)
        else:
            labelled.append((" ".join(row.fields[column] for column in text_columns), label))
    faults.check()
    return labelled


def _label(value: Any) -> str | None:
    """Return a label's name: of text, of a whole number, of a truth value; else None."""
    if isinstance(value, str):
        return value.strip() or None
    return str(value) if isinstance(value, int) else None


def _unknown_label(label: str, known: Sequence[str]) -> str:
    shown = ", ".join(map(repr, known[:10])) + (", ..." if len(known) > 10 else "")
    return (
        f"label {label!r} is not one of the training data's {len(known)}: {shown}. "
        "Correct it, or remove the line."
    )


def _text_fault(row: Row, columns: Sequence[str]) -> str | None:
    for column in columns:
        value = row.fields[column]
        if not isinstance(value, str):
            return f"{column!r} is {type(value).__name__} {value!r}, but must be text."
        try:
            value.encode()
        except UnicodeEncodeError:  # JSON can escape half of a surrogate pair.
            return f"{column!r} holds half of a surrogate pair. Repair or remove the line."
    if not any(row.fields[column].strip() for column in columns):
        return f"{', '.join(map(repr, columns))} is empty. Give a text, or remove the line."
    return None
