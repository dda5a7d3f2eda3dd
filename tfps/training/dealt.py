"""Data that the chief reads, and deals out to whichever worker asks next; see lane.py."""

from __future__ import annotations

import base64
import collections
import contextlib
import functools
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from typing_extensions import override

from tfps.params.placement import CHIEF_DEVICE
from tfps.training.data_errors import explained
from tfps.training.feed import Feed
from tfps.training.lane import AHEAD_S, Group, Lane, staged
from tfps.training.reader import Reader, random_state, set_random_state
from tfps.training.sources import ChiefSource, from_serialized, no_tuning, serialized

if TYPE_CHECKING:
    from tfps.training.pool import WorkerPool, WorkerThread

_MESSAGE_BYTES = 2**20
_DISPATCH_BYTES = 2**28  # a longer dispatch is cut: the chief keeps its groups until it ends


class DealtFeed(Feed):
    """Groups that are read one after the other, and sent to the worker that makes batches of them.

    The chief keeps a group until the step on its batch has been reported. So if a worker is lost,
    others get its groups.
    """

    def __init__(self, source: ChiefSource, num_workers: int) -> None:
        """Take the data; `num_workers` may get some of it."""
        super().__init__()
        self._source = source
        self.element_spec, *graph = self._batches()
        self._graphs: list[Any] = [graph]  # an area and its graph for each time a lane connects
        self._lanes = [Lane() for _ in range(num_workers)]
        self._reading = threading.Lock()
        self._changed = threading.Condition()
        self._largest = 1
        self._workers: Sequence[int] = range(num_workers)
        self._in_step = False
        self._most_apart: int | None = None
        self._lost: set[int] = set()
        self._epoch = self._number = 0
        self._returned: collections.deque[Group] = collections.deque()
        self._is_used = False
        self._random: Any = None  # the state of the generators of random numbers as it began
        self.start_epoch()

    @property
    @override
    def num_batches(self) -> int | None:
        return self._source.batches

    @override
    def check_finite(self) -> None:
        if self._source.is_endless:
            raise ValueError(
                "The data never ends. Say how many steps to run: steps_per_epoch or "
                "validation_steps of fit, steps of evaluate or predict."
            )

    @override
    def on_epoch_begin(self) -> None:
        self._source.on_epoch_begin()

    @override
    def on_epoch_end(self) -> None:
        self._source.on_epoch_end()

    @override
    def start_epoch(self) -> None:
        with contextlib.ExitStack() as nothing_moves:
            unused: list[Group] = []
            for lane in self._lanes:
                nothing_moves.enter_context(lane.filling)
                lane.is_connected = lane.is_connected and not lane.given
                unused += [*lane.given, *lane.kept]
                lane.given.clear()
                lane.kept.clear()
            nothing_moves.enter_context(self._reading)
            if self._number and not self._is_used and self.error is None:
                # The epoch was only looked at. It might be the only one of a generator.
                unused += self._returned
                self._returned = collections.deque(sorted(unused, key=lambda g: g.number))
                return
            self._epoch += 1
            self._is_used = False
            self._reader: Reader | None = None
            self._returned = collections.deque()
            self._number = 0
            self._is_at_end = False
            self.error = None

    @override
    def start_run(self, workers: Sequence[int], *, in_step: bool, most_apart: int | None) -> bool:
        with self._reading:
            self._workers, self._in_step, self._most_apart = workers, in_step, most_apart
            for worker, lane in enumerate(self._lanes):
                if worker not in workers:
                    self._returned.extend(lane.kept)
                    lane.kept.clear()
        return in_step

    @override
    def limited(self, steps: int) -> int:
        return max(1, min(steps, _DISPATCH_BYTES // self._largest))

    @override
    def iterator(self, worker: int, steps: int) -> tuple[Any, int]:
        lane = self._lanes[worker]
        start = time.perf_counter()
        self._wait_for_others(lane)
        with lane.filling:
            self._lost.discard(worker)
            self._ensure_connected(lane)
            while len(lane.given) < self.limited(steps) and self._fill(lane, steps):
                pass
            steps = self.limited(steps)
            available = min(len(lane.given), steps)
        self.reading.waited_s += time.perf_counter() - start
        lane.in_flight = available
        with lane.changed:
            lane.steps = steps
            lane.changed.notify_all()
        return lane.iterator, available

    def _wait_for_others(self, lane: Lane) -> None:
        """Wait until the oldest batch whose step has not ended is near to the next one."""
        if (most := self._most_apart) is None:
            return

        def is_near() -> bool:
            if lane.given or lane.kept or self._returned:
                return True
            return self._number - min(other.oldest for other in self._lanes) < most

        with self._changed:
            self._changed.wait_for(is_near)

    @override
    def first_batch(self, worker: int) -> Any:
        with self._reading:
            lane = self._lanes[worker]
            group = self._next(lane)
            if group is None:
                return None
            (lane.kept if group.worker == worker else self._returned).appendleft(group)
        with tf.device(CHIEF_DEVICE):
            packed = tf.data.Dataset.from_tensors(group.packed)
            graph = serialized(self._source.dataset(packed))
        return next(iter(from_serialized(graph, self.element_spec)))

    @override
    def count(self, worker: int, batches: int, *, at_end: bool) -> int:
        lane = self._lanes[worker]
        with lane.lock:
            numbers = [lane.given.popleft().number for _ in range(batches)]
            lane.in_flight = 0
            lane.count(batches)
        self.reading.used += batches
        self._is_used = self._is_used or batches > 0
        for changed in (lane.changed, self._changed):
            with changed:
                changed.notify_all()
        return numbers[0] if numbers else 0

    @override
    def give_back(self, worker: int) -> None:
        lane = self._lanes[worker]
        with lane.filling:
            self._lost.add(worker)
            self.reading.seen_twice += lane.in_flight
            with self._reading:
                self._returned.extendleft(reversed(lane.kept))
                lane.kept.clear()
            self._return(lane)
        with self._changed:
            self._changed.notify_all()

    @override
    def position(self, write: Callable[[Any], None]) -> dict[str, Any]:
        with contextlib.ExitStack() as nothing_moves:
            for lane in self._lanes:
                nothing_moves.enter_context(lane.filling)
            nothing_moves.enter_context(self._reading)
            groups = [*self._returned]
            for lane in self._lanes:
                with lane.lock:
                    groups += [*lane.kept, *lane.given]
            if self._reader is not None and self._reader.iterator is not None:
                with tf.device(CHIEF_DEVICE):
                    write(self._reader.iterator)
            return {
                "number": self._number,
                "used": self._number - len(groups),
                "groups": [(g.number, g.packed) for g in sorted(groups, key=lambda g: g.number)],
                "random": self._random,
                "is_at_end": self._is_at_end,
            }

    @override
    def go_to(self, position: dict[str, Any], restore: Callable[[Any], None] | None) -> bool:
        self.start_epoch()
        self._number, self._is_at_end = position["number"], position["is_at_end"]
        for number, strings in position["groups"]:
            packed = [base64.b64decode(string) for string in strings]
            self._returned.append(Group(self._epoch, number, None, packed))
        self._is_used = True
        self._random = position["random"]
        set_random_state(self._random)
        self._reader = self._source.reader(self._number)
        if restore is not None and self._reader.iterator is not None:
            restore(self._reader.iterator)
            self._reader.goes_on()
        return True

    @override
    def close(self, workers: WorkerPool) -> None:
        with self._reading:
            self._epoch += 1  # what is on its way comes too late

        def clear(thread: WorkerThread) -> None:
            lane = self._lanes[thread.worker]
            with lane.filling:
                if lane.given:
                    thread.run(lane.clear)
                lane.is_connected, lane.iterator = False, None

        with workers.team() as team:
            team.submit(clear)

    @contextlib.contextmanager
    @override
    def prefetching(self, workers: WorkerPool) -> Iterator[None]:
        ended = threading.Event()
        with workers.team() as team:
            team.submit(functools.partial(self._prefetch, ended))
            try:
                yield
            finally:
                ended.set()
                for lane in self._lanes:
                    with lane.changed:
                        lane.changed.notify_all()

    def _prefetch(self, ended: threading.Event, thread: WorkerThread) -> None:
        """Send groups to the worker of a thread while it computes."""
        lane = self._lanes[thread.worker]

        def wants() -> bool:
            is_more = lane.kept or self._returned or not self._is_at_end
            return bool(is_more) and lane.is_connected and 2 * len(lane.given) <= lane.wanted

        def fill() -> None:
            with lane.filling:
                if wants() and not ended.is_set():
                    self._fill(lane, lane.wanted)

        while not ended.is_set():
            with lane.changed:
                lane.changed.wait_for(lambda: ended.is_set() or wants())
            if not ended.is_set():
                thread.run(fill)

    def _batches(self) -> tuple[Any, str, bytes]:
        """Return the type of the batches, and a graph that makes them, with its staging area."""
        area = f"tfps_{uuid.uuid4().hex}"
        options = no_tuning()
        options.experimental_warm_start = True  # what is staged is made into batches at once
        with tf.device(CHIEF_DEVICE):
            batches = self._source.dataset(staged(area, self._source.spec)).with_options(options)
            return batches.element_spec, area, serialized(batches)

    def _ensure_connected(self, lane: Lane) -> None:
        """Have an iterator over an empty staging area on the worker of a lane, if it has none."""
        if lane.is_connected:
            return
        self._return(lane)
        with self._reading:
            if lane.connections == len(self._graphs):
                self._graphs.append(self._batches()[1:])
            area, graph = self._graphs[lane.connections]
        lane.connect(area, graph, self.element_spec)

    def _fill(self, lane: Lane, wanted: int) -> bool:
        """Send the next groups to the worker of a lane; return whether there were any.

        They are sent in one message: as many as are wanted, and can be read while it would be sent.
        """
        groups: list[Group] = []
        num_bytes = 0
        end = time.perf_counter() + AHEAD_S / 10
        try:
            while len(lane.given) + len(groups) < wanted and num_bytes < _MESSAGE_BYTES:
                with self._reading:
                    group = self._next(lane)
                if group is None:
                    break
                groups.append(group)
                num_bytes += group.num_bytes
                if time.perf_counter() > end:
                    break
            if groups:
                lane.put(groups)
        except BaseException:
            self._give_back(groups)
            raise
        return bool(groups)

    def _next(self, lane: Lane) -> Group | None:
        """Return the next group for a lane; None if there is none."""
        while not lane.kept and not self._returned and not self._is_at_end:
            if (group := self._read()) is not None:
                worker = group.worker
                kept = self._returned if worker is None else self._lanes[worker].kept
                kept.append(group)
        if lane.kept:
            return lane.kept.popleft()
        return self._returned.popleft() if self._returned else None

    def _worker_of(self, number: int) -> int | None:
        """Return the worker that is to get a group; None is whichever asks next.

        The workers' first groups are theirs in the order of the workers. So are all others if the
        workers go in step: such training is the same again from the same seeds.
        """
        if number >= len(self._workers) and not self._in_step:
            return None
        worker = self._workers[number % len(self._workers)]
        return None if worker in self._lost else worker

    def _read(self) -> Group | None:
        start = time.perf_counter()
        with tf.device(CHIEF_DEVICE):
            try:
                if self._reader is None:
                    self._random = random_state()
                    self._reader = self._source.reader()
                packed = next(self._reader)
            except StopIteration:
                self._is_at_end = True
                return None
            except Exception as error:
                self._is_at_end, self.error = True, explained(error, "The chief")
                return None
            finally:
                self.reading.read_s += time.perf_counter() - start
        group = Group(self._epoch, self._number, self._worker_of(self._number), packed)
        self._largest = max(self._largest, group.num_bytes)
        self._number += 1
        self.reading.batches += 1
        return group

    def _return(self, lane: Lane) -> None:
        """Let others have what is in a lane."""
        with lane.lock:
            lane.is_connected, lane.in_flight = False, 0
            given = list(lane.given)
            lane.given.clear()
        self._give_back(given)

    def _give_back(self, groups: list[Group]) -> None:
        with self._reading:
            ours = [group for group in reversed(groups) if group.epoch == self._epoch]
            self._returned.extendleft(ours)
