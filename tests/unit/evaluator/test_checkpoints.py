"""Which files are checkpoints, their time and number, and which one is next."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tfps.evaluator.checkpoints import TRIES, Checkpoint, FileVersion, Watch, find, is_as_found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of all kinds of checkpoints, one after the other, and of what is none."""
    folder = tmp_path / "run [1]"
    folder.mkdir()
    (folder / "archive").mkdir()
    names = [
        *("epoch-9.weights.h5", "epoch-10.keras", "ckpt-1.data-00000-of-00001", "ckpt-1.index"),
        *("latest.weights.h5.bkp", ".best.weights.h5", "checkpoint", "notes.h5", "a.json.bkp"),
    ]
    for second, name in enumerate(names, start=1):
        (folder / name).write_text("content")
        os.utime(folder / name, (second, second))
    return folder


def names_of(found: tuple[Checkpoint, ...]) -> list[str]:
    return [checkpoint.name for checkpoint in sorted(found, key=lambda each: each.order)]


def test_a_folders_checkpoints_are_found_in_order_of_time(folder: Path) -> None:
    found = find(str(folder))
    assert names_of(found) == [
        *("epoch-9.weights.h5", "epoch-10.keras", "ckpt-1", "latest.weights.h5.bkp")
    ]
    assert [len(checkpoint.files) for checkpoint in found if checkpoint.name == "ckpt-1"] == [2]


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("epoch-*", ["epoch-9.weights.h5", "epoch-10.keras"]),
        ("*.keras", ["epoch-10.keras"]),
        ("ckpt-1", ["ckpt-1"]),
        ("ckpt-*", ["ckpt-1"]),
        ("latest.weights.h5", ["latest.weights.h5.bkp"]),
        ("nothing-*", []),
        ("nothing/at/all", []),
    ],
)
def test_a_pattern_a_file_and_a_prefix_are_found(
    folder: Path, place: str, names: list[str]
) -> None:
    renamed = folder.rename(folder.with_name("run"))  # Brackets are a pattern.
    assert names_of(find(str(renamed / place))) == names


def test_checkpoints_of_one_time_are_ordered_by_their_numbers() -> None:
    def at_once(name: str) -> Checkpoint:
        return Checkpoint(path=name, files=(FileVersion(path=name, size_bytes=1, modified_ns=1),))

    found = tuple(at_once(f"epoch-{number}.keras") for number in (10, 9, 100))
    assert names_of(found) == ["epoch-9.keras", "epoch-10.keras", "epoch-100.keras"]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("ckpt-3", 3),
        ("epoch-03-0.52.weights.h5", 3),
        ("05-0.42.keras", 5),
        ("gpt2-e7.weights.h5.bkp", 7),
        ("latest.weights.h5", None),
        ("loss-0.25.keras", None),
    ],
)
def test_the_last_whole_number_of_a_name_is_found(name: str, number: int | None) -> None:
    assert Checkpoint(path=f"folder-8/{name}", files=()).number == number


def test_a_file_that_is_written_within_the_same_second_is_another_version(tmp_path: Path) -> None:
    file = tmp_path / "a.weights.h5"
    file.write_text("one")
    os.utime(file, ns=(10**9, 10**9))
    (before,) = find(str(file))
    assert is_as_found(before)
    file.write_text("two")
    os.utime(file, ns=(10**9 + 1, 10**9 + 1))
    assert not is_as_found(before)
    file.unlink()
    assert not is_as_found(before)


def checkpoint(path: str, *, at: int, size: int = 9) -> Checkpoint:
    file = FileVersion(path=path, size_bytes=size, modified_ns=at)
    return Checkpoint(path=path, files=(file,))


A, B, C = (checkpoint(path, at=at) for at, path in enumerate("abc", start=1))


def test_what_two_looks_in_a_row_have_found_is_ready_the_oldest_first() -> None:
    watch = Watch()
    assert watch.next_ready([B]) is None
    assert watch.next_ready([A, B]) == B
    assert watch.next_ready([A, B]) == A


def test_a_file_that_still_grows_is_not_ready() -> None:
    watch = Watch()
    for size in range(3):
        assert watch.next_ready([checkpoint("a", at=1, size=size)]) is None
    assert watch.next_ready([checkpoint("a", at=1, size=2)]) == checkpoint("a", at=1, size=2)


def test_what_is_done_does_not_come_again_until_it_is_overwritten() -> None:
    watch = Watch()
    watch.next_ready([A])
    watch.finish(A)
    assert watch.next_ready([A]) is None
    overwritten = checkpoint("a", at=3)
    assert watch.next_ready([overwritten]) is None
    assert watch.next_ready([overwritten]) == overwritten


def test_what_was_done_before_does_not_come_again() -> None:
    watch = Watch(done=[A])
    watch.next_ready([A, B])
    assert watch.next_ready([A, B]) == B


def test_what_is_older_than_the_newest_can_be_passed_over() -> None:
    watch = Watch(skip_to_newest=True)
    watch.next_ready([A, B])
    assert watch.next_ready([A, B, C]) == B
    watch.finish(B)
    assert watch.next_ready([A, B, C]) == C
    watch.finish(C)
    assert watch.is_done
    restarted = Watch(done=[B, C], skip_to_newest=True)
    restarted.next_ready([A, B, C])
    assert restarted.next_ready([A, B, C]) is None
    assert restarted.is_done


def test_all_is_done_when_nothing_that_is_there_is_left() -> None:
    watch = Watch()
    assert watch.is_done
    watch.next_ready([A])
    assert not watch.is_done
    watch.finish(A)
    assert watch.is_done
    watch.next_ready([A, B])
    assert not watch.is_done
    watch.next_ready([])  # Deleted before its turn.
    assert watch.is_done


def test_a_failing_checkpoint_is_tried_some_times() -> None:
    watch = Watch()
    assert [watch.failed(A) for _ in range(TRIES)] == [*[False] * (TRIES - 1), True]
    assert watch.failed(checkpoint("a", at=5)) is False
