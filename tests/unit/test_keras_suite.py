"""The table of Keras's tests that fail says so for tests that exist, and with a reason."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest

from tests.keras_suite import expected
from tests.keras_suite.__main__ import SOURCE


def test_a_row_is_read_with_its_place_and_reason() -> None:
    (failure,) = expected.read("| `a_test.py::T::test_*` | 2 shards | fails | Because: a `b`. |")
    assert failure.reason == "Because: a `b`."
    assert failure.concerns("a_test.py::T::test_x", 2, 1)
    assert not failure.concerns("a_test.py::T::test_x", 1, 1)
    assert not failure.concerns("b_test.py::T::test_x", 2, 1)


@pytest.mark.parametrize("row", ["| `t` | here | fails | x |", "| `t` | 2 shards | breaks | x |"])
def test_a_row_with_an_unknown_word_is_an_error(row: str) -> None:
    with pytest.raises(KeyError):
        expected.read(row)


@pytest.mark.parametrize("failure", expected.read(expected.PAGE.read_text()), ids=lambda f: f.test)
def test_the_tests_in_the_table_exist(failure: expected.Failure) -> None:
    file, _, test = failure.test.partition("::")
    names = re.findall(r"def (test_\w+)", (SOURCE / Path(file)).read_text())
    pattern = test.rpartition("::")[2]
    # A parametrized test has the name of its function and a suffix.
    assert any(fnmatch.fnmatch(n, pattern) or pattern.startswith(n) for n in names), failure.test


def test_each_row_of_the_table_is_read() -> None:
    rows = re.findall(r"^\| `", expected.PAGE.read_text(), re.MULTILINE)
    assert len(rows) == len(expected.read(expected.PAGE.read_text()))
