"""Many steps in one function: in turn, or overlapped (the moves of three steps at a time).

The first step pulls and computes before the loop, and the last one pushes after it. So an iteration
of steps in turn pushes the result of the step before, then pulls and computes: one round trip to
each ps. The loop has no `cond` on whether there is a batch: its outcome would go to every ps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfps.params.variable_map import VariableMap, VariableSet
from tfps.step.compute import Computed, ComputeFunction
from tfps.step.moves import Moves
from tfps.step.push import Pushed
from tfps.transport.pull import Pull
from tfps.transport.tree import take_apart


class State(NamedTuple):
    """What goes from step to step, and is returned after the last.

    Attributes:
        metrics: the metric state.
        dropped: the number of updates dropped because gradients were not finite, int64.
        missed: for each step, the number of updates by its own worker that its pull missed; their
            sum, int64.
        traffic: bytes, int64, of shape `(num_ps, 2, 2)`: for each ps, pulled and pushed, before and
            after coding.
        output: the last step's output; an empty tuple if it is not wanted.
    """

    metrics: list[tf.Tensor]
    dropped: tf.Tensor
    missed: tf.Tensor
    traffic: tf.Tensor
    output: Any

    @property
    def has_output(self) -> bool:
        """Whether the last step's output is wanted."""
        return not (isinstance(self.output, tuple) and len(self.output) == 0)

    def with_pull(self, pulled: Pull) -> State:
        """Return the state after a pull."""
        return self._replace(traffic=self.traffic + pulled.traffic)

    def with_push(self, pushed: Pushed) -> State:
        """Return the state after a push."""
        return self._replace(
            dropped=self.dropped + pushed.dropped, traffic=self.traffic + pushed.traffic
        )

    def with_sums(self, sums: tf.Tensor) -> State:
        """Return the state after pushes and pulls whose sums these are: see `InlineState.sums`."""
        return self._replace(dropped=self.dropped + sums[0, 0, 0], traffic=self.traffic + sums[1:])


class Batches:
    """The batches of a dispatch; in a worker's function."""

    def __init__(self, iterator: Any, steps: tf.Tensor) -> None:
        """Take an iterator, and the most batches to take from it, int64."""
        self.spec = iterator.element_spec
        self.first = iterator.get_next_as_optional
        self._steps = steps

    def after(self, taken: int | tf.Tensor) -> Any:
        """Return the next batch as an optional; an empty one after the last step."""
        return tf.cond(taken < self._steps, self.first, self.none)

    def none(self) -> Any:
        """Return an empty optional."""
        return tf.experimental.Optional.empty(self.spec)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Unpushed:
    """What a step computed and has still to push, and the pull that it was computed from."""

    computed: Computed
    pulled: Pull


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Loop:
    """What goes from iteration to iteration.

    Attributes:
        done: the number of steps that have computed.
        unpushed: the last of them.
        ahead: the batch of the next step, and what it pulled; None if steps run in turn.
        following: the batches of the steps after those, as optionals.
        state: without an output.
    """

    done: tf.Tensor
    unpushed: _Unpushed
    ahead: tuple[Any, Pull] | None = None
    following: Sequence[Any]
    state: State


class Repeat:
    """Steps on the batches of an iterator; to be made in a worker's function."""

    def __init__(self, moves: Moves, batches: Batches) -> None:
        """Take the moves of a step, and the batches."""
        self._moves = moves
        self._batches = batches

    def single(self, state: State) -> tuple[tf.Tensor, State]:
        """Run one step; return the number of steps that ran, 0 or 1, and the state after it."""

        def run(batch: Any) -> tuple[tf.Tensor, State]:
            pulled, now = self._pull(batch, state)
            computed = self._moves.compute(batch, pulled, now.metrics)
            unpushed = _Unpushed(computed=computed, pulled=pulled)
            now = self._push(unpushed, self._after(computed, now))
            output = computed.output if state.has_output else ()
            return tf.ones([], tf.int64), now._replace(output=output)

        return self._on_first_batch(state, run)

    def in_turn(self, state: State, per_iteration: int = 1) -> tuple[tf.Tensor, State]:
        """Run each step after the one before; return the number of steps, and the last state.

        Args:
            state: before the first step.
            per_iteration: the steps of one iteration; its start costs two calls to each ps.
        """

        def one_step(loop: _Loop, batch: Any) -> _Loop:
            state = self._push(loop.unpushed, loop.state)
            pulled, state = self._pull(batch, state)  # its reads wait for what was traced before
            unpushed, state = self._compute(batch, pulled, state)
            # The pull follows the push on each ps. So the iteration's end waits for this op alone,
            # which runs after the pull, and not for each op on the ps, one call for each.
            with tf.control_dependencies(take_apart(pulled)[0]):
                tf.timestamp()
            return dataclasses.replace(loop, done=loop.done + 1, unpushed=unpushed, state=state)

        def iteration(loop: _Loop) -> _Loop:
            for optional in loop.following:
                loop = one_step(loop, optional.get_value())
            return self._followed(loop, per_iteration)

        def leftover(loop: _Loop) -> _Loop:
            optional, *others = loop.following
            following = [*others, self._batches.none()]
            return one_step(dataclasses.replace(loop, following=following), optional.get_value())

        def rest(first: _Loop) -> _Loop:
            last = self._while(iteration, self._followed(first, per_iteration), per_iteration)
            return last if per_iteration == 1 else self._while(leftover, last, 1)

        return self._several(state, rest)

    def overlapped(self, state: State) -> tuple[tf.Tensor, State]:
        """Compute each step while the one before is pushed, and then the next one pulls.

        So a pull misses one update of its own worker, that of the step which computes at the same
        time. At the end all steps are pushed.

        Returns:
            The number of steps that ran, and the last state.
        """

        def pull(loop: _Loop, taken: tf.Tensor) -> _Loop:
            [optional] = loop.following
            batch = optional.get_value()
            pulled, state = self._pull(batch, loop.state)
            following = [self._batches.after(taken)]
            return dataclasses.replace(
                loop, ahead=(batch, pulled), following=following, state=state
            )

        def push(loop: _Loop) -> _Loop:
            return dataclasses.replace(loop, state=self._push(loop.unpushed, loop.state))

        def compute(loop: _Loop, ahead: tuple[Any, Pull]) -> _Loop:
            batch, pulled = ahead
            with_own = _with_own_step(pulled, self._moves)
            unpushed, state = self._compute(batch, with_own, loop.state)
            state = state._replace(missed=state.missed + 1)
            return dataclasses.replace(loop, done=loop.done + 1, unpushed=unpushed, state=state)

        def one_of_each(loop: _Loop) -> _Loop:
            assert loop.ahead is not None
            return compute(pull(push(loop), loop.done + 2), loop.ahead)

        def rest(first: _Loop) -> _Loop:
            first = self._followed(first, 1)
            more = first.following[-1].has_value()
            tensors, rebuild = take_apart(dataclasses.replace(first, following=()))

            def several() -> list[tf.Tensor]:
                last = self._while(one_of_each, pull(first, first.done + 1), 1)
                assert last.ahead is not None
                last = compute(push(last), last.ahead)
                return take_apart(dataclasses.replace(last, ahead=None, following=()))[0]

            return rebuild(tf.cond(more, several, lambda: tensors))

        return self._several(state, rest)

    def _several(self, state: State, rest: Callable[[_Loop], _Loop]) -> tuple[tf.Tensor, State]:
        """Let the first step pull and compute, run the rest, and push the last step."""

        def run(batch: Any) -> tuple[tf.Tensor, State]:
            pulled, after = self._pull(batch, state._replace(output=()))
            self._function = ComputeFunction(self._moves.compute, batch, pulled, after.metrics)
            unpushed, after = self._compute(batch, pulled, after)
            one = tf.ones([], tf.int64)
            last = rest(_Loop(done=one, unpushed=unpushed, following=(), state=after))
            output = last.unpushed.computed.output if state.has_output else ()
            return last.done, self._push(last.unpushed, last.state)._replace(output=output)

        return self._on_first_batch(state, run)

    def _on_first_batch(
        self, state: State, run: Callable[[Any], tuple[tf.Tensor, State]]
    ) -> tuple[tf.Tensor, State]:
        """Run on the first batch, if there is one; else no step runs."""
        batch = self._batches.first()
        done, last = tf.cond(
            batch.has_value(),
            lambda: run(batch.get_value()),
            lambda: (tf.zeros([], tf.int64), state),
        )
        return done, last

    def _while(self, body: Callable[[_Loop], _Loop], first: _Loop, batches: int) -> _Loop:
        """Repeat `body` while at least `batches` batches follow."""
        tensors, rebuild = take_apart(first)
        # Its sizes may differ between steps.
        unpushed = dataclasses.replace(first.unpushed, computed=self._function.placeholders())
        like, _ = take_apart(dataclasses.replace(first, unpushed=unpushed))
        tensors = tf.while_loop(
            lambda *tensors: rebuild(tensors).following[batches - 1].has_value(),
            lambda *tensors: take_apart(body(rebuild(tensors)))[0],
            tensors,
            shape_invariants=[tensor.shape for tensor in like],
            parallel_iterations=1,
        )
        return rebuild(tensors)

    def _followed(self, loop: _Loop, number: int) -> _Loop:
        """Fetch the next `number` batches."""
        following = [self._batches.after(loop.done + ahead) for ahead in range(number)]
        return dataclasses.replace(loop, following=following)

    def _pull(self, batch: Any, state: State) -> tuple[Pull, State]:
        pulled = self._moves.pull(batch)
        return pulled, state.with_pull(pulled)

    def _compute(self, batch: Any, pulled: Pull, state: State) -> tuple[_Unpushed, State]:
        computed = self._function(batch, pulled, state.metrics)
        unpushed = _Unpushed(computed=computed, pulled=pulled)
        return unpushed, self._after(computed, state)

    def _after(self, computed: Computed, state: State) -> State:
        """Return the state after a computation."""
        state = state._replace(metrics=self._moves.metrics(computed))
        return state if computed.sums is None else state.with_sums(computed.sums)

    def _push(self, unpushed: _Unpushed, state: State) -> State:
        return state.with_push(self._moves.push(unpushed.computed, unpushed.pulled))


def _with_own_step(pulled: Pull, moves: Moves) -> Pull:
    """Add the worker's own step, which the pull missed, to the global step and the versions."""
    counters = VariableSet(moves.step.global_steps)
    whole = VariableMap(
        (variable, value + 1 if variable in counters else value)
        for variable, value in pulled.whole.items()
    )
    start_versions = {
        effect: {ps: version + 1 for ps, version in versions.items()}
        for effect, versions in pulled.start_versions.items()
    }
    return dataclasses.replace(pulled, whole=whole, start_versions=start_versions)
