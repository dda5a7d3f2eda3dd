"""JobSet's controller: it creates a Job for each replica and derives the JobSet's result."""

from __future__ import annotations

import re

from tests.kubernetes import jobsets
from tests.kubernetes.controllers.clock import Clock
from tests.kubernetes.kinds import JOB, JOB_SET, SERVICE
from tests.kubernetes.objects import (
    Object,
    condition,
    is_going,
    is_true,
    labels_of,
    name_of,
    owned,
    set_condition,
)
from tests.kubernetes.store import Store, key_of


class JobSets:
    """All JobSets of a cluster."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def reconcile(self) -> None:
        """Bring every JobSet a step further."""
        for job_set in self._store.list(JOB_SET):
            if not is_going(job_set):
                self._sync(job_set)

    def _sync(self, job_set: Object) -> None:
        status = job_set.setdefault("status", {})
        status.setdefault("restarts", 0)
        jobs = owned(self._store.list(JOB), job_set)
        previous = [
            job for job in jobs if int(labels_of(job)[jobsets.RESTARTS]) < status["restarts"]
        ]
        current = [job for job in jobs if job not in previous]
        if is_true(job_set, "Completed") or is_true(job_set, "Failed"):
            self._delete([job for job in current if not _is_over(job)])
            self._expire(job_set)
            return
        self._delete(previous)
        if failed := [job for job in current if is_true(job, "Failed")]:
            _fail(job_set, failed)
        elif _succeeds(job_set, [job for job in current if is_true(job, "Complete")]):
            set_condition(
                job_set, "Completed", True, "AllJobsCompleted", "jobset completed successfully"
            )
            status["terminalState"] = "Completed"
        else:
            self._make(job_set, jobs)
        self._store.update(JOB_SET, job_set)

    def _make(self, job_set: Object, jobs: list[Object]) -> None:
        service = jobsets.service_of(job_set)
        if service and not self._store.find(key_of(SERVICE, service)):
            self._store.create(SERVICE, service)
        names = {name_of(job) for job in jobs}
        for job in jobsets.jobs_of(job_set):
            if name_of(job) not in names:
                self._store.create(JOB, job)

    def _delete(self, jobs: list[Object]) -> None:
        for job in jobs:
            if not is_going(job):
                self._store.delete(key_of(JOB, job), propagation="Foreground")

    def _expire(self, job_set: Object) -> None:
        keep_s = job_set["spec"].get("ttlSecondsAfterFinished")
        if (
            keep_s is not None
            and self._clock.since("set over", job_set["metadata"]["uid"]) >= keep_s
        ):
            self._store.delete(key_of(JOB_SET, job_set), propagation="Foreground")


def _is_over(job: Object) -> bool:
    return is_true(job, "Complete") or is_true(job, "Failed")


def _succeeds(job_set: Object, complete: list[Object]) -> bool:
    policy = job_set["spec"]["successPolicy"]
    targets = policy.get("targetReplicatedJobs") or [
        item["name"] for item in job_set["spec"]["replicatedJobs"]
    ]
    reached = sum(labels_of(job)[jobsets.REPLICATED_JOB] in targets for job in complete)
    expected = sum(
        item["replicas"] for item in job_set["spec"]["replicatedJobs"] if item["name"] in targets
    )
    return reached >= (1 if policy["operator"] == "Any" else expected) and reached > 0


def _fail(job_set: Object, failed: list[Object]) -> None:
    policy = job_set["spec"].get("failurePolicy")
    status = job_set["status"]
    first = min(failed, key=lambda job: _failure(job)["lastTransitionTime"])
    if policy is None:
        _end(job_set, "FailedJobs", "jobset failed due to one or more job failures", first)
        return
    action = _action(policy, failed)
    counted = status.get("restartsCountTowardsMax", 0)
    if action == "FailJobSet":
        message = "applying FailJobSet failure policy action"
        _end(job_set, "FailJobSetFailurePolicyAction", message, first)
    elif action == "RestartJobSet" and counted >= policy.get("maxRestarts", 0):
        message = "jobset failed due to reaching max number of restarts"
        _end(job_set, "ReachedMaxRestarts", message, first)
    else:
        status["restarts"] += 1
        if action == "RestartJobSet":
            status["restartsCountTowardsMax"] = counted + 1


def _action(policy: Object, failed: list[Object]) -> str:
    for rule in policy.get("rules") or ():
        if any(_applies(rule, job) for job in failed):
            return str(rule["action"])
    return "RestartJobSet"


def _applies(rule: Object, job: Object) -> bool:
    result = _failure(job)
    reasons, patterns = rule.get("onJobFailureReasons"), rule.get("onJobFailureMessagePatterns")
    targets = rule.get("targetReplicatedJobs")
    return (
        (not reasons or result["reason"] in reasons)
        and (not patterns or any(re.search(item, result["message"]) for item in patterns))
        and (not targets or labels_of(job)[jobsets.REPLICATED_JOB] in targets)
    )


def _failure(job: Object) -> Object:
    result = condition(job, "Failed")
    assert result is not None
    return result


def _end(job_set: Object, reason: str, message: str, first: Object) -> None:
    text = f"{message} (first failed job: {name_of(first)})"
    set_condition(job_set, "Failed", True, reason, text)
    job_set["status"]["terminalState"] = "Failed"
