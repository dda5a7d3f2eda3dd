"""The API server of a cluster, through the official client.

The client takes 0.2 s to import, so it is imported when a connection is made.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tfps.errors import LaunchError
from tfps.jobs.kubernetes import refusals
from tfps.jobs.kubernetes.api_resources import POD, ApiResource

FIELD_MANAGER = "tfps"

_TIMEOUT_S = 30.0
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ApiServer:
    """An API server, and a namespace there.

    Each method raises LaunchError when the server refuses or is not reached.

    Attributes:
        client: The official package's DynamicClient.
        namespace: Where the objects are.
        where: How messages name the server.
    """

    client: Any
    namespace: str
    where: str

    def get(self, resource: ApiResource, name: str) -> dict[str, Any] | None:
        """Return an object; None when there is none, or no such kind."""
        return self._request("GET", resource, name, optional=True)

    def list(self, resource: ApiResource, selector: str) -> list[dict[str, Any]]:
        """Return the objects with labels, e.g. `a=b,c=d`; none when there is no such kind."""
        found = self._request("GET", resource, optional=True, label_selector=selector)
        return list((found or {}).get("items") or ())

    def apply(self, resource: ApiResource, document: Mapping[str, Any], *, dry_run: bool) -> None:
        """Make an object what a document says; with `dry_run` have it checked only."""
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
        """End the pods of an object, if it is there; the object stays."""
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
        """Delete an object, if it is there, once all that belongs to it is deleted."""
        options = {"propagationPolicy": "Foreground"}
        self._request("DELETE", resource, name, optional=True, body=options)

    @contextlib.contextmanager
    def log(
        self, pod: str, container: str, *, follow: bool, since_s: int | None
    ) -> Iterator[Iterator[bytes]]:
        """Open the output of a container, or that of the last seconds, as pieces of it come."""
        query = [("container", container), ("follow", str(follow).lower())]
        if since_s is not None:
            query.append(("sinceSeconds", str(since_s)))
        with self._errors_told(POD):
            answer = self.client.request(
                "GET",
                f"{POD.path(self.namespace, pod)}/log",
                query_params=query,
                # A container may say nothing for hours.
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
        **how: Any,
    ) -> dict[str, Any] | None:
        from kubernetes.dynamic.exceptions import NotFoundError

        path = resource.path(self.namespace, name)
        with self._errors_told(resource):
            try:
                answer = self.client.request(method, path, _request_timeout=_TIMEOUT_S, **how)
            except NotFoundError:
                if optional:
                    return None
                raise
            content: dict[str, Any] = answer.to_dict()
            return content

    @contextlib.contextmanager
    def _errors_told(self, resource: ApiResource) -> Iterator[None]:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ApiException as error:
            raise LaunchError(f"{self.where}: {refusals.sentence(error, resource)}") from error
        except HTTPError as error:
            reason = getattr(error, "reason", None) or error
            raise LaunchError(
                f"{self.where} is not reached: {reason}. Check the network and the context; "
                "kubectl cluster-info does the same."
            ) from error


def connect(namespace: str | None) -> ApiServer:
    """Connect to the cluster of the kubeconfig's current context, or the one this runs in.

    Args:
        namespace: Where the objects are; None takes the context's.

    Raises:
        LaunchError: The client is not installed, or there is no cluster to connect to.
    """
    package = _package()
    config = package.config
    try:
        if _kubeconfig() is None:
            configuration = package.client.Configuration()
            config.load_incluster_config(client_configuration=configuration)
            api, where = package.client.ApiClient(configuration), "This cluster"
            usual = (_SERVICE_ACCOUNT / "namespace").read_text()
        else:
            api = config.new_client_from_config(_kubeconfig(), persist_config=False)
            _, context = config.list_kube_config_contexts(_kubeconfig())
            where = f"Kubernetes context {context['name']!r} ({api.configuration.host})"
            usual = context["context"].get("namespace") or "default"
    except (config.ConfigException, OSError) as error:
        raise LaunchError(
            f"There is no Kubernetes cluster to connect to: {str(error).rstrip('.')}. Set "
            "KUBECONFIG, or choose a context with kubectl config use-context."
        ) from error
    # The paths of the few kinds are known, so nothing is discovered first, nor cached in a file.
    client = package.dynamic.DynamicClient(api, discoverer=lambda client, cache_file: None)
    return ApiServer(client=client, namespace=namespace or usual, where=where)


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
