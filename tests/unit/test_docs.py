"""docs/keras-contract.md: each row has its cells, and names tests that exist."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEADER = [
    *("feature", "plain Keras 3 (one process)"),
    *("tf_keras 2.21 on TensorFlow's ParameterServerStrategy", "tfps", "test"),
]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def tables() -> list[list[list[str]]]:
    """The cells of each table of the page, line by line."""
    found: list[list[list[str]]] = []
    in_table = False
    for line in (ROOT / "docs" / "keras-contract.md").read_text().splitlines():
        if line.startswith("|"):
            if not in_table:
                found.append([])
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        in_table = line.startswith("|")
    return found


def rows() -> list[list[str]]:
    return [row for table in tables() for row in table[2:]]


@functools.cache
def functions(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_all_tables_have_the_same_columns() -> None:
    assert [table[0] for table in tables()] == [HEADER] * len(tables())
    assert {len(row) for table in tables() for row in table} == {len(HEADER)}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_row_says_what_tfps_does_and_names_tests_that_exist(row: list[str]) -> None:
    feature, plain, legacy, ours, tests = row
    assert feature
    assert plain
    assert re.match(r"yes|wrong: |fails: |no such feature|not tried", legacy)
    assert re.match(r"yes|rows touched only|refused: ", ours)
    assert re.fullmatch(rf"{TEST.pattern}(<br>{TEST.pattern})*", tests)
    for file, test in TEST.findall(tests):
        assert test in functions(ROOT / file), f"{file} has no {test}"


def test_no_feature_is_listed_twice() -> None:
    features = [row[0] for row in rows()]
    assert len(set(features)) == len(features)
