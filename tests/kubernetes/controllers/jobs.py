"""The Job controller: it creates pods, restarts them after failures, and ends the Job."""

from __future__ import annotations

import secrets

from tests.kubernetes.controllers import job_failures
from tests.kubernetes.controllers.clock import Clock
from tests.kubernetes.controllers.job_pods import JobPods
from tests.kubernetes.kinds import JOB, POD
from tests.kubernetes.objects import (
    Object,
    condition,
    is_going,
    is_true,
    owned,
    owner_uids,
    set_condition,
    timestamp,
)
from tests.kubernetes.pods import JOB_TRACKING, is_indexed, job_pod
from tests.kubernetes.store import Store, key_of

_FIRST_BACKOFF_S = 10
_LONGEST_BACKOFF_S = 360


class Jobs:
    """All Jobs of a cluster."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._pods: dict[str, JobPods] = {}

    def reconcile(self) -> None:
        """Bring every Job a step further."""
        jobs = self._store.list(JOB)
        pods = self._store.list(POD)
        uids = {job["metadata"]["uid"] for job in jobs}
        for pod in pods:
            if _is_tracked(pod) and not uids & set(owner_uids(pod)):
                self._let_go(pod)
        for job in jobs:
            uid = job["metadata"]["uid"]
            known = self._pods.setdefault(uid, JobPods(job))
            known.look_at(owned(pods, job))
            for pod in known.ended():
                self._let_go(pod)
            self._sync(job, known)

    def _sync(self, job: Object, pods: JobPods) -> None:
        uid = job["metadata"]["uid"]
        job["spec"]["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
        if is_going(job) or is_true(job, "Complete") or is_true(job, "Failed"):
            self._tell_status(job, pods)
            self._expire(job)
            return
        if job["spec"].get("suspend"):
            self._end(pods)
            set_condition(job, "Suspended", True, "JobSuspended", "Job suspended")
        else:
            if condition(job, "Suspended"):
                set_condition(job, "Suspended", False, "JobResumed", "Job resumed")
            job.setdefault("status", {}).setdefault("startTime", timestamp())
            self._decide(job, pods)
        self._tell_status(job, pods)

    def _decide(self, job: Object, pods: JobPods) -> None:
        age_s = self._clock.since("job", job["metadata"]["uid"])
        failure = condition(job, "FailureTarget") or job_failures.failure(job, pods, age_s)
        if failure is not None:
            set_condition(job, "FailureTarget", True, failure["reason"], failure["message"])
            self._end(pods)
            if not pods.present():
                set_condition(job, "Failed", True, failure["reason"], failure["message"])
        elif pods.is_complete():
            reason, message = "CompletionsReached", "Reached expected number of succeeded pods"
            set_condition(job, "SuccessCriteriaMet", True, reason, message)
            self._end(pods)
            if not pods.present():
                set_condition(job, "Complete", True, reason, message)
                job["status"]["completionTime"] = timestamp()
        else:
            self._make(job, pods)

    def _make(self, job: Object, pods: JobPods) -> None:
        if not pods.may_be_replaced():
            return
        uid = job["metadata"]["uid"]
        for index in pods.missing():
            failures = pods.failures(index)
            wait_s = min(_FIRST_BACKOFF_S * 2 ** (failures - 1), _LONGEST_BACKOFF_S)
            mark = (uid, index, failures)
            if failures == 0 or self._clock.since(*mark) >= wait_s:
                suffix = secrets.token_hex(3)[:5]
                number = index if is_indexed(job) else None
                pod = job_pod(job, number, suffix=suffix, failures=failures)
                self._store.create(POD, pod)

    def _end(self, pods: JobPods) -> None:
        for pod in pods.present():
            if not is_going(pod):
                self._store.delete(key_of(POD, pod))

    def _let_go(self, pod: Object) -> None:
        def edit(obj: Object) -> None:
            left = [item for item in obj["metadata"].get("finalizers", []) if item != JOB_TRACKING]
            obj["metadata"]["finalizers"] = left

        if _is_tracked(pod):
            self._store.change(key_of(POD, pod), edit)

    def _tell_status(self, job: Object, pods: JobPods) -> None:
        status = {**job.get("status", {}), **pods.counts(), "uncountedTerminatedPods": {}}

        def edit(obj: Object) -> None:
            obj["status"] = status
            obj["spec"]["selector"] = job["spec"]["selector"]

        self._store.change(key_of(JOB, job), edit)

    def _expire(self, job: Object) -> None:
        keep_s = job["spec"].get("ttlSecondsAfterFinished")
        age_s = self._clock.since("job over", job["metadata"]["uid"])
        if keep_s is not None and age_s >= keep_s and not is_going(job):
            self._store.delete(key_of(JOB, job), propagation="Foreground")


def _is_tracked(pod: Object) -> bool:
    return JOB_TRACKING in (pod["metadata"].get("finalizers") or ())
