"""Rows of CSV, TSV and JSONL files, and their faults by line. No TensorFlow here."""

from __future__ import annotations

import csv
import dataclasses
import difflib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

SUFFIXES = (".csv", ".tsv", ".jsonl")
_SHOWN_FAULTS = 5


class InputError(ValueError):
    """An option or a file of the user cannot be used; the message says which one and what to do.

    A recipe prints the message instead of a traceback.
    """


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a file.

    Attributes:
        line: Number of its first line, counted from 1; a quoted field may span several lines.
        fields: Values by column; those of CSV and TSV files are text.
    """

    line: int
    fields: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Faults:
    """Collects the faults of a file, so that one error reports all of them."""

    path: Path
    messages: list[str] = dataclasses.field(default_factory=list)

    def add(self, line: int, what: str) -> None:
        """Add a fault of a line: a sentence that says what is allowed or what to do."""
        self.messages.append(f"{self.path}: line {line}: {what}")

    def check(self) -> None:
        """Raise an InputError that lists the first few faults, if there are any."""
        if not self.messages:
            return
        more = len(self.messages) - _SHOWN_FAULTS
        shown = [*self.messages[:_SHOWN_FAULTS], *([f"{more} more faults."] if more > 0 else [])]
        raise InputError("\n".join(shown))


def read_rows(
    path: Path,
    wanted: Sequence[str],
    *,
    header: Sequence[str] = (),
    hint: str = "Name one of them.",
) -> list[Row]:
    """Read all rows of a file; its suffix gives the format.

    CSV fields may be quoted as in RFC 4180; in TSV a quotation mark is text. Empty lines are
    skipped.

    Args:
        path: The file.
        wanted: Columns that each row must have.
        header: Column names of a CSV or TSV file; if empty, the first line holds them.
        hint: What the user should do if a column is missing.

    Raises:
        InputError: The file cannot be read, is empty, lacks a column, or some lines are malformed.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"{path}: {path.suffix or 'no suffix'} is not one of {', '.join(SUFFIXES)}. "
            "Name the file after what it holds."
        )
    text = _read_text(path)
    faults = Faults(path)
    if path.suffix == ".jsonl":
        if header:
            raise InputError(f"{path}: JSONL names its columns itself. Leave out --columns.")
        rows = list(_json_rows(text, wanted, hint, faults))
    else:
        rows = list(_delimited_rows(path, text, wanted, header, hint, faults))
    faults.check()
    if not rows:
        raise InputError(f"{path}: has no rows. Give a file that has some.")
    return rows


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror}. Check the path; it is looked for from "
            f"{Path.cwd()}."
        ) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}: line {line}: not UTF-8: byte 0x{error.object[error.start]:02x}, "
            f"{error.reason}. Convert the file: iconv -f latin1 -t utf-8."
        ) from error


def _json_rows(text: str, wanted: Sequence[str], hint: str, faults: Faults) -> Iterator[Row]:
    # Not splitlines: JSON strings may hold U+2028 and the like as they are.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as error:
            faults.add(
                number, f"not JSON: {error.msg} at column {error.colno}. Give one object a line."
            )
            continue
        if not isinstance(fields, dict):
            faults.add(number, f"is JSON, but no object. Give one like {_example(wanted)}.")
        elif missing := [column for column in wanted if column not in fields]:
            faults.add(number, _no_column(missing[0], list(fields), hint))
        else:
            yield Row(number, fields)


def _delimited_rows(
    path: Path,
    text: str,
    wanted: Sequence[str],
    header: Sequence[str],
    hint: str,
    faults: Faults,
) -> Iterator[Row]:
    is_csv = path.suffix == ".csv"
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter="," if is_csv else "\t",
        quoting=csv.QUOTE_MINIMAL if is_csv else csv.QUOTE_NONE,
        strict=True,
    )
    names = _checked_names(f"{path}: --columns", header, wanted, hint) if header else []
    start = 1
    try:
        for values in reader:
            line, start = start, reader.line_num + 1
            if not values:
                continue
            if not names:
                names = _checked_names(f"{path}: line {line}", values, wanted, hint)
            elif len(values) != len(names):
                faults.add(line, _wrong_width(values, names))
            else:
                yield Row(line, dict(zip(names, values, strict=True)))
    except csv.Error as error:
        faults.add(start, f"not {path.suffix[1:].upper()}: {error}. Check its quotation marks.")


def _checked_names(place: str, names: Sequence[str], wanted: Sequence[str], hint: str) -> list[str]:
    for column in wanted:
        if column not in names:
            raise InputError(f"{place}: {_no_column(column, names, hint)}")
        if names.count(column) > 1:
            raise InputError(f"{place}: two columns are {column!r}. Rename one.")
    return list(names)


def _no_column(column: str, names: Sequence[str], hint: str) -> str:
    close = difflib.get_close_matches(column, names, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else hint
    return f"no column {column!r}; there are {', '.join(map(_short, names)) or 'none'}. {hint}"


def _wrong_width(values: Sequence[str], names: Sequence[str]) -> str:
    return (
        f"has {len(values)} of the {len(names)} columns {', '.join(map(_short, names))}. "
        "Quote fields that hold the delimiter, or remove the line."
    )


def _short(name: str) -> str:
    return repr(name if len(name) <= 30 else f"{name[:27]}...")


def _example(wanted: Sequence[str]) -> str:
    return json.dumps(dict.fromkeys(wanted, "..."))
