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
    found: list[Object] = []
    for one in documents:
        if one["kind"] == "Pod":
            found.append(one)
        elif one["kind"] == "StatefulSet":
            found += stateful_set_pods(one)
        elif one["kind"] == "Job":
            found += job_pods(one)
        elif one["kind"] == "JobSet":
            found += pods(jobsets.jobs_of(jobsets.with_defaults(one)))
        elif one["kind"] == "TFJob":
            job = tfjobs.with_defaults(one)
            found += [tfjobs.pod_of(job, *replica) for replica in tfjobs.replicas_of(job)]
    return found


def services(documents: Iterable[Object]) -> list[Object]:
    """Return the Services among the documents, and those that the controllers would make."""
    found: list[Object] = []
    for one in documents:
        if one["kind"] == "Service":
            found.append(one)
        elif one["kind"] == "JobSet":
            service = jobsets.service_of(jobsets.with_defaults(one))
            found += [service] if service else []
        elif one["kind"] == "TFJob":
            job = tfjobs.with_defaults(one)
            found += [tfjobs.service_of(job, *replica) for replica in tfjobs.replicas_of(job)]
    return found


def names(documents: Sequence[Object], *, ready: bool = True) -> dns.Names:
    """Return the names of the pods in DNS, when all of them are ready or none is."""
    return dns.names(pods(documents), services(documents), is_ready=lambda pod: ready)


def peers(documents: Sequence[Object], name: str, *, namespace: str = "default") -> Sequence[str]:
    """Return the pods that one of the namespace finds at a name; none if there is no such name."""
    return dns.resolve(names(documents), name, namespace)


def tf_configs(documents: Iterable[Object]) -> Mapping[str, str]:
    """Return the TF_CONFIG in the environment of each pod that has one, by the pod's host name."""
    found: dict[str, str] = {}
    for pod in pods(documents):
        for container in pod["spec"]["containers"]:
            variables = environment(pod, container)
            if "TF_CONFIG" in variables:
                found[dns.host_of(pod)] = variables["TF_CONFIG"]
    return found


def pod_named(documents: Iterable[Object], host: str) -> Object:
    """Return the pod of a host name."""
    return next(pod for pod in pods(documents) if host in (dns.host_of(pod), name_of(pod)))
