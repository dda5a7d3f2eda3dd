"""From a manifest to the pods that a cluster would run, their names in DNS and their TF_CONFIG.

Pure: nothing runs. `tf_configs(documents)` is what each pod of a rendered job would find in its
environment, `peers(documents, name)` which pods a name in it leads to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tests.kubernetes import dns, jobsets, tfjobs
from tests.kubernetes.environment import environment
from tests.kubernetes.objects import Object, name_of
from tests.kubernetes.pods import job_pods, stateful_set_pods


def pods(documents: Iterable[Object]) -> list[Object]:
    """Return the pods that the controllers would make of the documents."""
    result: list[Object] = []
    for item in documents:
        if item["kind"] == "Pod":
            result.append(item)
        elif item["kind"] == "StatefulSet":
            result += stateful_set_pods(item)
        elif item["kind"] == "Job":
            result += job_pods(item)
        elif item["kind"] == "JobSet":
            result += pods(jobsets.jobs_of(jobsets.with_defaults(item)))
        elif item["kind"] == "TFJob":
            job = tfjobs.with_defaults(item)
            result += [tfjobs.pod_of(job, *replica) for replica in tfjobs.replicas_of(job)]
    return result


def services(documents: Iterable[Object]) -> list[Object]:
    """Return the Services among the documents, and those that the controllers would make."""
    result: list[Object] = []
    for item in documents:
        if item["kind"] == "Service":
            result.append(item)
        elif item["kind"] == "JobSet":
            service = jobsets.service_of(jobsets.with_defaults(item))
            result += [service] if service else []
        elif item["kind"] == "TFJob":
            job = tfjobs.with_defaults(item)
            result += [tfjobs.service_of(job, *replica) for replica in tfjobs.replicas_of(job)]
    return result


def names(documents: Sequence[Object], *, ready: bool = True) -> dns.Names:
    """Return the names of the pods in DNS, when all of them are ready or none is."""
    return dns.names(pods(documents), services(documents), is_ready=lambda pod: ready)


def peers(documents: Sequence[Object], name: str, *, namespace: str = "default") -> Sequence[str]:
    """Return the pods that one of the namespace finds at a name; none if there is no such name."""
    return dns.resolve(names(documents), name, namespace)


def tf_configs(documents: Iterable[Object]) -> Mapping[str, str]:
    """Return the TF_CONFIG in the environment of each pod that has one, by the pod's host name."""
    result: dict[str, str] = {}
    for pod in pods(documents):
        for container in pod["spec"]["containers"]:
            variables = environment(pod, container)
            if "TF_CONFIG" in variables:
                result[dns.host_of(pod)] = variables["TF_CONFIG"]
    return result


def pod_named(documents: Iterable[Object], host: str) -> Object:
    """Return the pod of a host name."""
    return next(pod for pod in pods(documents) if host in (dns.host_of(pod), name_of(pod)))
