"""models/stdlib_passages.py: labelled texts of every machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.errors import InputError
from models.stdlib_passages import LINES, PACKAGES, package_passages


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
