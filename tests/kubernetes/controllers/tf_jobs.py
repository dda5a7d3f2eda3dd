"""The Training Operator's controller of TFJobs, as in version 1.9."""

from __future__ import annotations

from collections import Counter

from tests.kubernetes import tfjobs
from tests.kubernetes.controllers.clock import Clock
from tests.kubernetes.kinds import POD, SERVICE, TF_JOB
from tests.kubernetes.objects import (
    Object,
    is_going,
    is_true,
    labels_of,
    name_of,
    owned,
    set_condition,
    timestamp,
)
from tests.kubernetes.store import Store, key_of

_COUNTS = {"Running": "active", "Succeeded": "succeeded", "Failed": "failed"}
_RETRYABLE_FROM = 128


class TFJobs:
    """All TFJobs of a cluster."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def reconcile(self) -> None:
        """Bring every TFJob a step further."""
        for stored in self._store.list(TF_JOB):
            if not is_going(stored):
                job = tfjobs.with_defaults(stored)
                job.setdefault("status", {})
                self._sync(job, owned(self._store.list(POD), job))
                stored["status"] = job["status"]
                if self._store.find(key_of(TF_JOB, stored)):
                    self._store.update(TF_JOB, stored)

    def _sync(self, job: Object, pods: list[Object]) -> None:
        if is_true(job, "Succeeded") or is_true(job, "Failed"):
            self._clean_up(job, pods)
            return
        _note(job, "Created", f"TFJob {name_of(job)} is created.")
        job["status"].setdefault("startTime", timestamp())
        if reason := self._exceeded(job, pods):
            job["status"].setdefault("completionTime", timestamp())
            for pod in pods:
                self._delete(pod)
            _note(job, "Failed", f"Job {name_of(job)} has failed because it {reason}")
            return
        counts = {kind: Counter[str]() for kind in job["spec"]["tfReplicaSpecs"]}
        for kind, index in tfjobs.replicas_of(job):
            self._replica(job, kind, index, pods, counts[kind])
        statuses = {kind: dict(count) for kind, count in counts.items()}
        job["status"]["replicaStatuses"] = statuses
        _judge(job, counts)

    def _replica(
        self, job: Object, kind: str, index: int, pods: list[Object], counts: Counter[str]
    ) -> None:
        service = tfjobs.service_of(job, kind, index)
        if not self._store.find(key_of(SERVICE, service)):
            self._store.create(SERVICE, service)
        pod = next((pod for pod in pods if _is_replica(pod, kind, index)), None)
        if pod is None:
            self._store.create(POD, tfjobs.pod_of(job, kind, index))
            return
        phase = pod.get("status", {}).get("phase", "Pending")
        if phase == "Failed":
            self._failed(job, kind, pod)
        if phase in _COUNTS:
            counts[_COUNTS[phase]] += 1

    def _failed(self, job: Object, kind: str, pod: Object) -> None:
        policy = job["spec"]["tfReplicaSpecs"][kind]["restartPolicy"]
        retryable = _exit_code(pod) >= _RETRYABLE_FROM
        if policy in ("OnFailure", "Always") or (policy == "ExitCode" and retryable):
            self._delete(pod)
            message = f"job {name_of(job)} is restarting because {kind} replica(s) failed."
            _note(job, "Restarting", message)
        elif policy == "ExitCode":
            message = f'job "{name_of(job)}" is failing because "{kind}" replica(s) failed.'
            _note(job, "Failed", message)

    def _exceeded(self, job: Object, pods: list[Object]) -> str:
        policy = job["spec"]["runPolicy"]
        limit = policy.get("backoffLimit")
        restarts = sum(
            status["restartCount"]
            for pod in pods
            if pod.get("status", {}).get("phase") == "Running"
            for status in pod["status"].get("containerStatuses") or ()
        )
        if limit is not None and (restarts > 0 if limit == 0 else restarts >= limit):
            return "has reached the specified backoff limit"
        age_s = self._clock.since("tfjob", job["metadata"]["uid"])
        if age_s >= policy.get("activeDeadlineSeconds", float("inf")):
            return "was active longer than specified deadline"
        return ""

    def _clean_up(self, job: Object, pods: list[Object]) -> None:
        policy = job["spec"]["runPolicy"]
        for pod in pods:
            phase = pod.get("status", {}).get("phase", "Pending")
            ends = policy["cleanPodPolicy"] == "All" or phase in ("Running", "Pending")
            if policy["cleanPodPolicy"] != "None" and ends:
                self._delete(pod)
        keep_s = policy.get("ttlSecondsAfterFinished")
        if keep_s is not None and self._clock.since("over", job["metadata"]["uid"]) >= keep_s:
            self._store.delete(key_of(TF_JOB, job))

    def _delete(self, pod: Object) -> None:
        if not is_going(pod):
            self._store.delete(key_of(POD, pod))
        service = key_of(SERVICE, pod)  # It has the pod's name.
        if self._store.find(service):
            self._store.delete(service)


def _judge(job: Object, counts: dict[str, Counter[str]]) -> None:
    was_restarting = is_true(job, "Restarting")
    for kind in tfjobs.REPLICA_TYPES:
        if kind not in counts:
            continue
        replicas, count = job["spec"]["tfReplicaSpecs"][kind]["replicas"], counts[kind]
        if kind in ("Chief", "Master") or (kind == "Worker" and not tfjobs.has_chief(job)):
            if count["active"]:
                _note(job, "Running", f"TFJob {name_of(job)} is running.")
            if count["succeeded"] == replicas:
                job["status"].setdefault("completionTime", timestamp())
                _note(job, "Succeeded", f"TFJob {name_of(job)} successfully completed.")
        if count["failed"] and was_restarting:
            _note(job, "Restarting", f"job {name_of(job)} is restarting")
        elif count["failed"]:
            job["status"].setdefault("completionTime", timestamp())
            message = f"has failed because {count['failed']} {kind} replica(s) failed."
            _note(job, "Failed", f"TFJob {name_of(job)} {message}")


def _note(job: Object, kind: str, message: str) -> None:
    if is_true(job, "Failed"):
        return
    conditions = job["status"].setdefault("conditions", [])
    excluded = {"Running": "Restarting", "Restarting": "Running"}.get(kind)
    job["status"]["conditions"] = [item for item in conditions if item["type"] != excluded]
    if kind in ("Failed", "Succeeded") and is_true(job, "Running"):
        set_condition(job, "Running", False)
    if not is_true(job, kind):
        set_condition(job, kind, True, f"TFJob{kind}", message)


def _is_replica(pod: Object, kind: str, index: int) -> bool:
    labels = labels_of(pod)
    result = labels.get(tfjobs.REPLICA_TYPE), labels.get(tfjobs.REPLICA_INDEX)
    return result == (kind.lower(), str(index))


def _exit_code(pod: Object) -> int:
    for status in pod["status"].get("containerStatuses") or ():
        if status["name"] == tfjobs.CONTAINER and "terminated" in status["state"]:
            return int(status["state"]["terminated"]["exitCode"])
    return 0xBEEF
