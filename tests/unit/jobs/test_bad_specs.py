"""What is said of each faulty spec of tests/golden/bad_specs.txt."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.golden import bad_specs

CASES = bad_specs.read()


@pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
def test_every_fault_is_told(case: bad_specs.BadSpec, tmp_path: Path) -> None:
    code, told = case.validate(tmp_path)
    assert code == 2
    assert told == case.told


@pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
def test_a_fault_has_its_line_its_path_and_what_to_do(case: bad_specs.BadSpec) -> None:
    lines = case.spec.splitlines() or [""]
    assert case.told
    for told in case.told.splitlines():
        number, path, sentence = _parts(told)
        assert 1 <= number <= len(lines)
        last_key = re.split(r"[.\[]", path)[-1].rstrip("]")
        if "missing" not in sentence and "there is none" not in sentence and not last_key.isdigit():
            assert last_key in lines[number - 1]
        assert re.search(r"\. [A-Z]|must be|is not one of", sentence)  # What to do.


def test_cases_have_titles_of_their_own() -> None:
    assert len({case.title for case in CASES}) == len(CASES) > 40


def _parts(told: str) -> tuple[int, str, str]:
    match = re.fullmatch(r"spec\.yaml:(\d+): (?:([\w.\[\]-]+): )?(.*)", told)
    assert match is not None, told
    return int(match[1]), match[2] or "", match[3]
