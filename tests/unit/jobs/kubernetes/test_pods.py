"""The pods of rendered jobs: rights, nodes, and the environment of their programs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kubernetes import simulator
from tests.kubernetes.environment import command, environment
from tests.unit.jobs.kubernetes.job_variants import JOBS, each_target, rendered
from tests.unit.jobs.specs import spec
from tfps.jobs.kubernetes.pods import GRACE_S, literal
from tfps.jobs.platforms import Kubernetes
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec


@each_target
def test_pods_keep_to_the_restricted_pod_security_standard(target: str) -> None:
    pods = simulator.pods([dict(item) for item in rendered(target, JOBS[0])])
    assert len(pods) >= 6
    for pod in pods:
        pod_security = pod["spec"]["securityContext"]
        assert pod_security["runAsNonRoot"] is True
        assert pod_security["runAsUser"] == 1000
        assert pod_security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod["spec"])
        for container in pod["spec"]["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }


@each_target
def test_tasks_get_no_token_of_the_cluster(target: str) -> None:
    for pod in simulator.pods([dict(item) for item in rendered(target, JOBS[0])]):
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] != "ending":
            assert pod["spec"]["automountServiceAccountToken"] is False
            assert pod["spec"]["serviceAccountName"] == "trainer"


@each_target
def test_a_server_is_ready_when_its_port_answers(target: str) -> None:
    for pod in simulator.pods([dict(item) for item in rendered(target, JOBS[0])]):
        (container,) = pod["spec"]["containers"]
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        probe = container.get("readinessProbe")
        if component in ("evaluator", "ending"):
            assert probe is None
        else:
            assert probe["tcpSocket"] == {"port": 2222}


def test_pods_have_longer_to_end_than_servers_need() -> None:
    from tfps.cluster import server

    assert server._LEAST_LINGER_S + server._LINGER_S < GRACE_S


def worker_pod(target: str, **kubernetes: Any) -> dict[str, Any]:
    role = Role(replicas=2, gpus=1, gpu_type="nvidia-l4", spot=True)
    job = spec({"worker": role}, kubernetes=Kubernetes(**kubernetes))
    return pods_by_role(target, job)["worker"]


def pods_by_role(target: str, job: JobSpec) -> dict[str, dict[str, Any]]:
    pods = simulator.pods([dict(item) for item in rendered(target, job)])
    return {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod["spec"] for pod in pods}


@each_target
@pytest.mark.parametrize(
    ("cloud", "labels", "tainted"),
    [
        (
            "gke",
            {"cloud.google.com/gke-accelerator": "nvidia-l4", "cloud.google.com/gke-spot": "true"},
            True,
        ),
        (
            "eks",
            {"nvidia.com/gpu.product": "nvidia-l4", "eks.amazonaws.com/capacityType": "SPOT"},
            False,
        ),
        (
            "aks",
            {
                "nvidia.com/gpu.product": "nvidia-l4",
                "kubernetes.azure.com/scalesetpriority": "spot",
            },
            True,
        ),
        (
            "karpenter",
            {
                "karpenter.k8s.aws/instance-gpu-name": "nvidia-l4",
                "karpenter.sh/capacity-type": "spot",
            },
            False,
        ),
        ("none", {"nvidia.com/gpu.product": "nvidia-l4"}, False),
    ],
)
def test_nodes_are_chosen_by_the_labels_of_the_cloud(
    target: str, cloud: str, labels: dict[str, str], tainted: bool
) -> None:
    pod = worker_pod(target, cloud=cloud)
    assert pod["nodeSelector"] == labels
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    keys = [toleration["key"] for toleration in pod["tolerations"]]
    assert keys == ["nvidia.com/gpu", *([list(labels)[-1]] if tainted else [])]


@each_target
def test_the_chief_and_the_ps_stay_off_spot_nodes(target: str) -> None:
    job = spec({"worker": Role(spot=True)})
    pods = pods_by_role(target, job)
    assert "affinity" not in pods["worker"]
    for role in ("chief", "ps"):
        affinity = pods[role]["affinity"]["nodeAffinity"]
        (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        assert term["matchExpressions"] == [
            {"key": "cloud.google.com/gke-spot", "operator": "NotIn", "values": ["true"]}
        ]


@each_target
def test_what_kubernetes_would_expand_reaches_the_program_as_it_was_written(target: str) -> None:
    texts = ["$(HOME)", "$$", "$HOME", "$$(HOME)", "a$", "$($", "$$$"]
    env = {f"TEXT_{index}": text for index, text in enumerate(texts)}
    job = spec(command=("sh", "-c", *texts), env={**env, "HOME": "/root"})
    for pod in simulator.pods([dict(item) for item in rendered(target, job)]):
        (container,) = pod["spec"]["containers"]
        if container["name"] == "tensorflow":
            variables = environment(pod, container)
            assert [variables[name] for name in env] == texts
            assert command(container, variables)[2:] == texts


def test_text_without_dollars_is_not_touched() -> None:
    assert literal("$HOME costs 5$") == "$HOME costs 5$"
