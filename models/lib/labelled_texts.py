"""Labelled texts from files or from the standard library. No TensorFlow here."""

from __future__ import annotations

import dataclasses
import hashlib
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.lib.examples import held_out
from models.lib.inputs import Faults, InputError, Row, read_rows

Labelled = tuple[str, str]
"""A text and its label's name."""

# Packages that all Pythons since 3.11 have, and that are large enough to learn.
PACKAGES = ("asyncio", "email", "http", "importlib", "multiprocessing", "unittest", "urllib", "xml")
LINES = 5


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
    """Texts to train on, and texts that are held out.

    Attributes:
        name: Where the texts come from, for a reader.
        classes: Names of the labels, sorted.
        train: Examples to train on.
        held_out: Examples that are held out.
        digest: A hash of all texts and labels, and of the split.
    """

    name: str
    classes: tuple[str, ...]
    train: Examples
    held_out: Examples
    digest: str

    @property
    def most_frequent_accuracy(self) -> float:
        """Accuracy on the held-out part of always predicting training's most frequent class."""
        most_frequent = np.bincount(self.train.labels, minlength=len(self.classes)).argmax()
        return float(np.mean(self.held_out.labels == most_frequent))

    def __str__(self) -> str:
        """Say how many texts and which classes there are."""
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
        data: File to train on; without test data, a part of it is held out.
        test_data: File that is held out. Its labels must be among those of `data`.
        text_columns: Columns whose texts are joined by a space.
        label_column: Column of the label: text, or in JSONL also a number or a boolean.
        header: Names of the columns, for CSV and TSV files without a header line.

    Raises:
        InputError: A file or some of its lines cannot be used, or there are too few classes.
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


def package_passages(root: Path | None = None) -> LabelledTexts:
    """Take passages of five lines from eight packages of the standard library, labelled by package.

    They contain code, comments and docstrings, without empty lines and indentation. Passages are
    held out one by one, so names that a file uses often are known from training.

    Args:
        root: Folder of the library; by default that of the running Python.

    Raises:
        InputError: The folder contains the source of fewer than two of the packages.
    """
    root = root or Path(sysconfig.get_paths()["stdlib"])
    labelled = [passage for package in PACKAGES for passage in _passages(root / package, package)]
    if len({label for _, label in labelled}) < 2:
        raise InputError(
            f"{root}: this Python comes without the source of its standard library. Give labelled "
            "texts of your own: --data FILE --text-column NAME --label-column NAME."
        )
    return hold_out(f"Packages of Python's standard library by {LINES} lines", labelled)


def _passages(folder: Path, package: str) -> Iterator[Labelled]:
    for path in sorted(folder.rglob("*.py")):
        if {"test", "tests"}.intersection(path.relative_to(folder).parts):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        for start in range(0, len(lines), LINES):
            yield "\n".join(lines[start : start + LINES]), package


def hold_out(name: str, labelled: Sequence[Labelled]) -> LabelledTexts:
    """Hold out a part, by a hash of the text alone, so that no text is in both parts.

    Raises:
        InputError: No text is left to train on.
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
    """Combine the training and the held-out part."""
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
    """Return the name of a text, integer or boolean label; None for any other value."""
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
        except UnicodeEncodeError:  # A JSON escape can be half of a surrogate pair.
            return f"{column!r} holds half of a surrogate pair. Repair or remove the line."
    if not any(row.fields[column].strip() for column in columns):
        return f"{', '.join(map(repr, columns))} is empty. Give a text, or remove the line."
    return None
