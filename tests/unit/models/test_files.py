"""models/files.py: a file is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.files import write_atomically


def test_file_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_bytes(b"before")
    write_atomically(target, b"after")
    assert target.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [target]


def test_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Path, target: Path) -> None:
        raise OSError("disk full")

    target = tmp_path / "a.json"
    target.write_bytes(b"before")
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, b"after")
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]
