"""TF_CONFIG: what is read, and that every fault is reported at once with what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tfps.cluster.spec import ClusterSpec, Task
from tfps.cluster.tf_config import TFConfig
from tfps.errors import TFConfigError

CLUSTER = {"chief": ["a:1"], "worker": ["b:1", "b:2"], "ps": ["c:1"]}
TASK = {"type": "worker", "index": 1}


def tf_config(*, task: object = TASK, **cluster: object) -> str:
    """Write a TF_CONFIG that is right but for what is given."""
    return json.dumps({"cluster": {**CLUSTER, **cluster}, "task": task})


def without(task_type: str, *, task: object = TASK) -> str:
    """Write a TF_CONFIG whose cluster has no tasks of a type."""
    cluster = {name: given for name, given in CLUSTER.items() if name != task_type}
    return json.dumps({"cluster": cluster, "task": task})


def faults_of(text: str) -> tuple[str, ...]:
    with pytest.raises(TFConfigError) as caught:
        TFConfig.from_json(text)
    return caught.value.faults


def test_a_tf_config_is_read() -> None:
    assert TFConfig.from_json(tf_config()) == TFConfig(
        cluster=ClusterSpec(chief=("a:1",), worker=("b:1", "b:2"), ps=("c:1",)),
        task=Task(type="worker", index=1),
    )


def test_a_tf_config_goes_to_json_and_back() -> None:
    config = TFConfig.from_json(tf_config(evaluator=["e:1"]))
    assert TFConfig.from_json(config.to_json()) == config
    assert json.loads(config.to_json())["task"] == TASK


@pytest.mark.parametrize("text", ["", "  ", "{}", " { }\n"])
def test_an_empty_tf_config_counts_as_none(text: str) -> None:
    assert TFConfig.from_environment({"TF_CONFIG": text}) is None
    assert TFConfig.from_environment({}) is None


def test_the_environment_is_read() -> None:
    config = TFConfig.from_environment({"TF_CONFIG": tf_config()})
    assert config is not None
    assert config.task == Task(type="worker", index=1)


def test_what_vertex_ai_and_kubernetes_add_is_ignored() -> None:
    content: dict[str, Any] = {
        "cluster": CLUSTER,
        "environment": "cloud",
        "job": "{}",
        "task": {"type": "ps", "index": "0", "trial": "1", "cloud": "x"},
    }
    assert TFConfig.from_json(json.dumps(content)).task == Task(type="ps", index=0)


def test_an_evaluator_is_legal() -> None:
    text = tf_config(evaluator=["e:1"], task={"type": "evaluator", "index": 0})
    assert TFConfig.from_json(text).cluster.evaluator == ("e:1",)


def test_an_evaluator_may_be_left_out_of_the_cluster_as_tfjob_does() -> None:
    text = tf_config(task={"type": "evaluator", "index": 0})
    assert TFConfig.from_json(text).task == Task(type="evaluator", index=0)


def test_a_config_whose_task_is_not_in_the_cluster_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="so no ps 3"):
        TFConfig(cluster=ClusterSpec(ps=("a:1",)), task=Task(type="ps", index=3))


FAULTS = {
    "not JSON": ("{'cluster': {}}", ["is not JSON", "Write e.g. {"]),
    "cut off": ('{"cluster": {', ["is not JSON"]),
    "a list": ("[1]", ["is not an object but a list ([1])", "Write e.g. {"]),
    "text": ('"chief"', ["is not an object but text"]),
    "a number": ("7", ["is not an object but a number (7)"]),
    "null": ("null", ["is not an object but null"]),
    "no cluster": (json.dumps({"task": TASK}), ["has no 'cluster' entry. Add one"]),
    "no task": (json.dumps({"cluster": CLUSTER}), ["has no 'task' entry. Add which task"]),
    "cluster a list": (
        json.dumps({"cluster": ["a:1"], "task": TASK}),
        ["cluster is not an object but a list", "Give a list of addresses for each of chief"],
    ),
    "cluster null": (json.dumps({"cluster": None, "task": TASK}), ["cluster is not an object"]),
    "task text": (tf_config(task="worker"), ["task is not an object but text", "Write e.g. {"]),
    "task null": (tf_config(task=None), ["task is not an object but null"]),
    "no type": (tf_config(task={"index": 0}), ["task has no 'type'. Add one of chief, worker"]),
    "type master": (
        tf_config(task={"type": "master", "index": 0}),
        ["task type 'master' is not one of chief, worker, ps, evaluator. Did you mean 'chief'?"],
    ),
    "type wroker": (
        tf_config(task={"type": "wroker", "index": 0}),
        ["task type 'wroker' is not one of", "Did you mean 'worker'?"],
    ),
    "type upper": (
        tf_config(task={"type": "PS", "index": 0}),
        ["task type 'PS' is not one of", "Did you mean 'ps'?"],
    ),
    "type unlike any": (
        tf_config(task={"type": "xyz", "index": 0}),
        ["task type 'xyz' is not one of chief, worker, ps, evaluator. Use one of these."],
    ),
    "type a number": (tf_config(task={"type": 3, "index": 0}), ["task type 3 is not one of"]),
    "type a list": (tf_config(task={"type": ["ps"], "index": 0}), ["is not one of chief"]),
    "cluster type master": (
        tf_config(master=["m:1"]),
        ["cluster has the task type 'master', which is not one of", "Did you mean 'chief'?"],
    ),
    "cluster type workers": (
        tf_config(workers=["m:1"]),
        ["cluster has the task type 'workers'", "Did you mean 'worker'?"],
    ),
    "cluster type parameter-server": (
        tf_config(**{"parameter-server": ["m:1"]}),
        ["Did you mean 'ps'?"],
    ),
    "index missing": (tf_config(task={"type": "ps"}), ["task has no 'index'. Add its place"]),
    "index negative": (
        tf_config(task={"type": "ps", "index": -1}),
        ["task index -1 is negative. Use 0 for the first task."],
    ),
    "index text": (
        tf_config(task={"type": "ps", "index": "one"}),
        ["task index 'one' is not a whole number"],
    ),
    "index empty text": (tf_config(task={"type": "ps", "index": ""}), ["index '' is not a whole"]),
    "index null": (tf_config(task={"type": "ps", "index": None}), ["index None is not a whole"]),
    "index true": (tf_config(task={"type": "ps", "index": True}), ["index True is not a whole"]),
    "index a fraction": (
        tf_config(task={"type": "ps", "index": 0.5}),
        ["index 0.5 is not a whole"],
    ),
    "index past the end": (
        tf_config(task={"type": "worker", "index": 2}),
        ["task index 2 is past the end of cluster.worker, which has 2", "Use 0 to 1"],
    ),
    "index in quotes past the end": (
        tf_config(task={"type": "ps", "index": "1"}),
        ["task index 1 is past the end of cluster.ps, which has 1 of them. Use 0"],
    ),
    "no port": (
        tf_config(ps=["c"]),
        ["cluster.ps[0]: address 'c' has no port. Write it as host:port, e.g. 'c:2222'."],
    ),
    "port 0": (
        tf_config(ps=["c:0"]),
        ["cluster.ps[0]: address 'c:0' has the port 0", "1 to 65535"],
    ),
    "port 65536": (tf_config(ps=["c:65536"]), ["has the port 65536, which is out of range"]),
    "port text": (tf_config(ps=["c:grpc"]), ["has the port 'grpc', which is not a number"]),
    "address a number": (tf_config(ps=[2222]), ["cluster.ps[0]: address 2222 is not text"]),
    "address null": (tf_config(worker=["b:1", None]), ["cluster.worker[1]: address None"]),
    "address with scheme": (tf_config(ps=["grpc://c:1"]), ["has a scheme", "'c:1'"]),
    "address twice": (
        tf_config(ps=["b:1"]),
        ["address 'b:1' is given twice: cluster.worker[0], cluster.ps[0]. Give each task its own."],
    ),
    "address twice in another case": (tf_config(ps=["B:1"]), ["address 'b:1' is given twice"]),
    "address three times": (tf_config(ps=["c:1", "c:1", "c:1"]), ["is given 3 times"]),
    "entry text": (tf_config(ps="c:1"), ["cluster.ps is not a list but text", '["host:2222"]']),
    "entry a mapping": (
        tf_config(worker={"1": "b:1"}),
        ["cluster.worker is not a list but an obj"],
    ),
    "no ps": (without("ps"), ["cluster has no ps, so nobody would hold the parameters. Add"]),
    "empty ps": (tf_config(ps=[]), ["cluster has no ps"]),
    "no worker": (
        without("worker", task={"type": "ps", "index": 0}),
        ["cluster has no worker, so nobody would run the steps. Add"],
    ),
    "no chief": (
        without("chief"),
        ["cluster has no chief, so nobody would train. Add one address"],
    ),
    "two chiefs": (
        tf_config(chief=["a:1", "a:2"]),
        ["cluster.chief has 2 addresses, but a cluster has one chief. Keep one"],
    ),
    "a key twice": (
        '{"cluster": {"chief": ["a:1"], "chief": ["a:2"], "worker": ["b:1"], "ps": ["c:1"]}, '
        '"task": {"type": "ps", "index": 0}}',
        ["key 'chief' is given twice. Keep one of them."],
    ),
}


@pytest.mark.parametrize(("text", "parts"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_reported_once_with_what_to_do(text: str, parts: list[str]) -> None:
    (fault,) = faults_of(text)
    for part in parts:
        assert part in fault
    assert fault[-1] in ".?"


def test_all_faults_are_reported_at_once() -> None:
    text = json.dumps(
        {
            "cluster": {"master": ["a"], "worker": ["b:0", "x:1", "x:1"], "ps": []},
            "task": {"type": "wroker", "index": -1},
        }
    )
    faults = faults_of(text)
    assert len(faults) == 7
    for part in (
        "cluster has the task type 'master'",
        "cluster.master[0]: address 'a' has no port",
        "cluster.worker[0]: address 'b:0' has the port 0",
        "address 'x:1' is given twice: cluster.worker[1], cluster.worker[2]",
        "cluster has no ps",
        "task type 'wroker' is not one of",
        "task index -1 is negative",
    ):
        assert any(part in fault for fault in faults), part


def test_the_message_has_one_line_for_each_fault() -> None:
    with pytest.raises(TFConfigError) as caught:
        TFConfig.from_json(tf_config(ps=[], chief=[]))
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert all(line.startswith("TF_CONFIG: cluster has no ") for line in lines)


def test_a_task_whose_type_has_no_entry_is_told_where_to_add_it() -> None:
    faults = faults_of(without("ps", task={"type": "ps", "index": 0}))
    assert any("task is ps 0, but the cluster has no ps. Add its address" in x for x in faults)
