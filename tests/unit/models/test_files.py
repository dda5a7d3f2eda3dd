"""models/files.py: a file is there whole or not at all, and waited for."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from models.errors import InputError
from models.files import wait_for, write_atomically


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


def test_a_file_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    waiting = threading.Thread(target=wait_for, args=(file,))
    waiting.start()
    assert waiting.is_alive()
    file.touch()
    waiting.join(30)
    assert not waiting.is_alive()


def test_a_file_that_does_not_come_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Waited 0 s for .*a\.txt, which the chief writes"):
        wait_for(tmp_path / "a.txt", timeout_s=0)
