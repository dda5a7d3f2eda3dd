"""Rules of an API server beyond the schemas, as far as a rendered job could break them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tests.kubernetes.kinds import JOB, JOB_SET, SERVICE, STATEFUL_SET, TF_JOB, Kind
from tests.kubernetes.objects import Object, labels_of, matches
from tests.kubernetes.pod_rules import pod_faults
from tests.kubernetes.pods import is_indexed

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_LABEL_KEY = re.compile(rf"({_DOMAIN.pattern}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"|[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_MUTABLE = {
    STATEFUL_SET: {
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    },
    JOB: {
        "parallelism",
        "suspend",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
    },
    JOB_SET: {"suspend", "ttlSecondsAfterFinished"},
}


def faults(kind: Kind, obj: Object) -> list[str]:
    """Return which rules of its kind an object breaks."""
    return [*_metadata_faults(kind, obj), *_SPECIAL.get(kind, lambda obj: iter(()))(obj)]


def update_faults(kind: Kind, old: Object, new: Object) -> list[str]:
    """Return which fields of the spec were changed that cannot be."""
    if kind not in _MUTABLE:
        return []
    keys = {*old.get("spec", {}), *new.get("spec", {})} - _MUTABLE[kind]
    changed = [key for key in sorted(keys) if old["spec"].get(key) != new["spec"].get(key)]
    if changed and kind is STATEFUL_SET:
        allowed = ", ".join(f"'{key}'" for key in sorted(_MUTABLE[kind]))
        return [
            "spec: Forbidden: updates to statefulset spec for fields other than "
            f"{allowed} are forbidden"
        ]
    return [f"spec.{key}: Invalid value: field is immutable" for key in changed]


def _metadata_faults(kind: Kind, obj: Object) -> Iterator[str]:
    name = obj["metadata"].get("name", "")
    longest = 63 if kind in (SERVICE, STATEFUL_SET, TF_JOB) else 253
    if len(name) > longest or not _DOMAIN.fullmatch(name):
        yield f'metadata.name: Invalid value: "{name}": a lowercase RFC 1123 subdomain is needed'
    if kind in (SERVICE, TF_JOB) and not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        yield f'metadata.name: Invalid value: "{name}": a DNS-1035 label is needed'
    yield from _label_faults("metadata.labels", labels_of(obj))


def _label_faults(path: str, labels: object) -> Iterator[str]:
    for key, value in dict(labels or {}).items():  # type: ignore[call-overload]
        if not _LABEL_KEY.fullmatch(key):
            yield f'{path}: Invalid value: "{key}": a qualified name is needed'
        if not _LABEL_VALUE.fullmatch(value):
            yield f'{path}: Invalid value: "{value}": a valid label is needed'


def _template_faults(path: str, template: Object, restart_policies: set[str]) -> Iterator[str]:
    yield from _label_faults(
        f"{path}.metadata.labels", (template.get("metadata") or {}).get("labels")
    )
    policy = template["spec"].get("restartPolicy", "Always")
    if policy not in restart_policies:
        allowed = ", ".join(sorted(restart_policies))
        yield f'{path}.spec.restartPolicy: Unsupported value: "{policy}": supported: {allowed}'
    yield from pod_faults(f"{path}.spec", template["spec"])


def _stateful_set_faults(obj: Object) -> Iterator[str]:
    spec = obj["spec"]
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    if not matches(spec["selector"], labels):
        yield "spec.template.metadata.labels: Invalid value: `selector` does not match them"
    yield from _template_faults("spec.template", spec["template"], {"Always"})


def _job_faults(obj: Object) -> Iterator[str]:
    yield from _job_spec_faults("spec", obj["spec"])


def _job_spec_faults(path: str, spec: Object) -> Iterator[str]:
    if is_indexed({"spec": spec}) and "completions" not in spec:
        yield f"{path}.completions: Required value: when completion mode is Indexed"
    if not is_indexed({"spec": spec}) and "backoffLimitPerIndex" in spec:
        yield f"{path}.backoffLimitPerIndex: Invalid value: requires indexed completion mode"
    if "maxFailedIndexes" in spec and "backoffLimitPerIndex" not in spec:
        yield f"{path}.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified"
    policies = {"Never"} if "podFailurePolicy" in spec else {"Never", "OnFailure"}
    if "backoffLimitPerIndex" in spec:
        policies = {"Never"}
    yield from _template_faults(f"{path}.template", spec["template"], policies)


def _job_set_faults(obj: Object) -> Iterator[str]:
    spec = obj["spec"]
    names = [item["name"] for item in spec["replicatedJobs"]]
    for index, item in enumerate(spec["replicatedJobs"]):
        path = f"spec.replicatedJobs[{index}]"
        count = item["replicas"]
        completions = item["template"]["spec"].get("completions", 1)
        pod = f"{obj['metadata']['name']}-{item['name']}-{count - 1}-{completions - 1}-abcde"
        if len(pod) > 63:
            yield f"{path}.name: JobSet name is too long, pod names will exceed 63 characters"
        yield from _job_spec_faults(f"{path}.template.spec", item["template"]["spec"])
    for target in spec["successPolicy"].get("targetReplicatedJobs") or ():
        if target not in names:
            yield f"invalid replicatedJob name '{target}' does not appear in .spec.ReplicatedJobs"


def _tf_job_faults(obj: Object) -> Iterator[str]:
    for kind, replicas in obj["spec"]["tfReplicaSpecs"].items():
        path = f"spec.tfReplicaSpecs[{kind}].template"
        containers = replicas["template"]["spec"]["containers"]
        if "tensorflow" not in [item["name"] for item in containers]:
            yield f"{path}.spec.containers: Required value: one container named tensorflow"
        yield from pod_faults(f"{path}.spec", replicas["template"]["spec"])


def _service_faults(obj: Object) -> Iterator[str]:
    ports = obj["spec"].get("ports") or ()
    if not ports and obj["spec"].get("clusterIP") != "None":
        yield "spec.ports: Required value"
    if len(ports) > 1 and any("name" not in port for port in ports):
        yield "spec.ports[0].name: Required value"


_SPECIAL: dict[Kind, Callable[[Object], Iterator[str]]] = {
    STATEFUL_SET: _stateful_set_faults,
    JOB: _job_faults,
    JOB_SET: _job_set_faults,
    TF_JOB: _tf_job_faults,
    SERVICE: _service_faults,
}
