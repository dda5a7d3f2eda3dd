"""What Vertex AI sets in its tasks: TF_CONFIG and CLUSTER_SPEC, as its documentation has them."""

from __future__ import annotations

import json

import pytest

from tfps.cluster.spec import ClusterSpec, Task
from tfps.cluster.tf_config import TFConfig
from tfps.errors import TFConfigError

# The documentation's example, with {} for the job that it leaves out.
CLUSTER_SPEC = """{
   "cluster":{
      "workerpool0":[
         "cmle-training-workerpool0-ab-0:2222"
      ],
      "workerpool1":[
         "cmle-training-workerpool1-ab-0:2222",
         "cmle-training-workerpool1-ab-1:2222"
      ],
      "workerpool2":[
         "cmle-training-workerpool2-ab-0:2222",
         "cmle-training-workerpool2-ab-1:2222"
      ],
      "workerpool3":[
         "cmle-training-workerpool3-ab-0:2222",
         "cmle-training-workerpool3-ab-1:2222",
         "cmle-training-workerpool3-ab-2:2222"
      ]
   },
   "environment":"cloud",
   "task":{
      "type":"workerpool0",
      "index":0,
      "trial":"TRIAL_ID"
   },
   "job": {}
}"""

# Of a worker in the first trial of a search; the same.
TF_CONFIG = """{
  "cluster": {
    "chief": [
      "training-workerpool0-[ID_STRING_1]-0:2222"
    ],
    "ps": [
      "training-workerpool2-[ID_STRING_1]-0:2222"
    ],
    "worker": [
      "training-workerpool1-[ID_STRING_1]-0:2222",
      "training-workerpool1-[ID_STRING_1]-1:2222"
    ]
  },
  "environment": "cloud",
  "job": {},
  "task": {
    "cloud": "[ID_STRING_2]",
    "index": 0,
    "trial": "1",
    "type": "worker"
  }
}"""

# In the form in which programs have printed it: the job is text, and there are open ports.
PRINTED = (
    '{"cluster":{"workerpool0":["cmle-training-workerpool0-4c1d6d97d0-0:2222"],"workerpool1":'
    '["cmle-training-workerpool1-4c1d6d97d0-0:2222"],"workerpool2":'
    '["cmle-training-workerpool2-4c1d6d97d0-0:2222"]},"environment":"cloud",'
    '"task":{"type":"workerpool2","index":0},"job":"{\\"python_module\\":\\"\\",'
    '\\"package_uris\\":[],\\"job_args\\":[]}","open_ports":[3333]}'
)

ONE_MACHINE = (
    '{"cluster":{"workerpool0":["cmle-training-workerpool0-89275d2add-0:2222"]},'
    '"environment":"cloud","task":{"type":"workerpool0","index":0}}'
)


def test_the_documented_tf_config_is_read() -> None:
    assert TFConfig.from_environment({"TF_CONFIG": TF_CONFIG}) == TFConfig(
        cluster=ClusterSpec(
            chief=("training-workerpool0-[ID_STRING_1]-0:2222",),
            worker=(
                "training-workerpool1-[ID_STRING_1]-0:2222",
                "training-workerpool1-[ID_STRING_1]-1:2222",
            ),
            ps=("training-workerpool2-[ID_STRING_1]-0:2222",),
        ),
        task=Task(type="worker", index=0),
    )


def test_the_documented_cluster_spec_is_read() -> None:
    assert TFConfig.from_environment({"CLUSTER_SPEC": CLUSTER_SPEC}) == TFConfig(
        cluster=ClusterSpec(
            chief=("cmle-training-workerpool0-ab-0:2222",),
            worker=tuple(f"cmle-training-workerpool1-ab-{index}:2222" for index in range(2)),
            ps=tuple(f"cmle-training-workerpool2-ab-{index}:2222" for index in range(2)),
            evaluator=tuple(f"cmle-training-workerpool3-ab-{index}:2222" for index in range(3)),
        ),
        task=Task(type="chief", index=0),
    )


@pytest.mark.parametrize(
    ("pool", "task_type"),
    [
        ("workerpool0", "chief"),
        ("workerpool1", "worker"),
        ("workerpool2", "ps"),
        ("workerpool3", "evaluator"),
    ],
)
def test_each_pool_is_a_task_type(pool: str, task_type: str) -> None:
    text = CLUSTER_SPEC.replace('"type":"workerpool0"', f'"type":"{pool}"')
    config = TFConfig.from_environment({"CLUSTER_SPEC": text})
    assert config is not None
    assert config.task == Task(type=task_type, index=0)


def test_a_printed_cluster_spec_is_read() -> None:
    config = TFConfig.from_environment({"CLUSTER_SPEC": PRINTED})
    assert config is not None
    assert config.task == Task(type="ps", index=0)
    assert config.cluster.evaluator == ()


def test_tf_config_goes_before_cluster_spec() -> None:
    config = TFConfig.from_environment({"TF_CONFIG": TF_CONFIG, "CLUSTER_SPEC": PRINTED})
    assert config is not None
    assert config.task == Task(type="worker", index=0)


def test_an_evaluator_is_in_no_cluster_of_tf_config() -> None:
    content = json.loads(TF_CONFIG)
    content["task"]["type"] = "evaluator"
    config = TFConfig.from_environment({"TF_CONFIG": json.dumps(content)})
    assert config is not None
    assert config.task == Task(type="evaluator", index=0)


def test_a_job_of_one_machine_has_no_cluster() -> None:
    assert TFConfig.from_environment({"CLUSTER_SPEC": ONE_MACHINE}) is None


@pytest.mark.parametrize("empty", ["", " ", "{}", "{ }\n"])
def test_an_empty_cluster_spec_counts_as_none(empty: str) -> None:
    assert TFConfig.from_environment({"TF_CONFIG": empty, "CLUSTER_SPEC": empty}) is None


FAULTS = {
    "not JSON": ("{'cluster': 1}", "is not JSON"),
    "a list": ("[1]", "is not an object but a list ([1])"),
    "cluster null": ('{"cluster": null, "task": null}', "cluster is not an object but null"),
    "type a list": (
        PRINTED.replace('"type":"workerpool2"', '"type":["workerpool2"]'),
        "task type ['workerpool2'] is not one of chief, worker, ps, evaluator",
    ),
    "a fifth pool": (
        PRINTED.replace('"workerpool1":', '"workerpool4":'),
        "cluster has the task type 'workerpool4', which is not one of chief, worker, ps",
    ),
    "no parameter servers": (
        PRINTED.replace("workerpool2", "workerpool3"),
        "cluster has no ps, so nobody would hold the parameters",
    ),
    "past the end": (
        PRINTED.replace('"index":0', '"index":1'),
        "task index 1 is past the end of cluster.ps",
    ),
}


@pytest.mark.parametrize(("text", "part"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_names_the_variable(text: str, part: str) -> None:
    with pytest.raises(TFConfigError) as caught:
        TFConfig.from_environment({"CLUSTER_SPEC": text})
    lines = str(caught.value).splitlines()
    assert all(line.startswith("CLUSTER_SPEC: ") for line in lines)
    assert any(part in line for line in lines)
