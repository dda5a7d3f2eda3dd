"""The program that a worker runs: many steps of pull, compute, push and apply in one function."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from tfps.step.discover import Demand
from tfps.step.moves import Moves
from tfps.step.repeat import Batches, Repeat, State
from tfps.step.report import Format
from tfps.step.step import Step, StepSettings
from tfps.step.windows import WindowMoves, Windows
from tfps.update.effect import Measured
from tfps.update.ps_program import PsProgram
from tfps.worker.per_worker import keep_captures

_LONG_DISPATCH = 16
_UNROLLED_STEPS = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dispatch:
    """What runs steps on a worker in one call.

    Attributes:
        function: a concrete function of (iterator over batches, number of steps, worker index), the
            last two int64 scalars. It stops early when the iterator ends. It returns a report, to
            be read with the program's `format`, and the last step's output, if that is wanted.
        ps_programs: the programs that must run on the ps at the same time.
        in_step: whether each worker goes on only after one step of every other worker.
    """

    function: Callable[[Any, tf.Tensor, tf.Tensor], tuple[tf.Tensor, Any]]
    ps_programs: Sequence[PsProgram]
    in_step: bool


class WorkerProgram:
    """A computation as TensorFlow functions that run on a worker.

    Attributes:
        demand: what it reads and writes.
        metric_variables: the metric state that it updates. Each dispatch starts it at zero and
            reports it, so that a dispatch that runs twice counts once.
        format: the format of its dispatches' reports.
        in_use: whether a run of it goes on. Then a callback that trains the model needs another
            program: this one's ps wait for all of the run's workers.
    """

    def __init__(
        self, computation: Callable[[Any], Any], batch_spec: Any, settings: StepSettings
    ) -> None:
        """Discover what `computation` asks of the parameters for a batch of `batch_spec`.

        To be called in the strategy's scope: optimizers that are not built yet are built here.

        Args:
            computation: a function of a batch; returns any structure of tensors.
            batch_spec: the type of a batch.
            settings: how the steps run.

        Raises:
            NotImplementedError: if the workers' parts of a metric's state could not be merged, or
                an optimizer is one that a ps cannot run.
        """
        self._spec = batch_spec
        self._settings = settings
        self._wire = settings.wire
        self._dispatches: dict[tuple[Any, ...], Dispatch] = {}
        self._step = Step(computation, batch_spec, settings)
        self.demand: Demand = self._step.demand
        self.metric_variables = self._step.metrics
        self.format = Format(settings.wire.num_ps, self.metric_variables)
        self.in_use = False

    @property
    def traffic_shape(self) -> tuple[int, int, int]:
        """The shape of the bytes that are counted: see `dispatch`."""
        return (self._wire.num_ps, 2, 2)

    @property
    def is_coded(self) -> bool:
        """Whether anything travels in another format than its own dtype."""
        return self._wire.is_coded

    @property
    def overlaps(self) -> bool:
        """Whether steps pull and push while others compute; a step that pushes inline does not."""
        return (
            self._settings.overlap and bool(self._step.calls) and not self._step.inline_state.calls
        )

    @property
    def window(self) -> int:
        """The number of steps between a pull and a push, all in one dispatch."""
        return 1 if self._step.window is None else self._step.window.steps

    def steps_until(self, boundary: int, step: int) -> int:
        """Return the number of steps, of all workers, that take the global step to `boundary`.

        No update is left half done: a synchronous one takes a step of each worker.
        """
        share = self._settings.policy.share(self._settings.num_workers)
        steps_per_update = max(1, round(share * self._settings.num_workers))
        return (boundary - step) * steps_per_update

    @property
    def boundaries(self) -> tuple[int, ...]:
        """The global steps at which the format of the wire changes."""
        return self._wire.boundaries if self._step.optimizers else ()

    @property
    def global_step(self) -> int:
        """The number of updates so far."""
        return max(int(counter.numpy()) for counter in self._step.global_steps)

    def dispatch(self, *, most_steps: int, with_output: bool = False, step: int = 0) -> Dispatch:
        """Return what runs steps on a worker in one call.

        Args:
            most_steps: the most steps that a call may run.
            with_output: whether it also returns the last step's output.
            step: the global step of the first of them; no boundary may lie between them.
        """
        wire = self._wire.at(step)
        several = most_steps > 1
        # A long dispatch of a small model is worth more tracing.
        unrolled = most_steps >= _LONG_DISPATCH and self._step.is_small
        per_iteration = _UNROLLED_STEPS if unrolled else 1

        def dispatch(iterator: Any, steps: tf.Tensor, worker: tf.Tensor) -> Any:
            start = State(
                metrics=[tf.zeros(v.shape, v.dtype) for v in self.metric_variables],
                dropped=tf.zeros([], tf.int64),
                missed=tf.zeros([], tf.int64),
                traffic=tf.zeros(self.traffic_shape, tf.int64),
                output=_empty_like(self.demand.outputs) if with_output else (),
            )
            moves = Moves.of(self._step, wire, worker, paced=several)
            batches = Batches(iterator, steps)
            if self._step.window is not None:
                windows = Windows(WindowMoves(moves), batches, self._step.window.steps)
                done, state = windows.run(start)
            elif not several:
                done, state = Repeat(moves, batches).single(start)
            elif self.overlaps:
                done, state = Repeat(moves, batches).overlapped(start)
            else:
                done, state = Repeat(moves, batches).in_turn(start, per_iteration)
            report = self.format.pack(
                done, state.dropped, state.missed, state.traffic, state.metrics
            )
            return report, state.output

        return self._traced((several, per_iteration, with_output, wire.step), dispatch)

    def measured(self) -> Measured:
        """Return the ps' counts of updates since training began."""
        return self._step.measured(self._wire.num_ps)

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Prepare for a run, which is the block: workers pull again what they keep."""
        self._step.frozen.refresh()
        self._step.restart_numbers()
        if self._step.replica is not None:
            self._step.replica.reset()
        self.in_use = True
        try:
            yield
        finally:
            self.in_use = False

    def _traced(self, name: tuple[Any, ...], function: Callable[..., Any]) -> Dispatch:
        if name not in self._dispatches:
            number = tf.TensorSpec([], tf.int64)
            traced = tf.function(function, autograph=False).get_concrete_function(
                tf.data.IteratorSpec(self._spec), number, number
            )
            keep_captures(traced, self.demand.lookup_tables)
            self._dispatches[name] = Dispatch(
                function=traced, ps_programs=self._step.ps_programs, in_step=self._step.in_step
            )
        return self._dispatches[name]


def _empty_like(outputs: Any) -> Any:
    """Return zeros like symbolic tensors, with a size of 0 where a dimension is unknown."""
    empty = [
        tf.zeros([size or 0 for size in tensor.shape.as_list()], tensor.dtype)
        for tensor in tf.nest.flatten(outputs, expand_composites=True)
    ]
    return tf.nest.pack_sequence_as(outputs, empty, expand_composites=True)
