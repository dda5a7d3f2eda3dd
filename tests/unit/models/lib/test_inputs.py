"""models/lib/inputs.py: rows with their lines, and the fault of each line."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.lib.inputs import InputError, Row, read_rows


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_csv_has_quoted_fields_that_go_over_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'label,text\nx,"one, ""two""\nthree"\n\ny,four\n')
    assert read_rows(path, ["text", "label"]) == [
        Row(2, {"label": "x", "text": 'one, "two"\nthree'}),
        Row(5, {"label": "y", "text": "four"}),
    ]


def test_in_tsv_a_quotation_mark_is_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'text\tlabel\r\n"one\tx\r\n')
    assert read_rows(path, ["text"]) == [Row(2, {"text": '"one', "label": "x"})]


def test_columns_may_be_named_where_there_is_no_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "x,one\n")
    assert read_rows(path, ["b"], header=("a", "b")) == [Row(1, {"a": "x", "b": "one"})]


def test_jsonl_has_an_object_a_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "a\u2028b", "n": 1}\n\n{"text": "c"}\n')
    assert read_rows(path, ["text"]) == [
        Row(1, {"text": "a\u2028b", "n": 1}),
        Row(3, {"text": "c"}),
    ]


def test_a_byte_order_mark_belongs_to_no_column(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "\ufefftext\none\n")
    assert read_rows(path, ["text"]) == [Row(2, {"text": "one"})]


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.txt", "", ".txt is not one of .csv, .tsv, .jsonl"),
        ("a.csv", "", "has no rows"),
        ("a.csv", "text\n", "has no rows"),
        ("a.jsonl", "\n", "has no rows"),
        ("a.csv", b"text\none\ncaf\xe9\n", "line 3: not UTF-8: byte 0xe9"),
        ("a.csv", "txt\none\n", "line 1: no column 'text'; there are 'txt'. Did you mean 'txt'?"),
        ("a.csv", "a,b\n1,2\n", "no column 'text'; there are 'a', 'b'. Name one of them."),
        ("a.csv", "text,text\n1,2\n", "line 1: two columns are 'text'. Rename one."),
        ("a.csv", "text,b\none,1\ntwo\n", "line 3: has 1 of the 2 columns 'text', 'b'."),
        ("a.csv", 'text\none\n"two\nthree\n', "line 3: not CSV: unexpected end of data"),
        ("a.csv", 'text\n"one"two\n', "line 2: not CSV: ',' expected after '\"'"),
        ("a.tsv", "text\tb\none\n", "line 2: has 1 of the 2 columns"),
        ("a.jsonl", '{"text": "one"}\n{"text": \n', "line 2: not JSON: Expecting value at column"),
        ("a.jsonl", '["one"]\n', 'line 1: is JSON, but no object. Give one like {"text": '),
        ("a.jsonl", '{"a": "one"}\n', "line 1: no column 'text'; there are 'a'."),
    ],
)
def test_fault_names_file_and_line(tmp_path: Path, name: str, content: str, fault: str) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(InputError) as raised:
        read_rows(path, ["text"])
    assert str(raised.value).startswith(f"{path}: ")
    assert fault in str(raised.value)


def test_first_faults_are_listed_and_the_others_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,b\n" + "one\n" * 8)
    with pytest.raises(InputError) as raised:
        read_rows(path, ["text"])
    lines = str(raised.value).splitlines()
    assert [line.split(":")[1] for line in lines[:-1]] == [f" line {n}" for n in range(2, 7)]
    assert lines[-1] == "3 more faults."


def test_missing_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.csv: cannot be read: No such file"):
        read_rows(tmp_path / "a.csv", ["text"])


def test_jsonl_takes_no_names_of_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "one"}\n')
    with pytest.raises(InputError, match="Leave out --columns"):
        read_rows(path, ["text"], header=("text",))


def test_hint_is_given_where_no_column_is_close(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a\n1\n")
    with pytest.raises(InputError, match=r"there are 'a'\. Give --x\."):
        read_rows(path, ["text"], hint="Give --x.")
