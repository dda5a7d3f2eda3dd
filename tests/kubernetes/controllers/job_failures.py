"""Whether a Job has failed, and which failures of pods count: pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from tests.kubernetes.objects import Object, is_true, name_of


class _Pods(Protocol):
    def failed(self) -> list[Object]: ...
    def present(self) -> list[Object]: ...
    def failed_indexes(self) -> list[int]: ...


def failure(job: Object, pods: _Pods, age_s: float) -> Object | None:
    """Return why a Job has failed, or None when it has not."""
    return next(_failures(job, pods, age_s), None)


def _failures(job: Object, pods: _Pods, age_s: float) -> Iterator[Object]:
    spec = job["spec"]
    for pod in pods.failed():
        position, rule = matching_rule(job, pod)
        if rule is not None and rule["action"] == "FailJob":
            yield {"reason": "PodFailurePolicy", "message": _told(pod, position)}
    limit = spec.get("backoffLimit", 6 if "backoffLimitPerIndex" not in spec else 2**31 - 1)
    if len(pods.failed()) > limit or _restarted_too_often(spec, pods, limit):
        message = "Job has reached the specified backoff limit"
        yield {"reason": "BackoffLimitExceeded", "message": message}
    if age_s >= spec.get("activeDeadlineSeconds", float("inf")):
        message = "Job was active longer than specified deadline"
        yield {"reason": "DeadlineExceeded", "message": message}
    if len(pods.failed_indexes()) > spec.get("maxFailedIndexes", float("inf")):
        message = "Job has exceeded the specified maximal number of failed indexes"
        yield {"reason": "MaxFailedIndexesExceeded", "message": message}


def is_ignored(job: Object, pod: Object) -> bool:
    """Return whether a pod's failure does not count."""
    _, rule = matching_rule(job, pod)
    return rule is not None and rule["action"] == "Ignore"


def matching_rule(job: Object, pod: Object) -> tuple[int, Object | None]:
    """Return the first rule of the Job's podFailurePolicy that a pod's failure fulfils."""
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or ()
    for position, rule in enumerate(rules):
        if any(is_true(pod, item["type"]) for item in rule.get("onPodConditions") or ()):
            return position, rule
        if "onExitCodes" in rule and _has_code(rule["onExitCodes"], pod):
            return position, rule
    return 0, None


def _has_code(wanted: Object, pod: Object) -> bool:
    for status in pod.get("status", {}).get("containerStatuses") or ():
        code = status["state"].get("terminated", {}).get("exitCode", 0)
        named = wanted.get("containerName") in (None, status["name"])
        if code and named and (code in wanted["values"]) == (wanted["operator"] == "In"):
            return True
    return False


def _restarted_too_often(spec: Object, pods: _Pods, limit: int) -> bool:
    if spec["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts = sum(
        status["restartCount"]
        for pod in pods.present()
        for status in pod.get("status", {}).get("containerStatuses") or ()
    )
    return restarts > 0 if limit == 0 else restarts >= limit


def _told(pod: Object, position: int) -> str:
    [status, *_] = pod["status"]["containerStatuses"]
    code = status["state"]["terminated"]["exitCode"]
    where = f"{pod['metadata']['namespace']}/{name_of(pod)}"
    return (
        f"Container {status['name']} for pod {where} failed with exit code {code} matching "
        f"FailJob rule at index {position}"
    )
