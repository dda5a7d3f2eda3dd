"""Find all faults of a TF_CONFIG, each as a sentence that says what to do."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from typing import Any

from tfps.cluster import addresses
from tfps.cluster.spec import TASK_TYPES

_EXAMPLE = (
    '{"cluster": {"chief": ["host0:2222"], "worker": ["host1:2222"], "ps": ["host2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
_OTHER_NAMES = {
    "master": "chief",
    "coordinator": "chief",
    "leader": "chief",
    "parameter_server": "ps",
    "server": "ps",
    "validator": "evaluator",
}
_REQUIRED = {
    "chief": "nobody would train",
    "worker": "nobody would run the steps",
    "ps": "nobody would hold the parameters",
}


def read(text: str) -> tuple[dict[str, Any], list[str]]:
    """Parse a TF_CONFIG.

    Returns:
        Its content and its faults. Use the content only if there are no faults.
    """
    repeated: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        repeated.extend(sorted({name for name in names if names.count(name) > 1}))
        return dict(pairs)

    try:
        content = json.loads(text, object_pairs_hook=collect)
    except ValueError as error:
        return {}, [f"is not JSON ({error}): {_shortened(text)}. Write e.g. {_EXAMPLE}."]
    if not isinstance(content, dict):
        return {}, [f"is not an object but {_kind(content)}. Write e.g. {_EXAMPLE}."]
    faults = [f"key {name!r} is given twice. Keep one of them." for name in repeated]
    return content, [*faults, *_cluster_faults(content), *_task_faults(content)]


def _cluster_faults(content: dict[str, Any]) -> Iterator[str]:
    cluster = content.get("cluster")
    if "cluster" not in content:
        yield f"has no 'cluster' entry. Add one, as in {_EXAMPLE}."
    elif not isinstance(cluster, dict):
        yield (
            f"cluster is not an object but {_kind(cluster)}. Give a list of addresses for each of "
            f"{', '.join(TASK_TYPES)}."
        )
    else:
        for task_type, given in cluster.items():
            yield from _task_type_faults("cluster", task_type)
            yield from _address_list_faults(task_type, given)
        yield from _repeated_address_faults(cluster)
        yield from _number_of_tasks_faults(cluster)


def _address_list_faults(task_type: str, given: object) -> Iterator[str]:
    entry = f"cluster.{task_type}"
    if not isinstance(given, list):
        yield f'{entry} is not a list but {_kind(given)}. Write e.g. ["host:2222"].'
        return
    for index, address in enumerate(given):
        fault = addresses.address_fault(address)
        if fault is not None:
            yield f"{entry}[{index}]: address {fault}"


def _repeated_address_faults(cluster: dict[str, Any]) -> Iterator[str]:
    entries: dict[str, list[str]] = {}
    for task_type, given in cluster.items():
        for index, address in enumerate(given if isinstance(given, list) else ()):
            if isinstance(address, str):
                entries.setdefault(address.lower(), []).append(f"cluster.{task_type}[{index}]")
    for address, places in entries.items():
        if len(places) > 1:
            yield (
                f"address {address!r} is given {_times(len(places))}: {', '.join(places)}. "
                f"Give each task its own."
            )


def _number_of_tasks_faults(cluster: dict[str, Any]) -> Iterator[str]:
    guessed = {_guess(task_type) for task_type in cluster if task_type not in TASK_TYPES}
    for task_type, consequence in _REQUIRED.items():
        if not cluster.get(task_type) and task_type not in guessed:
            yield (
                f"cluster has no {task_type}, so {consequence}. Add at least one address under "
                f"cluster.{task_type}."
                if task_type != "chief"
                else f"cluster has no chief, so {consequence}. Add one address under cluster.chief."
            )
    chiefs = cluster.get("chief")
    if isinstance(chiefs, list) and len(chiefs) > 1:
        yield (
            f"cluster.chief has {len(chiefs)} addresses, but a cluster has one chief. Keep one; "
            f"the others can be workers."
        )


def _task_faults(content: dict[str, Any]) -> Iterator[str]:
    task = content.get("task")
    if "task" not in content:
        yield 'has no \'task\' entry. Add which task this process is: {"type": ..., "index": ...}.'
        return
    if not isinstance(task, dict):
        yield (
            f'task is not an object but {_kind(task)}. Write e.g. {{"type": "worker", "index": 0}}.'
        )
        return
    if "type" not in task:
        yield f"task has no 'type'. Add one of {', '.join(TASK_TYPES)}."
    else:
        yield from _task_type_faults("task", task["type"])
    yield from _index_faults(task, content.get("cluster"))


def _task_type_faults(entry: str, task_type: object) -> Iterator[str]:
    if task_type in TASK_TYPES:
        return
    guess = _guess(task_type)
    advice = f" Did you mean {guess!r}?" if guess else " Use one of these."
    name = f"{entry} type" if entry == "task" else f"{entry} has the task type"
    middle = "is" if entry == "task" else "which is"
    comma = "" if entry == "task" else ","
    yield f"{name} {task_type!r}{comma} {middle} not one of {', '.join(TASK_TYPES)}.{advice}"


def _index_faults(task: dict[str, Any], cluster: object) -> Iterator[str]:
    if "index" not in task:
        yield "task has no 'index'. Add its place among the tasks of its type, from 0."
        return
    index = _whole_number(task["index"])
    if index is None:
        yield f"task index {task['index']!r} is not a whole number. Use 0 for the first task."
    elif index < 0:
        yield f"task index {index} is negative. Use 0 for the first task."
    else:
        yield from _past_the_end_faults(task.get("type"), index, cluster)


def _past_the_end_faults(task_type: object, index: int, cluster: object) -> Iterator[str]:
    if task_type not in TASK_TYPES or not isinstance(cluster, dict):
        return
    given = cluster.get(task_type, [])
    if not isinstance(given, list) or index < len(given):
        return
    if not given and task_type == "evaluator":
        return  # Evaluators are not part of the cluster; Vertex AI leaves them out of it.
    if not given:
        yield (
            f"task is {task_type} {index}, but the cluster has no {task_type}. Add its address "
            f"under cluster.{task_type}, or correct task.type."
        )
    else:
        allowed = "0" if len(given) == 1 else f"0 to {len(given) - 1}"
        yield (
            f"task index {index} is past the end of cluster.{task_type}, which has {len(given)} "
            f"of them. Use {allowed}, or add the missing addresses."
        )


def _whole_number(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]+", value):
        return int(value)
    return None


def _guess(task_type: object) -> str | None:
    name = str(task_type).strip().lower().replace("-", "_")
    if name in _OTHER_NAMES:
        return _OTHER_NAMES[name]
    close = difflib.get_close_matches(name, TASK_TYPES, n=1, cutoff=0.5)
    return close[0] if close else None


def _kind(value: object) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "text",
        bool: "a truth value",
        type(None): "null",
    }
    return f"{names.get(type(value), 'a number')} ({_shortened(json.dumps(value))})"


def _shortened(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else f"{text[:limit]}..."


def _times(n: int) -> str:
    return "twice" if n == 2 else f"{n} times"
