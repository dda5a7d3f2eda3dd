"""The DNS names of pods, as CoreDNS derives them from headless Services."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from tests.kubernetes.objects import Object, labels_of, name_of

Names = Mapping[str, Sequence[str]]
"""The keys of the pods at each fully qualified name."""

_DOMAIN = "cluster.local"
_NDOTS = 5


def host_of(pod: Object) -> str:
    """Return the host name that a pod sees as its own."""
    return str(pod["spec"].get("hostname") or name_of(pod))


def names(
    pods: Iterable[Object],
    services: Iterable[Object],
    *,
    is_ready: Callable[[Object], bool] = lambda pod: True,
    key: Callable[[Object], str] = name_of,
) -> dict[str, list[str]]:
    """Return the names of pods: those of Services, and those of single pods in their domain.

    Args:
        pods: Those that run.
        services: The cluster's; one that is not headless has a name, but no pod behind it.
        is_ready: Whether a pod is; one that is not has a name only where the Service publishes it.
        key: What stands for a pod in the result.
    """
    result: dict[str, list[str]] = {}
    pods = list(pods)
    for service in services:
        spec = service["spec"]
        if spec.get("clusterIP") != "None" or not spec.get("selector"):
            continue
        for pod in filter(lambda pod: _is_behind(pod, service, is_ready), pods):
            domain = f"{name_of(service)}.{_namespace(service)}.svc.{_DOMAIN}"
            result.setdefault(domain, []).append(key(pod))
            if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == name_of(service):
                result.setdefault(f"{pod['spec']['hostname']}.{domain}", []).append(key(pod))
    return result


def resolve(known: Names, name: str, namespace: str) -> Sequence[str]:
    """Look up a name as a pod of the namespace does, with the search path of its resolv.conf."""
    domains = (f"{namespace}.svc.{_DOMAIN}", f"svc.{_DOMAIN}", _DOMAIN)
    searched = [f"{name}.{domain}" for domain in domains]
    is_absolute = name.endswith(".")
    first = [name.rstrip(".")] if is_absolute or name.count(".") >= _NDOTS else []
    candidates = first if is_absolute else [*first, *searched, name]
    return next((known[item] for item in candidates if item in known), ())


def hosts_file(known: Names, namespace: str) -> str:
    """Write /etc/hosts for a pod of the namespace: all that it could look up, by IP address."""
    lines = []
    for name, pods in sorted(known.items()):
        domains = (f"{namespace}.svc.{_DOMAIN}", f"svc.{_DOMAIN}", _DOMAIN)
        short = [name.removesuffix(f".{item}") for item in domains if name.endswith(f".{item}")]
        lines += [f"{address} {' '.join([name, *short])}\n" for address in pods]
    return "".join(lines)


def _is_behind(pod: Object, service: Object, is_ready: Callable[[Object], bool]) -> bool:
    selector = service["spec"]["selector"]
    if _namespace(pod) != _namespace(service):
        return False
    if any(labels_of(pod).get(label) != value for label, value in selector.items()):
        return False
    return bool(service["spec"].get("publishNotReadyAddresses")) or is_ready(pod)


def _namespace(obj: Object) -> str:
    return str(obj["metadata"].get("namespace", "default"))
