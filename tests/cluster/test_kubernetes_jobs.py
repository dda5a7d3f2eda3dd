"""Rendered jobs train on a simulated cluster, in all three forms, and end by themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.processes import PROGRAMS
from tests.kubernetes import namespaces, schemas
from tests.kubernetes.cluster import Cluster, cluster
from tests.kubernetes.kinds import JOB, JOB_SET, POD, STATEFUL_SET, TF_JOB
from tests.kubernetes.nodes import Node
from tests.kubernetes.objects import is_true, name_of
from tests.unit.jobs.specs import spec
from tfps.cluster.spec import Task
from tfps.jobs.kubernetes.launcher import AS_JOB_SET, AS_TF_JOB, PLAIN, Form, KubernetesLauncher
from tfps.jobs.platforms import Kubernetes
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec
from tfps.jobs.storage import Mount, Volume

pytestmark = pytest.mark.timeout(300)

CHIEF = Task(type="chief", index=0)
SPOT = Node(
    name="spot",
    labels={"cloud.google.com/gke-spot": "true"},
    taints=({"key": "cloud.google.com/gke-spot", "value": "true", "effect": "NoSchedule"},),
)

needs_schemas = pytest.mark.skipif(
    not all(map(schemas.is_at_hand, (JOB_SET, TF_JOB))),
    reason=schemas.needed(JOB_SET, TF_JOB),
)


EACH_FORM = pytest.mark.parametrize(
    "form",
    [
        pytest.param(PLAIN, id="plain"),
        # Only that of TF_CONFIG and of the end differs, which other tests see without TensorFlow.
        pytest.param(AS_JOB_SET, id="jobset", marks=[needs_schemas, pytest.mark.slow]),
        pytest.param(AS_TF_JOB, id="tfjob", marks=[needs_schemas, pytest.mark.slow]),
    ],
)


@pytest.fixture
def kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with cluster(tmp_path, pace=20) as created:
        created.add_node(SPOT)
        monkeypatch.setenv("KUBECONFIG", created.kubeconfig)
        yield created


def job(*command: str, **fields: object) -> JobSpec:
    roles = {"worker": Role(replicas=2, spot=True), "chief": Role(restarts=1)}
    return spec(roles, command=("python", *command), **fields)


def states(launcher: KubernetesLauncher, job: JobSpec) -> Callable[[], list[str]]:
    return lambda: [task.state for task in launcher.status(job).tasks]


def busy(kubernetes: Cluster) -> list[str]:
    return [
        name_of(pod)
        for pod in kubernetes.store.list(POD)
        if pod["status"]["phase"] in ("Pending", "Running")
    ]


@pytest.mark.slow
@EACH_FORM
def test_a_job_trains_on_while_its_spot_node_goes_and_comes_back(
    kubernetes: Cluster, form: Form, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    training = job(str(PROGRAMS / "fit.py"), "wait", str(go))
    launcher = KubernetesLauncher(form=form)
    launcher.submit(training, dry_run=False)
    output = launcher.logs(training, CHIEF, follow=True)
    assert "training" in output
    workers = [pod for pod in kubernetes.pods(component="worker")]
    assert {pod["spec"]["nodeName"] for pod in workers} == {"spot"}
    assert {pod["spec"]["nodeName"] for pod in kubernetes.pods(component="ps")} == {"node-0"}
    kubernetes.until(lambda: all(is_true(pod, "Ready") for pod in kubernetes.pods()))

    kubernetes.lose_node("spot")
    kubernetes.until(
        lambda: states(launcher, training)() == ["running", "pending", "pending", "running"]
    )
    text = launcher.status(training).tasks[1].message
    assert (
        text == "Unschedulable: 0/1 nodes are available: 1 node(s) didn't match Pod's node "
        "affinity/selector."
    )
    kubernetes.add_node(dataclasses.replace(SPOT, name="another"))
    kubernetes.until(
        lambda: all(is_true(pod, "Ready") for pod in kubernetes.pods(component="worker"))
    )
    go.touch()
    assert "kernel 3.0 bias 1.0" in output
    kubernetes.until(lambda: launcher.status(training).state == "succeeded")
    kubernetes.until(lambda: busy(kubernetes) == [])
    if form is PLAIN:
        assert {item["spec"]["replicas"] for item in kubernetes.store.list(STATEFUL_SET)} == {0}
        kubernetes.until(
            lambda: all(is_true(item, "Complete") for item in kubernetes.store.list(JOB))
        )


@pytest.mark.slow
@EACH_FORM
def test_an_evaluator_evaluates_each_checkpoint_and_ends_with_the_job(
    kubernetes: Cluster, form: Form, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    roles = {"evaluator": Role()}
    evaluated = spec(
        roles,
        command=("python", str(PROGRAMS / "evaluated.py"), str(shared), "0"),
        checkpoint_dir=str(shared),
        volumes={"shared": Volume(host_path=str(shared))},
        mounts=(Mount(volume="shared", path=str(shared)),),
        kubernetes=Kubernetes(cloud="none"),
    )
    launcher = KubernetesLauncher(form=form)
    launcher.submit(evaluated, dry_run=False)
    kubernetes.until(lambda: launcher.status(evaluated).state == "succeeded", deadline_s=120)
    kubernetes.until(lambda: busy(kubernetes) == [])
    assert (shared / "best.weights.h5").exists()
    assert kubernetes.logs().count("step") >= 2


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.skipif(bool(namespaces.fault()), reason=namespaces.fault())
@EACH_FORM
def test_a_job_trains_at_its_own_names_ports_and_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Form
) -> None:
    launcher = KubernetesLauncher(form=form)
    training = job(str(PROGRAMS / "fit.py"))
    with cluster(tmp_path, pace=20, most_pods_with_addresses=8) as kubernetes:
        kubernetes.add_node(SPOT)
        monkeypatch.setenv("KUBECONFIG", kubernetes.kubeconfig)
        launcher.submit(training, dry_run=False)
        kubernetes.until(lambda: launcher.status(training).state == "succeeded", deadline_s=120)
        assert "kernel 3.0 bias 1.0" in launcher.logs(training, CHIEF, follow=False)
        kubernetes.until(lambda: busy(kubernetes) == [])


@pytest.mark.slow
@EACH_FORM
def test_a_job_whose_chief_always_fails_fails_and_all_tasks_end(
    kubernetes: Cluster, form: Form
) -> None:
    failing = job(str(PROGRAMS / "fit.py"), "fail")
    launcher = KubernetesLauncher(form=form)
    launcher.submit(failing, dry_run=False)
    kubernetes.until(lambda: launcher.status(failing).state == "failed", deadline_s=120)
    kubernetes.until(lambda: busy(kubernetes) == [])
