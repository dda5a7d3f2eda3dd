"""How the steps of a program run, and what a step is made of."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfps import _keras
from tfps.optimizer.apply import PsOptimizer
from tfps.params.placement import NEGLIGIBLE_BYTES
from tfps.params.shards import shards
from tfps.params.variable_map import VariableMap, VariableSet
from tfps.step.calls import build_optimizers, step_calls
from tfps.step.discover import Demand, check_sums, discover
from tfps.step.inline_state import InlineState
from tfps.transport.messages import Wire
from tfps.update.asynchronous import Asynchronous
from tfps.update.effect import Effect, Measured
from tfps.update.gate import Gate
from tfps.update.policy import Policy
from tfps.update.ps_program import PsProgram
from tfps.worker.cache import Cache
from tfps.worker.frozen import Frozen
from tfps.worker.per_worker import WorkerVariables
from tfps.worker.replica import Replica
from tfps.worker.row_copy import RowCopy
from tfps.worker.step_variables import StepVariables


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepSettings:
    """How the steps of a program run.

    Attributes:
        wire: the format in which parameters and gradients travel.
        num_workers: how many workers there are.
        policy: when updates take effect.
        overlap: whether the last push and the next pull are under way while a worker computes.
        lazy_rows: whether an update leaves alone the rows that a batch did not look up.
        jit_compile: whether XLA compiles what a worker computes.
    """

    wire: Wire
    num_workers: int
    policy: Policy = dataclasses.field(default_factory=Asynchronous)
    overlap: bool = False
    lazy_rows: bool = True
    jit_compile: bool = False


class Step:
    """What a step of a computation is made of.

    Attributes:
        computation: a function of a batch; returns any structure of tensors.
        num_workers: the number of workers.
        jit_compile: whether XLA compiles what a worker computes.
        demand: what the computation asks of the parameters.
        metrics: the metric state that it updates.
        seeds: the states of its seed generators, with their initial values.
        calls: the calls of its optimizers' `apply`, in order.
        optimizers: for each of them, one call of all variables that it updates.
        written: the other variables that it assigns to: those in `moved` and `assigned`.
        moved: those by whose differences the workers change them.
        assigned: those of which the last value counts.
        whole: the variables that a step pulls whole.
        variables: stand for those that must be variables while the step runs.
        inline_state: what the calls keep whose effect the step sees.
        gate: lets a step start; None if steps start at once.
        window: the steps between a pull and a push; None if each step pulls and pushes.
        replica: a worker's copy of `whole`; None if steps compute on what they pull.
        row_copies: a worker's copies of the rows of each table, in a window.
        frozen: the parameters that no step changes.
        draws: for each worker, how many steps have drawn random numbers, if no optimizer counts.
    """

    def __init__(
        self, computation: Callable[[Any], Any], batch_spec: Any, settings: StepSettings
    ) -> None:
        """Discover what `computation` asks of the parameters for a batch of `batch_spec`.

        To be called in the strategy's scope: optimizers that are not built yet are built here.

        Raises:
            NotImplementedError: if the workers' parts of a metric's state could not be merged, or
                an optimizer is one that a ps cannot run.
        """
        self.computation = _returning_tensors(computation)
        self.num_workers = settings.num_workers
        self.jit_compile = settings.jit_compile
        self.demand: Demand = discover(self.computation, batch_spec)
        if build_optimizers(self.demand.applied):
            self.demand = discover(self.computation, batch_spec)
        self.window = settings.policy.window(self.num_workers) if self.demand.applied else None
        self.optimizers, self.calls = step_calls(
            self.demand,
            settings.policy,
            self.num_workers,
            lazy_rows=settings.lazy_rows,
            in_windows=self.window is not None,
        )
        self.metrics = [v for v in self.demand.whole if v.synchronization == "on_read"]
        check_sums(self.demand, self.metrics)
        seeds = [v for v in self.demand.whole if _keras.is_seed_state(v)]
        self.seeds = [(seed, seed.numpy()) for seed in seeds]
        self.draws = WorkerVariables(lambda: [tf.Variable(0, dtype=tf.int64, trainable=False)])
        own = VariableSet([*self.metrics, *seeds])
        counters = [c for optimizer in self._all_optimizers for c in optimizer.counters]
        used = VariableSet(v for v in [*counters, *self.demand.whole] if v not in own)
        self.written = [v for v in self.demand.written if v not in own]
        moved = VariableSet(self.demand.moved)
        self.moved = [v for v in self.written if v in moved]
        self.assigned = [v for v in self.written if v not in moved]
        changing = VariableSet([*counters, *self.written])
        for parts in self.optimizers:
            changing |= VariableSet([*parts.variables, *_keras.changed_by(parts.call.optimizer)])
        self.whole = [v for v in used if v in changing]
        self.frozen = Frozen([v for v in used if v not in changing])
        self.variables = StepVariables(self.demand.live, self.demand.tables)
        self.inline_state = InlineState(
            [call for call in self.calls if call.call.is_inline], settings.wire.num_ps
        )
        self.replica: Replica | None = None
        self.gate: Gate | None = None
        if self.optimizers:
            self.gate = settings.policy.gate(self.num_workers, self._make_cache)
        if self.window is not None:
            self._make_replica()
        self.row_copies = self._row_copies() if self.window else []

    @property
    def _applied(self) -> list[PsOptimizer]:
        """The optimizers that the computation applies."""
        return [parts.optimizer for parts in self.optimizers]

    @property
    def _all_optimizers(self) -> list[PsOptimizer]:
        """The optimizers, and the outer ones, by which the ps apply the differences of windows."""
        return list(dict.fromkeys([*self._applied, *(e.optimizer for e in self.effects)]))

    @property
    def effects(self) -> list[Effect]:
        """How gradients take effect, for all optimizers."""
        return list(dict.fromkeys(effect for call in self.calls for effect in call.effects))

    @property
    def is_compiled(self) -> bool:
        """Whether XLA compiles what a worker computes: it cannot push, or keep step variables."""
        return self.jit_compile and not (self.demand.live or self.inline_state.calls)

    @property
    def versions(self) -> list[tuple[Effect, int]]:
        """The versions that effects count: for each, the effect and the index of the ps."""
        return [(effect, ps) for effect in self.effects for ps in effect.versioned]

    @functools.cached_property
    def is_small(self) -> bool:
        """Whether the parameters are so few that calls between tasks dominate a step's cost."""
        used = [shard for v in [*self.whole, *self.demand.tables] for shard in shards(v)]
        num_bytes = sum(shard.num_elements * shard.variable.dtype.size for shard in used)
        return bool(num_bytes <= NEGLIGIBLE_BYTES)

    @property
    def ps_programs(self) -> list[PsProgram]:
        """The programs that run on the ps while workers run what was traced last."""
        programs = [program for effect in self.effects for program in effect.programs.values()]
        return programs if self.gate is None else [*programs, self.gate.program]

    @property
    def in_step(self) -> bool:
        """Whether each worker is to go on only after one step of every other worker.

        An `apply` in a loop may run more often on one worker than on another. This one then goes on
        to its next step, or to the end of its data, for the other not to wait for it.
        """
        is_repeated = any(call.call.is_repeated for call in self.calls)
        return not is_repeated and any(program.in_step for program in self.ps_programs)

    def measured(self, num_ps: int) -> Measured:
        """Return the ps' counts of updates since training began."""
        counts = Measured.nothing(num_ps, self.num_workers)
        for effect in self.effects:
            counts += effect.measured(num_ps)
        return counts if self.gate is None else counts + self.gate.measured(num_ps)

    @property
    def global_steps(self) -> list[keras.Variable]:
        """The update counter of each optimizer."""
        return [optimizer.global_step for optimizer in self._applied]

    def restart_numbers(self) -> None:
        """Have all ps number updates from the optimizers' global steps on."""
        for optimizer in self._all_optimizers:
            optimizer.restart()

    def prepare(self) -> None:
        """Prepare for a trace; to be called at the top of a worker's function."""
        for call in self.calls:
            call.prepare()
        self.draws.prepare()
        for part in (self.gate, self.replica, self.variables, self.inline_state, *self.row_copies):
            if part is not None:
                part.prepare()

    def _make_replica(self) -> Replica:
        self.replica = Replica(self.whole, self._applied, self.demand.tables)
        return self.replica

    def _make_cache(self) -> Cache:
        return Cache(self._make_replica(), self.versions)

    def _row_copies(self) -> list[RowCopy]:
        owners = VariableMap(
            (v, parts.optimizer) for parts in self.optimizers for v in parts.variables
        )
        copies = []
        for table in self.demand.tables:
            optimizer = owners.get(table)
            if optimizer is not None and not optimizer.goes_by_rows(table):
                raise NotImplementedError(
                    f"update=Local(...): rows of {table.path!r} are looked up, and its optimizer "
                    "or its constraint looks at all of its rows together. Take one that goes row "
                    "by row, such as Adam, or another update policy."
                )
            copies.append(RowCopy(table, [] if optimizer is None else optimizer.slots_of(table)))
        return copies


def _returning_tensors(computation: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return `computation` whose numbers and strings are tensors, as what a tf.function returns."""

    def as_tensor(leaf: Any) -> Any:
        dense = tf.Tensor | tf.Variable | keras.Variable
        is_composite = tf.is_tensor(leaf) and not isinstance(leaf, dense)
        if leaf is None or is_composite or tf.is_symbolic_tensor(leaf):
            return leaf
        return tf.identity(leaf)

    return lambda batch: tf.nest.map_structure(as_tensor, computation(batch))
