"""Which cluster is connected to; nothing is asked of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from kubernetes.config import incluster_config

from tfps.errors import LaunchError
from tfps.jobs.kubernetes import api_server
from tfps.jobs.kubernetes.api_server import connect


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
