"""Jobs as Kubernetes objects: the schemas of their kinds, and the settings of the spec."""

from __future__ import annotations

import json

import pytest

from tests.kubernetes import admission, dns, schemas, simulator
from tests.kubernetes.kinds import BUILT_IN, CUSTOM, Kind, kind_of
from tests.unit.jobs.kubernetes.job_variants import JOBS, each_target, of_kind, rendered
from tests.unit.jobs.specs import spec
from tfps.cluster.tf_config import TFConfig
from tfps.jobs.kubernetes import plain, tfjob
from tfps.jobs.platforms import Kubernetes
from tfps.jobs.rendering import Document
from tfps.jobs.role import Role


def known_kind(document: Document) -> Kind:
    kind = kind_of(dict(document), (*BUILT_IN, *CUSTOM))
    assert kind is not None
    return kind


@each_target
def test_every_object_is_valid_by_its_schema_and_rules(target: str) -> None:
    checked = 0
    for job in JOBS:
        for document in rendered(target, job):
            kind = known_kind(document)
            if not schemas.is_at_hand(kind):
                pytest.skip(schemas.needed(kind))
            assert schemas.faults(kind, dict(document)) == []
            assert admission.faults(kind, dict(document)) == []
            checked += 1
    assert checked > 100


@each_target
def test_a_wrong_object_is_told_by_its_schema(target: str) -> None:
    for document in rendered(target, spec()):
        kind = known_kind(document)
        if schemas.is_at_hand(kind):
            assert schemas.faults(kind, {**document, "sepc": {}})


@each_target
def test_the_same_spec_gives_the_same_objects(target: str) -> None:
    assert json.dumps(rendered(target, JOBS[0])) == json.dumps(rendered(target, JOBS[0]))


@each_target
def test_objects_have_names_of_their_own_and_the_labels_of_the_job(target: str) -> None:
    documents = rendered(target, JOBS[0])
    names = [(item["kind"], item["metadata"]["name"]) for item in documents]
    assert len(set(names)) == len(names)
    for document in documents:
        labels = document["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "job"
        assert labels["team"] == "search"
        assert document["metadata"]["namespace"] == "training"


@each_target
def test_every_pod_has_its_own_tf_config(target: str) -> None:
    documents = [dict(item) for item in rendered(target, JOBS[0])]
    result = simulator.tf_configs(documents)
    configs = {host: TFConfig.from_json(text) for host, text in result.items()}
    tasks = sorted(str(config.task) for config in configs.values())
    assert tasks == ["chief 0", "evaluator 0", "ps 0", "ps 1", "worker 0", "worker 1", "worker 2"]
    clusters = {config.cluster for config in configs.values()}
    assert len(clusters) == 1
    assert all(isinstance(json.loads(text)["task"]["index"], int) for text in result.values())


@pytest.mark.parametrize(
    ("target", "ready"),
    # The operator's Services have no names of pods that are not ready.
    [
        ("kubernetes", False),
        ("kubernetes", True),
        ("jobset", False),
        ("jobset", True),
        ("tfjob", True),
    ],
)
def test_every_address_leads_to_the_pod_of_its_task(target: str, ready: bool) -> None:
    documents = [dict(item) for item in rendered(target, JOBS[0])]
    configs = {
        host: TFConfig.from_json(text) for host, text in simulator.tf_configs(documents).items()
    }
    names = simulator.names(documents, ready=ready)
    for host, config in configs.items():
        if config.task.type == "evaluator" and not config.cluster.evaluator:
            continue
        name, port = config.cluster.address(config.task).split(":")
        result = dns.resolve(names, name, "training")
        assert len(result) == 1
        assert dns.host_of(simulator.pod_named(documents, result[0])) == host
        assert port == "2222"


def test_the_namespace_is_left_to_kubectl_where_none_is_given() -> None:
    for document in rendered("kubernetes", spec()):
        assert "namespace" not in document["metadata"]


@each_target
def test_only_the_pods_of_the_job_may_reach_them(target: str) -> None:
    documents = rendered(target, JOBS[0])
    (policy,) = of_kind(documents, "NetworkPolicy").values()
    own = {"matchLabels": {"app.kubernetes.io/instance": "job"}}
    assert policy["spec"] == {
        "podSelector": own,
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": own}]}],
    }
    for pod in simulator.pods([dict(item) for item in documents]):
        assert pod["metadata"]["labels"]["app.kubernetes.io/instance"] == "job"


@each_target
def test_drains_leave_the_chief_the_ps_and_enough_workers(target: str) -> None:
    documents = rendered(target, JOBS[0])
    budgets = of_kind(documents, "PodDisruptionBudget")
    least = {name: item["spec"]["minAvailable"] for name, item in budgets.items()}
    assert least == {"job-chief": 1, "job-worker": 2, "job-ps": 2}
    pods = simulator.pods([dict(item) for item in documents])
    for budget in budgets.values():
        selector = budget["spec"]["selector"]["matchLabels"]
        matching = [pod for pod in pods if selector.items() <= pod["metadata"]["labels"].items()]
        assert (
            len(matching)
            == {"chief": 1, "worker": 3, "ps": 2}[
                budget["metadata"]["labels"]["app.kubernetes.io/component"]
            ]
        )


def test_what_may_do_something_in_the_cluster_may_do_no_more_than_end_the_job() -> None:
    documents = rendered("kubernetes", JOBS[0])
    (role,) = of_kind(documents, "Role").values()
    for rule in role["rules"]:
        assert all(name.startswith("job-") for name in rule["resourceNames"])
        assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])
    (binding,) = of_kind(documents, "RoleBinding").values()
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "job-ending", "namespace": "training"}
    ]
    assert of_kind(documents, "ServiceAccount").keys() == {"job-ending"}


def test_a_jobset_is_over_when_its_chief_is() -> None:
    (job_set,) = of_kind(rendered("jobset", JOBS[0]), "JobSet").values()
    assert job_set["spec"]["successPolicy"] == {
        "operator": "All",
        "targetReplicatedJobs": ["chief"],
    }


def test_losing_a_node_is_no_failure() -> None:
    (job_set,) = of_kind(rendered("jobset", JOBS[0]), "JobSet").values()
    jobs = [item["template"]["spec"] for item in job_set["spec"]["replicatedJobs"]]
    jobs += [item["spec"] for item in of_kind(rendered("kubernetes", JOBS[0]), "Job").values()]
    for job in jobs:
        if "podFailurePolicy" in job:
            (rule,) = job["podFailurePolicy"]["rules"]
            assert (rule["action"], rule["onPodConditions"][0]["type"]) == (
                "Ignore",
                "DisruptionTarget",
            )
    assert sum("podFailurePolicy" in job for job in jobs) == 6


@pytest.mark.parametrize(
    ("restarts", "message"),
    [((1, 1, 1), []), ((1, 2, 3), ["roles.chief.restarts", "roles.worker.restarts"])],
)
def test_a_tfjob_counts_restarts_of_all_together(
    restarts: tuple[int, ...], message: list[str]
) -> None:
    chief, worker, ps = (Role(restarts=number) for number in restarts)
    rendering = tfjob.render(spec({"chief": chief, "worker": worker, "ps": ps}))
    (job,) = of_kind(rendering.documents, "TFJob").values()
    assert job["spec"]["runPolicy"]["backoffLimit"] == max(restarts)
    assert [fault.where for fault in rendering.left_out] == message


def test_what_kubernetes_has_no_counterpart_for_is_told() -> None:
    job = spec({"worker": Role(spot=True, hosts=("a",))}, kubernetes=Kubernetes(cloud="none"))
    message = [fault.where for fault in plain.render(job).left_out]
    assert message == ["roles.worker.hosts", "roles.worker.spot"]
