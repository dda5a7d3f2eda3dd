"""Connecting to an API server, and the advice for its refusals."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.config import incluster_config

from tests.unit.jobs.kubernetes.memory_server import AnswerError, refused
from tfps.errors import LaunchError
from tfps.jobs.kubernetes import api_server
from tfps.jobs.kubernetes.api_resources import ALL, JOB, JOB_SET, ApiResource
from tfps.jobs.kubernetes.api_server import connect, is_refusal, lacks_rights, lacks_role, refusal


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(variable, raising=False)


def kubeconfig(path: Path, **context: str) -> Path:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": "http://10.0.0.1:6443"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", **context}}],
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_context_says_where_and_in_which_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig(tmp_path / ".kube" / "config")
    server = connect(None)
    assert server.where == "Kubernetes context 'here' (http://10.0.0.1:6443)"
    assert server.namespace == "default"
    other = kubeconfig(tmp_path / "other", namespace="team")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/missing:{other}")
    assert connect(None).namespace == "team"
    assert connect("mine").namespace == "mine"


def test_in_a_cluster_the_pods_account_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("token", "ca.crt", "namespace"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setattr(api_server, "_SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    server = connect(None)
    assert (server.where, server.namespace) == ("This cluster", "namespace")
    assert server.client.configuration.host == "https://10.0.0.1:443"


def test_without_a_cluster_it_is_said_how_to_choose_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LaunchError, match=r"no Kubernetes cluster to connect to: .*use-context"):
        connect(None)
    broken = tmp_path / "broken"
    broken.write_text("apiVersion: v1\nkind: Config\n")
    monkeypatch.setenv("KUBECONFIG", str(broken))
    with pytest.raises(
        LaunchError, match=r"no Kubernetes cluster to connect to: .*current-context"
    ):
        connect(None)


def test_a_missing_client_is_told_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(LaunchError, match=r"Run pip install 'tfps\[kubernetes\]'"):
        connect(None)


ROLE = next(item for item in ALL if item.kind == "Role")


def answer(status: int, body: object = None, reason: str = "Reason") -> AnswerError:
    return AnswerError(status, "404 page not found" if body is None else json.dumps(body), reason)


def status(message: str, **details: Any) -> dict[str, Any]:
    return {"kind": "Status", "message": message, "details": details}


@pytest.mark.parametrize(
    ("given", "resource", "text"),
    [
        (
            answer(404),
            JOB_SET,
            "The cluster has no JobSet. Install it from https://jobset.sigs.k8s.io, or use "
            "--target kubernetes, which needs nothing.",
        ),
        (
            answer(404, status('namespaces "x" not found', kind="namespaces", name="x")),
            JOB,
            'namespaces "x" not found. Make the namespace with kubectl create namespace, or use '
            "another with -n.",
        ),
        (
            answer(403, status('jobs.batch is forbidden: User "a" cannot create resource "jobs"')),
            JOB,
            'jobs.batch is forbidden: User "a" cannot create resource "jobs". Ask for this right, '
            "or use another namespace with -n.",
        ),
        (
            answer(403, status("roles is forbidden")),
            ROLE,
            "roles is forbidden. Ask for the right to make Roles and RoleBindings there, or use "
            "--target jobset, which needs none.",
        ),
        (
            answer(401, status("Unauthorized")),
            JOB,
            "Unauthorized. Log in to the cluster again; kubectl auth whoami says who you are.",
        ),
        (answer(422, status('Job "x" is invalid.')), JOB, 'Job "x" is invalid.'),
        (answer(503, reason="Service Unavailable"), JOB, "Service Unavailable."),
        (answer(500, {"no": "status"}, reason=""), JOB, "HTTP status 500."),
    ],
)
def test_a_refusal_says_what_to_do(given: AnswerError, resource: ApiResource, text: str) -> None:
    assert refusal(given, resource) == text


def test_kinds_of_refusals_are_told_apart() -> None:
    forbidden = refused("", answer(403, status("no")))
    no_role = refused("", answer(404, status('roles "x" not found', kind="roles")))
    broken = refused("", answer(503))
    away = refused("", OSError())
    assert lacks_rights(forbidden)
    assert not lacks_rights(no_role)
    assert lacks_role(no_role)
    assert not lacks_role(forbidden)
    assert is_refusal(forbidden)
    assert not is_refusal(broken)
    assert not is_refusal(away)
    assert not is_refusal(refused("", None))


def test_every_kind_has_its_path_and_its_name() -> None:
    assert JOB.path("ns", "x") == "/apis/batch/v1/namespaces/ns/jobs/x"
    service = next(item for item in ALL if item.kind == "Service")
    assert service.path("ns") == "/api/v1/namespaces/ns/services"
    assert (JOB.named("x"), service.named("x")) == ("job.batch/x", "service/x")
