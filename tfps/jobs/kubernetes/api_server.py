"""The API server of a cluster, through the official client, and the advice for its refusals.

The client takes 0.2 s to import, so it is imported on the first connection.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tfps.errors import LaunchError
from tfps.jobs.kubernetes.api_resources import POD, ApiResource

FIELD_MANAGER = "tfps"

_TIMEOUT_S = 30.0
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ApiServer:
    """An API server, and one of its namespaces.

    Each method raises LaunchError if the server refuses or cannot be reached.

    Attributes:
        client: The official package's DynamicClient.
        namespace: The namespace of the objects.
        where: The server's name in messages.
    """

    client: Any
    namespace: str
    where: str

    def get(self, resource: ApiResource, name: str) -> dict[str, Any] | None:
        """Return an object, or None if neither it nor its kind exists."""
        return self._request("GET", resource, name, optional=True)

    def list(self, resource: ApiResource, selector: str) -> list[dict[str, Any]]:
        """Return the objects that a label selector matches; none if the kind does not exist."""
        answer = self._request("GET", resource, optional=True, label_selector=selector)
        return list((answer or {}).get("items") or ())

    def apply(self, resource: ApiResource, document: Mapping[str, Any], *, dry_run: bool) -> None:
        """Create or change an object by server-side apply; with `dry_run`, only check it."""
        self._request(
            "PATCH",
            resource,
            document["metadata"]["name"],
            body=dict(document),
            content_type="application/apply-patch+yaml",
            field_manager=FIELD_MANAGER,
            query_params=[("fieldValidation", "Strict")],
            dry_run="All" if dry_run else None,
        )

    def scale_to_zero(self, resource: ApiResource, name: str) -> None:
        """End the pods of an object if it exists, and keep the object."""
        self._request(
            "PATCH",
            resource,
            f"{name}/scale",
            optional=True,
            body={"spec": {"replicas": 0}},
            content_type="application/merge-patch+json",
            field_manager=FIELD_MANAGER,
        )

    def delete(self, resource: ApiResource, name: str) -> None:
        """Delete an object if it exists, after the objects that it owns."""
        options = {"propagationPolicy": "Foreground"}
        self._request("DELETE", resource, name, optional=True, body=options)

    @contextlib.contextmanager
    def log(
        self, pod: str, container: str, *, follow: bool, since_s: int | None
    ) -> Iterator[Iterator[bytes]]:
        """Open a container's output as a stream; with `since_s`, only that of the last seconds."""
        query = [("container", container), ("follow", str(follow).lower())]
        if since_s is not None:
            query.append(("sinceSeconds", str(since_s)))
        with self._as_launch_errors(POD):
            answer = self.client.request(
                "GET",
                f"{POD.path(self.namespace, pod)}/log",
                query_params=query,
                # A container may write nothing for hours.
                _request_timeout=(_TIMEOUT_S, None if follow else _TIMEOUT_S),
                serialize=False,
            )
            try:
                yield answer.stream()
            finally:
                answer.close()

    def _request(
        self,
        method: str,
        resource: ApiResource,
        name: str = "",
        *,
        optional: bool = False,
        **options: Any,
    ) -> dict[str, Any] | None:
        from kubernetes.dynamic.exceptions import NotFoundError

        path = resource.path(self.namespace, name)
        with self._as_launch_errors(resource):
            try:
                answer = self.client.request(method, path, _request_timeout=_TIMEOUT_S, **options)
            except NotFoundError:
                if optional:
                    return None
                raise
            content: dict[str, Any] = answer.to_dict()
            return content

    @contextlib.contextmanager
    def _as_launch_errors(self, resource: ApiResource) -> Iterator[None]:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ApiException as error:
            raise LaunchError(f"{self.where}: {refusal(error, resource)}") from error
        except HTTPError as error:
            reason = getattr(error, "reason", None) or error
            raise LaunchError(
                f"{self.where} is not reached: {reason}. Check the network and the context; "
                "kubectl cluster-info does the same."
            ) from error


def connect(namespace: str | None) -> ApiServer:
    """Connect to the cluster of the kubeconfig's current context, or the one this runs in.

    Args:
        namespace: The namespace of the objects; None for the context's.

    Raises:
        LaunchError: The client is not installed, or no cluster is configured.
    """
    package = _package()
    config = package.config
    try:
        if _kubeconfig() is None:
            configuration = package.client.Configuration()
            config.load_incluster_config(client_configuration=configuration)
            api, where = package.client.ApiClient(configuration), "This cluster"
            default_namespace = (_SERVICE_ACCOUNT / "namespace").read_text()
        else:
            api = config.new_client_from_config(_kubeconfig(), persist_config=False)
            _, context = config.list_kube_config_contexts(_kubeconfig())
            where = f"Kubernetes context {context['name']!r} ({api.configuration.host})"
            default_namespace = context["context"].get("namespace") or "default"
    except (config.ConfigException, OSError) as error:
        raise LaunchError(
            f"There is no Kubernetes cluster to connect to: {str(error).rstrip('.')}. Set "
            "KUBECONFIG, or choose a context with kubectl config use-context."
        ) from error
    # All paths are known, so the client need not discover them and cache them in a file.
    client = package.dynamic.DynamicClient(api, discoverer=lambda client, cache_file: None)
    return ApiServer(client=client, namespace=namespace or default_namespace, where=where)


def _package() -> Any:
    try:
        import kubernetes
        import kubernetes.dynamic
    except ImportError as error:
        raise LaunchError(
            "The Kubernetes client is not installed. Run pip install 'tfps[kubernetes]'."
        ) from error
    return kubernetes


def _kubeconfig() -> str | None:
    given = os.environ.get("KUBECONFIG") or "~/.kube/config"
    exists = any(Path(path).expanduser().exists() for path in given.split(os.pathsep) if path)
    return given if exists else None


def refusal(error: Any, resource: ApiResource) -> str:
    """Return a sentence about what a server has refused, and what to do.

    Args:
        error: The client's ApiException.
        resource: The kind of object that the request was about.
    """
    status = _status(error)
    if error.status == 404 and not status:
        return f"The cluster has no {resource.kind}. {_how_to_install(resource)}"
    message = str(status.get("message") or error.reason or f"HTTP status {error.status}")
    return f"{message.rstrip('.')}. {_advice(error.status, status, resource)}".rstrip()


def is_refusal(error: LaunchError) -> bool:
    """Return whether the server refused the request, rather than failed or was unreachable."""
    return 400 <= getattr(error.__cause__, "status", 0) < 500


def lacks_rights(error: LaunchError) -> bool:
    """Return whether the server refused because the user lacks the right."""
    return getattr(error.__cause__, "status", None) == 403


def lacks_role(error: LaunchError) -> bool:
    """Return whether the server refused a RoleBinding because its Role does not exist yet."""
    cause = error.__cause__
    if getattr(cause, "status", None) != 404:
        return False
    return bool((_status(cause).get("details") or {}).get("kind") == "roles")


def _advice(code: int, status: dict[str, Any], resource: ApiResource) -> str:
    if code == 401:
        return "Log in to the cluster again; kubectl auth whoami says who you are."
    if code == 403 and resource.kind in ("Role", "RoleBinding"):
        return (
            "Ask for the right to make Roles and RoleBindings there, or use --target jobset, which "
            "needs none."
        )
    if code == 403:
        return "Ask for this right, or use another namespace with -n."
    if code == 404 and (status.get("details") or {}).get("kind") == "namespaces":
        return "Make the namespace with kubectl create namespace, or use another with -n."
    if code == 409:
        return "Someone else changes the job at the same time. Try again, or choose another name."
    return ""


def _how_to_install(resource: ApiResource) -> str:
    if not resource.home:
        return "Use a Kubernetes that has it."
    return f"Install it from {resource.home}, or use --target kubernetes, which needs nothing."


def _status(error: Any) -> dict[str, Any]:
    """Return the `Status` in the body of an answer; empty if there is none."""
    try:
        content = json.loads(error.body)
    except (TypeError, ValueError):
        return {}
    return content if isinstance(content, dict) and content.get("kind") == "Status" else {}
