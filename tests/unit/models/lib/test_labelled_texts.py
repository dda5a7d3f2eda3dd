"""models/lib/labelled_texts.py: texts and labels from files or the standard library, and errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.lib.inputs import InputError
from models.lib.labelled_texts import (
    LINES,
    PACKAGES,
    LabelledTexts,
    hold_out,
    labelled_texts,
    package_passages,
    read_files,
)

LABELLED = [(f"text {number}", "ab"[number % 2]) for number in range(200)]


def write(path: Path, labelled: list[tuple[str, object]]) -> Path:
    rows = [json.dumps({"text": text, "label": label}) + "\n" for text, label in labelled]
    path.write_text("".join(rows))
    return path


def read(data: Path, test_data: Path | None = None) -> LabelledTexts:
    return read_files(data, test_data, text_columns=("text",), label_column="label")


def test_a_part_is_held_out_and_each_text_is_on_one_side(tmp_path: Path) -> None:
    data = read(write(tmp_path / "a.jsonl", LABELLED + LABELLED))
    assert data.classes == ("a", "b")
    assert len(data.train) + len(data.held_out) == 400
    assert 0.03 < len(data.held_out) / 400 < 0.2
    assert not set(data.train.texts) & set(data.held_out.texts)
    pairs = zip(data.train.texts, data.train.labels.tolist(), strict=True)
    assert {(text, data.classes[label]) for text, label in pairs} < set(LABELLED)


def test_test_data_are_what_is_held_out(tmp_path: Path) -> None:
    train, test = write(tmp_path / "a.jsonl", LABELLED), write(tmp_path / "b.jsonl", LABELLED[1:4])
    data = read(train, test)
    assert len(data.train) == 200
    assert data.held_out.texts == ("text 1", "text 2", "text 3")
    np.testing.assert_array_equal(data.held_out.labels, [1, 0, 1])
    assert str(data) == (f"{train} and {test}: 200 texts to train on, 3 held out, 2 classes: a, b")


def test_several_text_columns_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1,Title,body\n1,,only body\n2,Other,body\n2,Fourth,body\n")
    data = read_files(path, path, text_columns=("t", "b"), label_column="c", header=("c", "t", "b"))
    assert data.train.texts[:2] == ("Title body", " only body")
    assert data.classes == ("1", "2")


def test_json_labels_may_be_numbers_and_truth_values(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [("a", 1), ("b", True), ("c", " x "), ("d", 1)] * 2)
    assert read(path, path).classes == ("1", "True", "x")


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (("", "a"), "line 201: 'text' is empty. Give a text, or remove the line."),
        ((" \n", "a"), "line 201: 'text' is empty."),
        ((3, "a"), "line 201: 'text' is int 3, but must be text."),
        ((None, "a"), "line 201: 'text' is NoneType None"),
        (("one", ""), "line 201: 'label' is '', no label."),
        (("one", 1.5), "line 201: 'label' is 1.5, no label."),
        (("one", None), "line 201: 'label' is None, no label."),
        (("\ud800", "a"), "line 201: 'text' holds half of a surrogate pair."),
    ],
)
def test_fault_names_file_and_line(tmp_path: Path, row: tuple[str, object], fault: str) -> None:
    path = write(tmp_path / "a.jsonl", [*LABELLED, row])
    with pytest.raises(InputError) as raised:
        read(path)
    assert str(raised.value).startswith(f"{path}: {fault}")


def test_label_of_test_data_is_one_of_the_training_data(tmp_path: Path) -> None:
    train = write(tmp_path / "a.jsonl", LABELLED)
    test = write(tmp_path / "b.jsonl", [("one", "a"), ("two", "c")])
    with pytest.raises(InputError) as raised:
        read(train, test)
    assert str(raised.value) == (
        f"{test}: line 2: label 'c' is not one of the training data's 2: 'a', 'b'. "
        "Correct it, or remove the line."
    )


@pytest.mark.parametrize("labels", ["a" * 200, "".join(map(chr, range(300, 500)))])
def test_column_that_cannot_be_the_label_is_refused(tmp_path: Path, labels: str) -> None:
    path = write(tmp_path / "a.jsonl", [(f"text {n}", label) for n, label in enumerate(labels)])
    with pytest.raises(InputError, match=r"different values in 200 rows.*Is --label-column label"):
        read(path)


def test_error_for_a_missing_column_shows_how_to_name_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1,One\n")
    with pytest.raises(InputError, match="If the line is a row already, name all columns"):
        read(path)


def test_too_few_texts_to_hold_some_out() -> None:
    with pytest.raises(InputError, match="2 texts are too few to train on one part"):
        hold_out("mine", [("same", "a"), ("same", "b")])


def test_most_frequent_class_is_that_of_training() -> None:
    data = labelled_texts("mine", [("1", "a"), ("2", "a"), ("3", "b")], [("4", "b"), ("5", "a")])
    assert data.most_frequent_accuracy == 0.5


def test_digest_changes_with_texts_labels_and_sides() -> None:
    splits = [
        ([("1", "a"), ("2", "b")], [("3", "b")]),
        ([("1", "a"), ("2", "b")], [("4", "b")]),
        ([("1", "b"), ("2", "a")], [("3", "b")]),
        ([("1", "a")], [("2", "b"), ("3", "b")]),
        ([("1a", ""), ("2", "b")], [("3", "b")]),
    ]
    assert len({labelled_texts("mine", *split).digest for split in splits}) == len(splits)


def test_each_package_is_a_class_and_none_prevails() -> None:
    data = package_passages()
    assert data.classes == PACKAGES
    assert np.bincount(data.train.labels).min() > 100
    assert data.most_frequent_accuracy < 0.4
    assert len(data.train) > 5 * len(data.held_out) > 1000


def test_passages_are_five_lines_without_empty_ones(tmp_path: Path) -> None:
    for package in ("email", "http"):
        (tmp_path / package / "test").mkdir(parents=True)
        (tmp_path / package / "test" / "b.py").write_text("left out\n" * 9)
        lines = [f"{package} = {number}" for number in range(7)]
        (tmp_path / package / "a.py").write_text("\n\n    ".join(lines))
    data = package_passages(tmp_path)
    texts = data.train.texts + data.held_out.texts
    assert sorted(len(text.split("\n")) for text in texts) == [2, 2, LINES, LINES]
    assert "email = 0\nemail = 1\nemail = 2\nemail = 3\nemail = 4" in texts


def test_library_without_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without the source of its standard library"):
        package_passages(tmp_path)
