"""The tasks of a job, and the cluster spec that gives their addresses."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from tfps.cluster import addresses

TASK_TYPES = ("chief", "worker", "ps", "evaluator")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One process of a job.

    Attributes:
        type: One of `TASK_TYPES`.
        index: The task's place among those of its type, from 0.
    """

    type: str
    index: int

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.type not in TASK_TYPES:
            raise ValueError(f"Task type {self.type!r} is not one of {', '.join(TASK_TYPES)}.")
        if self.index < 0:
            raise ValueError(f"Task index {self.index} is negative. The first task has index 0.")

    def __str__(self) -> str:
        """Return the task's name in a sentence, e.g. `worker 1`."""
        return f"{self.type} {self.index}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """The addresses of all tasks of a job, by task type.

    Attributes:
        chief: At most one address; none if the chief takes any free port.
        worker: The address of each worker, by index.
        ps: The address of each parameter server, by index.
        evaluator: The address of each evaluator, by index. Evaluators read checkpoints; they are
            not part of the cluster that the chief connects to.
    """

    chief: tuple[str, ...] = ()
    worker: tuple[str, ...] = ()
    ps: tuple[str, ...] = ()
    evaluator: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that every address is well formed and given once."""
        if len(self.chief) > 1:
            raise ValueError(f"A cluster has one chief, but there are {len(self.chief)} addresses.")
        given: dict[str, Task] = {}
        for task, address in self:
            fault = addresses.address_fault(address)
            if fault is not None:
                raise ValueError(f"Address of {task}: {fault}")
            if address in given:
                raise ValueError(
                    f"Address {address!r} is given to both {given[address]} and {task}."
                )
            given[address] = task

    def __iter__(self) -> Iterator[tuple[Task, str]]:
        """Iterate over all tasks with their addresses, in the order of `TASK_TYPES`."""
        for task_type in TASK_TYPES:
            for index, address in enumerate(self.addresses(task_type)):
                yield Task(type=task_type, index=index), address

    def addresses(self, task_type: str) -> tuple[str, ...]:
        """Return the addresses of one task type.

        Raises:
            ValueError: The task type is not one of `TASK_TYPES`.
        """
        if task_type not in TASK_TYPES:
            raise ValueError(f"Task type {task_type!r} is not one of {', '.join(TASK_TYPES)}.")
        result: tuple[str, ...] = getattr(self, task_type)
        return result

    def address(self, task: Task) -> str:
        """Return the address of one task.

        Raises:
            ValueError: The cluster has no such task.
        """
        of_type = self.addresses(task.type)
        if task.index >= len(of_type):
            raise ValueError(f"The cluster has {len(of_type)} {task.type} tasks, so no {task}.")
        return of_type[task.index]

    def as_dict(self) -> dict[str, list[str]]:
        """Return the spec as in TF_CONFIG and `tf.train.ClusterSpec`, without empty types."""
        return {kind: list(self.addresses(kind)) for kind in TASK_TYPES if self.addresses(kind)}

    @classmethod
    def from_dict(cls, cluster: Mapping[str, Sequence[str]]) -> ClusterSpec:
        """Make a spec from a mapping of task types to addresses.

        Raises:
            ValueError: A task type is unknown, or an address is malformed or given twice.
        """
        unknown = sorted(set(cluster) - set(TASK_TYPES))
        if unknown:
            raise ValueError(
                f"Task types {', '.join(unknown)} are not among {', '.join(TASK_TYPES)}."
            )
        return cls(**{kind: tuple(addresses) for kind, addresses in cluster.items()})

    def without_evaluators(self) -> ClusterSpec:
        """Return the cluster that the chief connects to.

        TensorFlow waits for every task of the cluster, and an evaluator runs no server.
        """
        return dataclasses.replace(self, evaluator=())

    def serving(self) -> tuple[tuple[Task, str], ...]:
        """Return the tasks that run a server for the chief (workers and ps), with addresses."""
        return tuple((task, address) for task, address in self if task.type in ("worker", "ps"))
