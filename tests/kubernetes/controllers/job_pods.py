"""The pods of a Job, each counted once, even after its deletion."""

from __future__ import annotations

from tests.kubernetes.controllers.job_failures import is_ignored
from tests.kubernetes.objects import Object, is_going, is_true
from tests.kubernetes.pods import COMPLETION_INDEX, is_indexed


class JobPods:
    """The pods of a Job: those that are there, and how the others ended."""

    def __init__(self, job: Object) -> None:
        self._job = job
        self._seen: dict[str, Object] = {}
        self._present: list[Object] = []

    def look_at(self, pods: list[Object]) -> None:
        """Take in how the pods are now."""
        self._present = pods
        for pod in pods:
            self._seen[pod["metadata"]["uid"]] = pod

    def present(self) -> list[Object]:
        """Return the pods that have not ended."""
        return [pod for pod in self._present if not _has_ended(pod)]

    def ended(self) -> list[Object]:
        """Return the pods that are there and have ended."""
        return [pod for pod in self._present if _has_ended(pod)]

    def failed(self) -> list[Object]:
        """Return all pods that ever failed, those apart whose failure does not count."""
        return [
            pod
            for pod in self._seen.values()
            if self._has_failed(pod) and not is_ignored(self._job, pod)
        ]

    def succeeded(self) -> set[int]:
        """Return the indices that have succeeded; of a Job without, a number for each pod."""
        result = [pod for pod in self._seen.values() if _phase(pod) == "Succeeded"]
        return set(range(len(result))) if not self._indexed else {index_of(pod) for pod in result}

    def failures(self, index: int) -> int:
        """Return how often an index has failed; of a Job without, how often any pod has."""
        return sum(not self._indexed or index_of(pod) == index for pod in self.failed())

    def failed_indexes(self) -> list[int]:
        """Return the indices that have failed as often as each may."""
        limit = self._job["spec"].get("backoffLimitPerIndex")
        if limit is None:
            return []
        return [index for index in range(self._completions) if self.failures(index) > limit]

    def is_complete(self) -> bool:
        """Return whether all that must succeed has."""
        return len(self.succeeded()) >= self._completions

    def missing(self) -> list[int]:
        """Return the indices for which a pod is to be made."""
        room = self._job["spec"].get("parallelism", 1) - len(self._active())
        if not self._indexed:
            left = self._completions - len(self.succeeded()) - len(self._active())
            return list(range(max(0, min(room, left))))
        taken = {index_of(pod) for pod in self._active()} | self.succeeded()
        free = set(range(self._completions)) - taken - set(self.failed_indexes())
        return sorted(free)[: max(0, room)]

    def may_be_replaced(self) -> bool:
        """Return whether no pod is still ending that a new one has to wait for."""
        return not self._waits_for_the_end or not any(is_going(pod) for pod in self.present())

    def counts(self) -> Object:
        """Return the numbers of the Job's status."""
        going = sum(is_going(pod) for pod in self.present())
        return {
            "active": len(self.present()) - going,
            "terminating": going,
            "ready": sum(is_true(pod, "Ready") and not is_going(pod) for pod in self.present()),
            "succeeded": len(self.succeeded()),
            "failed": sum(self._has_failed(pod) for pod in self._seen.values()),
        }

    def _active(self) -> list[Object]:
        return [pod for pod in self.present() if not is_going(pod)]

    def _has_failed(self, pod: Object) -> bool:
        if _phase(pod) == "Failed":
            return True
        # One that is being deleted counts already, unless its place stays taken until it has ended.
        return is_going(pod) and _phase(pod) != "Succeeded" and not self._waits_for_the_end

    @property
    def _indexed(self) -> bool:
        return is_indexed(self._job)

    @property
    def _completions(self) -> int:
        return int(self._job["spec"].get("completions", 1))

    @property
    def _waits_for_the_end(self) -> bool:
        usual = "Failed" if "podFailurePolicy" in self._job["spec"] else "TerminatingOrFailed"
        return bool(self._job["spec"].get("podReplacementPolicy", usual) == "Failed")


def index_of(pod: Object) -> int:
    """Return the completion index of a pod."""
    return int(pod["metadata"]["annotations"][COMPLETION_INDEX])


def _phase(pod: Object) -> str:
    return str(pod.get("status", {}).get("phase", "Pending"))


def _has_ended(pod: Object) -> bool:
    return _phase(pod) in ("Failed", "Succeeded")
