"""The launcher of all three forms on a simulated cluster, with shell scripts as tasks."""

from __future__ import annotations

import dataclasses
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.processes import until
from tests.kubernetes import schemas
from tests.kubernetes.cluster import Cluster, cluster
from tests.kubernetes.kinds import JOB_SET, POD, TF_JOB
from tests.kubernetes.manifests import service
from tests.kubernetes.objects import Object, name_of
from tests.unit.jobs.specs import spec
from tfps.cluster.spec import Task
from tfps.errors import LaunchError
from tfps.jobs.kubernetes import submission
from tfps.jobs.kubernetes.launcher import AS_JOB_SET, AS_TF_JOB, PLAIN, Form, KubernetesLauncher
from tfps.jobs.platforms import Kubernetes
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec
from tfps.jobs.targets import JobStatus

CHIEF, WORKER = Task(type="chief", index=0), Task(type="worker", index=1)
IMAGE = "tfps:0.1.0"

needs_schemas = pytest.mark.skipif(
    not all(map(schemas.is_at_hand, (JOB_SET, TF_JOB))),
    reason=schemas.needed(JOB_SET, TF_JOB),
)
FORMS = [
    pytest.param(PLAIN, id="plain"),
    pytest.param(AS_JOB_SET, id="jobset", marks=needs_schemas),
    pytest.param(AS_TF_JOB, id="tfjob", marks=needs_schemas),
]
# The forms differ in what is rendered and followed, which the first test sees for each of them.
PLAIN_OR_SLOW = [
    pytest.param(PLAIN, id="plain"),
    pytest.param(AS_JOB_SET, id="jobset", marks=[needs_schemas, pytest.mark.slow]),
    pytest.param(AS_TF_JOB, id="tfjob", marks=[needs_schemas, pytest.mark.slow]),
]


@pytest.fixture
def kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setattr(submission, "_POLL_S", 0.05)
    with cluster(tmp_path, images=[IMAGE]) as created:
        monkeypatch.setenv("KUBECONFIG", created.kubeconfig)
        yield created


def job(chief: str = "exit 0", *, restarts: int = 1, **fields: object) -> JobSpec:
    """Make a job whose chief runs a script, while the others wait for a signal."""
    wait = 'trap "exit 143" TERM; while true; do sleep 0.05; done'
    is_chief = (
        """case "$TF_CONFIG" in *'"type": "chief"'*|*'"type":"chief"'*) true;; *) false;; esac"""
    )
    script = f'echo "hello"; if {is_chief}; then {chief}; else {wait}; fi'
    roles = {"chief": Role(restarts=restarts), "worker": Role(replicas=2)}
    usual = {"command": ("sh", "-c", script), "kubernetes": Kubernetes(cloud="none")}
    return spec(roles, **{**usual, **fields})


def until_over(launcher: KubernetesLauncher, job: JobSpec) -> JobStatus:
    result: list[JobStatus] = []

    def is_over() -> bool:
        result.append(launcher.status(job))
        return result[-1].is_over

    until(is_over, deadline_s=60)
    return result[-1]


def busy(kubernetes: Cluster) -> list[str]:
    return [
        name_of(pod)
        for pod in kubernetes.store.list(POD)
        if pod.get("status", {}).get("phase", "Pending") in ("Pending", "Running")
    ]


def objects(kubernetes: Cluster) -> list[str]:
    return [
        f"{key.kind.name}/{key.name}"
        for key in kubernetes.store.everything()
        if key.kind.name != "Namespace"
    ]


@pytest.mark.parametrize("form", FORMS)
def test_a_job_is_submitted_followed_and_ends_with_its_chief(
    kubernetes: Cluster, form: Form, tmp_path: Path
) -> None:
    launcher = KubernetesLauncher(form=form)
    go = tmp_path / "go"
    spec_ = job(f"while ! test -e {shlex.quote(str(go))}; do sleep 0.05; done; echo trained")
    with pytest.raises(LaunchError, match=r"has no .*/job.* in namespace default"):
        launcher.status(spec_)

    named = launcher.submit(spec_, dry_run=True)
    assert objects(kubernetes) == []
    assert launcher.submit(spec_, dry_run=False) == named
    assert named.startswith("default/")
    with pytest.raises(LaunchError, match=r"a job job runs in namespace default. .*tfps cancel"):
        launcher.submit(spec_, dry_run=False)
    until(lambda: [task.state for task in launcher.status(spec_).tasks] == ["running"] * 4)
    status = launcher.status(spec_)
    assert (status.name, status.state, status.message) == (named, "running", "")
    assert [str(task.task) for task in status.tasks] == ["chief 0", "worker 0", "worker 1", "ps 0"]
    assert {task.place for task in status.tasks} == {"node-0"}
    until(lambda: list(launcher.logs(spec_, WORKER, follow=False)) == ["hello"])

    lines = launcher.logs(spec_, CHIEF, follow=True)
    assert next(lines) == "hello"
    go.touch()
    assert list(lines) == ["trained"]
    assert until_over(launcher, spec_).state == "succeeded"
    kubernetes.until(lambda: busy(kubernetes) == [])
    assert list(launcher.logs(spec_, CHIEF, follow=False)) == ["hello", "trained"]
    with pytest.raises(LaunchError, match="no output of worker 1: it has no pod"):
        list(launcher.logs(spec_, WORKER, follow=False))


@pytest.mark.parametrize("form", PLAIN_OR_SLOW)
def test_a_job_fails_with_its_chief_and_one_that_is_over_is_replaced(
    kubernetes: Cluster, form: Form
) -> None:
    launcher = KubernetesLauncher(form=form)
    failing = job("exit 3", restarts=2)
    failing = dataclasses.replace(
        failing,
        roles=dataclasses.replace(failing.roles, ps=Role(restarts=2), worker=Role(restarts=2)),
    )
    launcher.submit(failing, dry_run=False)
    status = until_over(launcher, failing)
    assert status.state == "failed"
    assert "limit" in status.message or "ReachedMaxRestarts" in status.message
    kubernetes.until(lambda: busy(kubernetes) == [])
    if form is not AS_TF_JOB:  # The operator deletes the pods of a job that failed so.
        chief = launcher.status(failing).tasks[0]
        assert (chief.state, chief.restarts, chief.message) == ("failed", 2, "exit code 3")

    before = {key: obj["metadata"]["uid"] for key, obj in kubernetes.store.everything().items()}
    launcher.submit(job("exit 0"), dry_run=True)
    unchanged = {key: obj["metadata"]["uid"] for key, obj in kubernetes.store.everything().items()}
    assert unchanged == before
    launcher.submit(job("exit 0"), dry_run=False)
    assert until_over(launcher, failing).state == "succeeded"
    kubernetes.until(lambda: busy(kubernetes) == [])

    told = launcher.cancel(failing)
    assert told.startswith("default/")
    assert "deleted" in told
    assert objects(kubernetes) == []
    with pytest.raises(LaunchError, match=r"has no .* It was never submitted there"):
        launcher.cancel(failing)


@pytest.mark.parametrize("form", PLAIN_OR_SLOW)
def test_why_tasks_wait_is_told_and_a_running_job_is_cancelled(
    kubernetes: Cluster, form: Form
) -> None:
    launcher = KubernetesLauncher(form=form)
    waiting = job(image="no-such-image")
    worker = Role(replicas=1, node_selector={"pool": "none"})
    waiting = dataclasses.replace(waiting, roles=dataclasses.replace(waiting.roles, worker=worker))
    launcher.submit(waiting, dry_run=False)
    until(lambda: all(task.message for task in launcher.status(waiting).tasks or [CHIEF]))
    status = launcher.status(waiting)
    chief, worker_0, ps = (task.message for task in status.tasks)
    assert status.state == "pending"
    assert chief == ps == 'ImagePullBackOff: Back-off pulling image "no-such-image"'
    assert worker_0.startswith("Unschedulable: 0/1 nodes are available: 1 node(s) didn't match")
    with pytest.raises(LaunchError, match=r"no output of chief 0: pod .*: ImagePullBackOff"):
        list(launcher.logs(waiting, CHIEF, follow=False))
    launcher.cancel(waiting)
    assert objects(kubernetes) == []


def test_all_refusals_are_listed_and_nothing_is_made(kubernetes: Cluster) -> None:
    launcher = KubernetesLauncher(form=PLAIN)
    refused = job(labels={"team": "a"})
    service_account = Kubernetes(cloud="none", namespace="elsewhere")
    with pytest.raises(LaunchError) as error:
        launcher.submit(dataclasses.replace(refused, kubernetes=service_account), dry_run=False)
    first, *others = str(error.value).splitlines()
    assert first.endswith("refuses 12 of the job's 12 objects, so none was made:")
    [line] = others
    assert line.startswith("  service/job, networkpolicy.networking.k8s.io/job, ")
    assert line.endswith(
        'namespaces "elsewhere" not found. Make the namespace with kubectl create namespace, or '
        "use another with -n."
    )
    assert objects(kubernetes) == []


def test_objects_of_others_are_left_alone(kubernetes: Cluster) -> None:
    kubernetes.apply(service("job"))
    with pytest.raises(LaunchError, match=r"service/job is already in namespace default, and not"):
        KubernetesLauncher(form=PLAIN).submit(job(), dry_run=True)
    assert objects(kubernetes) == ["Service/job"]


def test_a_user_is_told_which_right_is_missing(
    kubernetes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    verbs = ["get", "list", "create", "patch", "delete"]
    kubernetes.apply(
        *rights("reader", {"": ["pods"], "batch": ["jobs"]}, ["get", "list"]),
        *rights(
            "builder",
            {
                "": ["services", "serviceaccounts", "pods", "pods/log"],
                "apps": ["statefulsets", "statefulsets/scale"],
                "batch": ["jobs"],
                "policy": ["poddisruptionbudgets"],
                "networking.k8s.io": ["networkpolicies"],
                "rbac.authorization.k8s.io": ["roles", "rolebindings"],
            },
            verbs,
        ),
    )
    launcher = KubernetesLauncher(form=PLAIN)
    monkeypatch.setenv("KUBECONFIG", kubernetes.kubeconfigs["reader"])
    with pytest.raises(LaunchError, match=r'User "reader" cannot list resource .* this right'):
        launcher.submit(job(), dry_run=False)

    monkeypatch.setenv("KUBECONFIG", kubernetes.kubeconfigs["builder"])
    launcher.submit(job(), dry_run=False)
    assert until_over(launcher, job()).state == "succeeded"
    launcher.cancel(job())


@needs_schemas
def test_a_kind_that_is_not_installed_is_told_with_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster(tmp_path, custom=()) as kubernetes:
        monkeypatch.setenv("KUBECONFIG", kubernetes.kubeconfig)
        for form, home in ((AS_JOB_SET, "jobset.sigs.k8s.io"), (AS_TF_JOB, "github.com/kubeflow")):
            with pytest.raises(LaunchError, match=rf"The cluster has no \w+. .*{home}"):
                KubernetesLauncher(form=form).submit(job(), dry_run=False)
        assert objects(kubernetes) == []


def test_a_server_that_is_not_there_and_no_configuration_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster(tmp_path) as kubernetes:
        monkeypatch.setenv("KUBECONFIG", kubernetes.kubeconfig)
    with pytest.raises(LaunchError, match=r"context 'stand-in' \(http.*\) is not reached: "):
        KubernetesLauncher(form=PLAIN).status(job())
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    with pytest.raises(LaunchError, match=r"no Kubernetes cluster to connect to: .* KUBECONFIG"):
        KubernetesLauncher(form=PLAIN).status(job())


def test_a_job_in_a_namespace_of_its_own(kubernetes: Cluster) -> None:
    kubernetes.namespace("team")
    there = job("sleep 0.2", kubernetes=Kubernetes(cloud="none", namespace="team"))
    launcher = KubernetesLauncher(form=PLAIN)
    assert launcher.submit(there, dry_run=False) == "team/job.batch/job-chief"
    assert {key.namespace for key in kubernetes.store.everything()} == {"", "team"}
    assert until_over(launcher, there).state == "succeeded"
    kubernetes.until(lambda: busy(kubernetes) == [])
    launcher.cancel(there)


@needs_schemas
def test_a_job_of_the_same_name_in_another_form_is_not_disturbed(kubernetes: Cluster) -> None:
    waiting = job("sleep 600")
    KubernetesLauncher(form=AS_JOB_SET).submit(waiting, dry_run=False)
    kubernetes.until(lambda: len(busy(kubernetes)) == 4)
    with pytest.raises(LaunchError, match=r"a job job runs .* the target it was submitted to"):
        KubernetesLauncher(form=PLAIN).submit(waiting, dry_run=False)
    before = objects(kubernetes)
    with pytest.raises(LaunchError, match=r"never submitted there with this target"):
        KubernetesLauncher(form=PLAIN).cancel(waiting)
    assert objects(kubernetes) == before


def test_what_still_runs_is_told_when_the_job_that_ends_it_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = KubernetesLauncher(form=PLAIN)
    broken = job("exit 0")
    documents = [dict(item) for item in PLAIN.render(broken).documents]
    ending = documents[-1]["spec"]["template"]["spec"]["containers"][0]
    assert ending["command"] == ["python", "-m", "tfps.jobs.kubernetes.ending", "job"]
    ending["command"] = ["python", "-c", "import kubernetes_is_missing_in_this_image"]
    with cluster(tmp_path, pace=1000) as kubernetes:
        monkeypatch.setenv("KUBECONFIG", kubernetes.kubeconfig)
        kubernetes.apply(*documents)
        message = "job.batch/job-ending has failed, so job-ps, job-worker still run"
        kubernetes.until(lambda: launcher.status(broken).message == message)


def test_what_ends_a_job_is_ended_by_sigterm(kubernetes: Cluster) -> None:
    command = [sys.executable, "-m", "tfps.jobs.kubernetes.ending", "job"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as ending:
        assert ending.stdout is not None
        assert "waiting for the end of job.batch/job-chief" in ending.stdout.readline()
        ending.terminate()
        assert ending.wait(30) == 128 + signal.SIGTERM


def rights(user: str, resources: dict[str, list[str]], verbs: list[str]) -> list[Object]:
    """Return what lets a user do something with kinds of objects, by their groups."""
    rbac = "rbac.authorization.k8s.io"
    rules = [
        {"apiGroups": [group], "resources": names, "verbs": verbs}
        for group, names in resources.items()
    ]
    return [
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "Role",
            "metadata": {"name": user},
            "rules": rules,
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": user},
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": user},
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": user}],
        },
    ]
