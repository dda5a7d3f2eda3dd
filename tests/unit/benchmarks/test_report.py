from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import report


def test_json_keeps_all_digits_of_what_the_terminal_rounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = report.Table(
        title="Bytes", columns=["ps", "MB", "ok"], rows=[[0, 26.7412345, True], [1, 13.5, False]]
    )

    report.publish([table], tmp_path / "found.json")

    printed = capsys.readouterr().out
    assert "26.74" in printed
    assert "26.7412345" not in printed
    assert "NO" in printed
    written = json.loads((tmp_path / "found.json").read_text())
    assert written["tables"][0]["rows"] == [
        {"ps": 0, "MB": 26.7412345, "ok": True},
        {"ps": 1, "MB": 13.5, "ok": False},
    ]


def test_a_row_that_does_not_fit_the_columns_is_named() -> None:
    with pytest.raises(ValueError, match=r"'Bytes': row \[0\] has 1 cells.*2 columns"):
        report.Table(title="Bytes", columns=["ps", "MB"], rows=[[0]])


def test_low_middle_high_of_an_even_number_of_values_means_the_middle_two() -> None:
    assert report.low_middle_high([4.0, 1.0, 3.0, 2.0]) == (1.0, 2.5, 4.0)
