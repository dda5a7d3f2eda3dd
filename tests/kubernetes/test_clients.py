"""The simulated API server with the clients of a real one: kubectl and the Python package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import config, dynamic
from kubernetes.dynamic.exceptions import ConflictError, ForbiddenError, NotFoundError

from tests.kubernetes.cluster import Cluster, cluster
from tests.kubernetes.kinds import JOB, JOB_SET, POD
from tests.kubernetes.manifests import job, job_set, stateful_set
from tests.kubernetes.objects import Object, name_of


@pytest.fixture
def kubernetes(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path) as created:
        yield created


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on this machine")
class TestKubectl:
    def run(
        self, kubernetes: Cluster, *arguments: str, stdin: Object | None = None, code: int = 0
    ) -> str:
        ended = subprocess.run(
            ["kubectl", *arguments],
            env={**os.environ, "KUBECONFIG": kubernetes.kubeconfig, "HOME": str(kubernetes.folder)},
            input=None if stdin is None else json.dumps(stdin),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == code, ended
        return ended.stdout + ended.stderr

    def test_makes_shows_scales_and_deletes(self, kubernetes: Cluster) -> None:
        script = "echo hello $HOSTNAME; sleep 600"
        created = stateful_set(script)
        assert "statefulset.apps/set created" in self.run(
            kubernetes, "apply", "-f", "-", stdin=created
        )
        assert "unchanged" in self.run(kubernetes, "apply", "-f", "-", stdin=created)
        kubernetes.until(lambda: len(_running(kubernetes)) == 2)
        assert "pod/set-1" in self.run(kubernetes, "get", "all", "-o", "name")
        kubernetes.until(lambda: "hello" in self.run(kubernetes, "logs", "set-0"))
        self.run(kubernetes, "scale", "statefulset/set", "--replicas=1")
        kubernetes.until(lambda: _running(kubernetes) == ["set-0"])
        self.run(kubernetes, "delete", "statefulset", "set", "--cascade=foreground")
        assert kubernetes.store.list(POD) == []

    def test_waits_for_a_job_and_follows_it(self, kubernetes: Cluster) -> None:
        self.run(kubernetes, "apply", "-f", "-", stdin=job("echo one; sleep 0.3; echo two"))
        self.run(kubernetes, "wait", "--for=create", "pod", "-l", "job-name=job", "--timeout=20s")
        kubernetes.until(lambda: "two" in self.run(kubernetes, "logs", "-f", "job/job"))
        self.run(kubernetes, "wait", "--for=condition=Complete", "job/job", "--timeout=20s")

    def test_is_told_of_unknown_and_immutable_fields(self, kubernetes: Cluster) -> None:
        wrong = stateful_set(replica=1)
        message = self.run(kubernetes, "apply", "-f", "-", stdin=wrong, code=1)
        assert 'unknown field "replica"' in message
        self.run(kubernetes, "apply", "--server-side", "-f", "-", stdin=stateful_set())
        changed = stateful_set(serviceName="other")
        message = self.run(kubernetes, "apply", "--server-side", "-f", "-", stdin=changed, code=1)
        assert "are forbidden" in message
        self.run(kubernetes, "apply", "--dry-run=server", "-f", "-", stdin=job("exit 0"))
        assert kubernetes.get(JOB, "job") is None


class TestPythonClient:
    def client(self, kubernetes: Cluster, user: str | None = None) -> dynamic.DynamicClient:
        path = kubernetes.kubeconfig if user is None else kubernetes.kubeconfigs[user]
        cache = kubernetes.folder / f"discovery-{user}"
        return dynamic.DynamicClient(config.new_client_from_config(path), cache_file=str(cache))

    def test_discovers_applies_lists_and_deletes(self, kubernetes: Cluster) -> None:
        client = self.client(kubernetes)
        jobs = client.resources.get(api_version="batch/v1", kind="Job")
        created = job("exit 0")
        created["metadata"]["labels"] = {"a": "b"}
        applied = jobs.server_side_apply(created, namespace="default", field_manager="one")
        assert applied.metadata.uid
        result = jobs.get(namespace="default", label_selector="a=b")
        assert [item.metadata.name for item in result.items] == ["job"]
        kubernetes.until(
            lambda: _conditions(kubernetes, "job") == ["SuccessCriteriaMet", "Complete"]
        )
        # Of old, deleting a Job leaves its pods.
        jobs.delete(name="job", namespace="default")
        assert len(kubernetes.store.list(POD)) == 1
        with pytest.raises(NotFoundError):
            jobs.get(name="job", namespace="default")

    def test_two_managers_do_not_overwrite_each_other(self, kubernetes: Cluster) -> None:
        sets = self.client(kubernetes).resources.get(api_version="apps/v1", kind="StatefulSet")
        sets.server_side_apply(stateful_set(), namespace="default", field_manager="one")
        merge = "application/merge-patch+json"
        body = {"spec": {"replicas": 0}}
        sets.scale.patch(body=body, name="set", namespace="default", content_type=merge)
        with pytest.raises(ConflictError):
            sets.server_side_apply(
                stateful_set(replicas=3), namespace="default", field_manager="two"
            )

    def test_a_user_may_only_do_what_a_role_allows(self, kubernetes: Cluster) -> None:
        kubernetes.apply(stateful_set(), *_rights("alice", "apps", ["statefulsets"], ["get"]))
        sets = self.client(kubernetes, "alice").resources.get(
            api_version="apps/v1", kind="StatefulSet"
        )
        assert sets.get(name="set", namespace="default").spec.replicas == 2
        with pytest.raises(ForbiddenError, match="cannot patch resource"):
            sets.server_side_apply(stateful_set(), namespace="default", field_manager="x")


def test_a_kind_that_is_not_installed_is_not_found(tmp_path: Path) -> None:
    with cluster(tmp_path, custom=()) as kubernetes:
        client = TestPythonClient().client(kubernetes)
        path = f"/apis/{JOB_SET.api_version}/namespaces/default/jobsets"
        with pytest.raises(NotFoundError):
            client.request("POST", path, body=job_set(""))


def _running(kubernetes: Cluster) -> list[str]:
    return [
        name_of(pod)
        for pod in kubernetes.store.list(POD)
        if pod.get("status", {}).get("phase") == "Running"
    ]


def _conditions(kubernetes: Cluster, name: str) -> list[str]:
    result = kubernetes.get(JOB, name) or {}
    return [item["type"] for item in result.get("status", {}).get("conditions", [])]


def _rights(user: str, group: str, resources: list[str], verbs: list[str]) -> list[Object]:
    rbac = "rbac.authorization.k8s.io"
    rule = {"apiGroups": [group], "resources": resources, "verbs": verbs}
    reference = {"apiGroup": rbac, "kind": "Role", "name": user}
    subject = {"apiGroup": rbac, "kind": "User", "name": user}
    meta = {"name": user}
    return [
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": meta, "rules": [rule]},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": reference,
            "subjects": [subject],
        },
    ]
