"""The lines of a file that grows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tfps.jobs.local import lines as lines_module
from tfps.jobs.local.lines import lines


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "_LOOK_EVERY_S", 0.0)


def read(path: Path, *pieces: bytes) -> list[str]:
    """Read a file to which each look finds another piece appended."""
    left = iter(pieces)

    def goes_on() -> bool:
        piece = next(left, None)
        if piece is None:
            return False
        with path.open("ab") as file:
            file.write(piece)
        return True

    return list(lines(path, goes_on))


def test_lines_come_without_their_ends(tmp_path: Path) -> None:
    assert read(tmp_path / "log", b"a\n\nb\r\nc\n") == ["a", "", "b", "c"]


def test_a_line_may_come_in_pieces(tmp_path: Path) -> None:
    assert read(tmp_path / "log", b"on", b"e\ntw", b"o") == ["one", "two"]


def test_a_progress_bar_is_lines(tmp_path: Path) -> None:
    assert read(tmp_path / "log", b"1/2\r", b"2/2\r", b"\nend\r") == ["1/2", "2/2", "end"]


def test_a_letter_of_two_bytes_may_come_in_pieces(tmp_path: Path) -> None:
    assert read(tmp_path / "log", "é".encode()[:1], "é".encode()[1:] + b"\xff\n") == ["é\ufffd"]


def test_a_file_that_never_comes_has_no_lines(tmp_path: Path) -> None:
    assert list(lines(tmp_path / "log", lambda: False)) == []


def test_what_is_written_until_the_end_is_not_lost(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def states() -> Iterator[bool]:
        yield True
        log.write_bytes(b"last words\n")
        yield False

    looks = states()
    assert list(lines(log, lambda: next(looks))) == ["last words"]
