"""What is to be evaluated next."""

from __future__ import annotations

from tfps.evaluator.checkpoints import Checkpoint, FileVersion
from tfps.evaluator.watch import TRIES, Watch


def checkpoint(path: str, *, at: int, size: int = 9) -> Checkpoint:
    file = FileVersion(path=path, size_bytes=size, modified_ns=at)
    return Checkpoint(path=path, files=(file,))


A, B, C = (checkpoint(path, at=at) for at, path in enumerate("abc", start=1))


def test_what_two_looks_in_a_row_have_found_is_ready_the_oldest_first() -> None:
    watch = Watch()
    assert watch.look([B]) is None
    assert watch.look([A, B]) == B
    assert watch.look([A, B]) == A


def test_a_file_that_still_grows_is_not_ready() -> None:
    watch = Watch()
    for size in range(3):
        assert watch.look([checkpoint("a", at=1, size=size)]) is None
    assert watch.look([checkpoint("a", at=1, size=2)]) == checkpoint("a", at=1, size=2)


def test_what_is_done_does_not_come_again_until_it_is_overwritten() -> None:
    watch = Watch()
    watch.look([A])
    watch.finish(A)
    assert watch.look([A]) is None
    overwritten = checkpoint("a", at=3)
    assert watch.look([overwritten]) is None
    assert watch.look([overwritten]) == overwritten


def test_what_was_done_before_does_not_come_again() -> None:
    watch = Watch(done=[A])
    watch.look([A, B])
    assert watch.look([A, B]) == B


def test_what_is_older_than_the_newest_can_be_passed_over() -> None:
    watch = Watch(skip_to_newest=True)
    watch.look([A, B])
    assert watch.look([A, B, C]) == B
    watch.finish(B)
    assert watch.look([A, B, C]) == C
    watch.finish(C)
    assert watch.is_done
    restarted = Watch(done=[B, C], skip_to_newest=True)
    restarted.look([A, B, C])
    assert restarted.look([A, B, C]) is None
    assert restarted.is_done


def test_all_is_done_when_nothing_that_is_there_is_left() -> None:
    watch = Watch()
    assert watch.is_done
    watch.look([A])
    assert not watch.is_done
    watch.finish(A)
    assert watch.is_done
    watch.look([A, B])
    assert not watch.is_done
    watch.look([])  # Deleted before its turn.
    assert watch.is_done


def test_a_failing_checkpoint_is_tried_some_times() -> None:
    watch = Watch()
    assert [watch.failed(A) for _ in range(TRIES)] == [*[False] * (TRIES - 1), True]
    assert watch.failed(checkpoint("a", at=5)) is False
