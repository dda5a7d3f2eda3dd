"""The lines of a growing file, and the folder in which jobs are recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tfps.jobs.background import launcher
from tfps.jobs.background.launcher import lines, state_folder


@pytest.fixture(autouse=True)
def _poll_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "_POLL_S", 0.0)


def read(path: Path, *pieces: bytes) -> list[str]:
    """Return the lines of a file to which a piece is appended before each read."""
    left = iter(pieces)

    def may_grow() -> bool:
        piece = next(left, None)
        if piece is None:
            return False
        with path.open("ab") as file:
            file.write(piece)
        return True

    return list(lines(path, may_grow))


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

    answers = states()
    assert list(lines(log, lambda: next(answers))) == ["last words"]


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"XDG_STATE_HOME": "/state"}, Path("/state")),
        ({"XDG_STATE_HOME": "relative"}, Path.home() / ".local/state"),
        ({}, Path.home() / ".local/state"),
    ],
)
def test_jobs_are_written_down_where_xdg_says(environ: dict[str, str], folder: Path) -> None:
    assert state_folder(environ) == folder
