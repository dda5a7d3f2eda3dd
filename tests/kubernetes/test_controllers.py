"""The simulated controllers treat pods as those of a real cluster do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes import schemas
from tests.kubernetes.cluster import Cluster, cluster
from tests.kubernetes.kinds import JOB, JOB_SET, POD, SERVICE, STATEFUL_SET, TF_JOB, Kind
from tests.kubernetes.manifests import WAIT, job, job_set, service, stateful_set, tf_job
from tests.kubernetes.nodes import Node
from tests.kubernetes.objects import Object, is_true, labels_of, name_of
from tests.kubernetes.store import Key

needs_job_set = pytest.mark.skipif(not schemas.is_at_hand(JOB_SET), reason=schemas.needed(JOB_SET))
needs_tf_job = pytest.mark.skipif(not schemas.is_at_hand(TF_JOB), reason=schemas.needed(TF_JOB))
IGNORES_DISRUPTIONS = {
    "rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    ]
}


@pytest.fixture
def kubernetes(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path) as created:
        yield created


def phases(kubernetes: Cluster) -> dict[str, str]:
    return {
        name_of(pod): pod.get("status", {}).get("phase", "") for pod in kubernetes.store.list(POD)
    }


def conditions(kubernetes: Cluster, kind: Kind, name: str) -> list[str]:
    result = kubernetes.get(kind, name) or {}
    given = result.get("status", {}).get("conditions", [])
    return [item["type"] for item in given if item["status"] == "True"]


def status(kubernetes: Cluster, kind: Kind, name: str) -> Object:
    result = kubernetes.get(kind, name)
    assert result is not None
    given: Object = result["status"]
    return given


def delete(kubernetes: Cluster, pod: str) -> None:
    kubernetes.store.delete(Key(POD, "default", pod))


def runs(kubernetes: Cluster, *names: str) -> bool:
    return phases(kubernetes) == dict.fromkeys(names, "Running")


def test_pods_of_a_stateful_set_come_back_under_their_names(kubernetes: Cluster) -> None:
    kubernetes.apply(stateful_set(f"echo up; {WAIT}"))
    kubernetes.until(lambda: runs(kubernetes, "set-0", "set-1"))
    before = kubernetes.get(POD, "set-1")
    delete(kubernetes, "set-1")
    kubernetes.until(lambda: _is_another(kubernetes.get(POD, "set-1"), before))
    kubernetes.until(lambda: runs(kubernetes, "set-0", "set-1"))
    kubernetes.until(lambda: status(kubernetes, STATEFUL_SET, "set")["readyReplicas"] == 2)
    kubernetes.apply(stateful_set(f"echo up; {WAIT}", replicas=0))
    kubernetes.until(lambda: not phases(kubernetes))


def test_a_container_that_ends_is_started_again_in_its_pod(kubernetes: Cluster) -> None:
    kubernetes.apply(stateful_set("echo here; exit 0", replicas=1))

    def restarts() -> int:
        pod = kubernetes.get(POD, "set-0") or {}
        [container] = pod.get("status", {}).get("containerStatuses", [{"restartCount": 0}])
        return int(container["restartCount"])

    kubernetes.until(lambda: restarts() >= 2)
    assert len(list(kubernetes.folder.glob("set-0.*/*.log"))) >= 3


def test_a_stateful_set_in_order_waits_until_each_pod_is_ready(kubernetes: Cluster) -> None:
    created = stateful_set(podManagementPolicy="OrderedReady")
    created["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = {
        "tcpSocket": {"port": 2222}
    }
    kubernetes.apply(created)
    kubernetes.until(lambda: runs(kubernetes, "set-0"))
    assert not is_true(kubernetes.get(POD, "set-0") or {}, "Ready")


def test_a_pod_that_ignores_sigterm_is_killed_after_its_grace(kubernetes: Cluster) -> None:
    created = stateful_set("trap '' TERM; echo deaf; while true; do sleep 0.02; done", replicas=1)
    created["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 4
    kubernetes.apply(created)
    kubernetes.until(lambda: "deaf" in kubernetes.logs())
    kubernetes.store.delete(Key(STATEFUL_SET, "default", "set"), propagation="Foreground")
    kubernetes.until(lambda: not kubernetes.store.list(STATEFUL_SET) and not phases(kubernetes))


def test_a_program_that_is_not_there_is_told(kubernetes: Cluster) -> None:
    created = job("", backoffLimit=0)
    created["spec"]["template"]["spec"]["containers"][0]["command"] = ["no-such-program"]
    kubernetes.apply(created)
    kubernetes.until(lambda: "Failed" in conditions(kubernetes, JOB, "job"))
    assert "No such file or directory: 'no-such-program'" in kubernetes.logs()


def test_a_job_is_complete_with_its_pod(kubernetes: Cluster) -> None:
    kubernetes.apply(job("echo done"))
    kubernetes.until(lambda: "Complete" in conditions(kubernetes, JOB, "job"))
    assert conditions(kubernetes, JOB, "job") == ["SuccessCriteriaMet", "Complete"]
    [pod] = kubernetes.store.list(POD)
    assert kubernetes.log(pod) == "done\n"
    assert "finalizers" not in pod["metadata"] or not pod["metadata"]["finalizers"]


def test_a_job_fails_after_its_back_off_limit(kubernetes: Cluster) -> None:
    kubernetes.apply(job("exit 3", backoffLimit=2))
    kubernetes.until(lambda: "Failed" in conditions(kubernetes, JOB, "job"))
    assert conditions(kubernetes, JOB, "job") == ["FailureTarget", "Failed"]
    assert list(phases(kubernetes).values()) == ["Failed"] * 3
    failed = status(kubernetes, JOB, "job")
    assert failed["failed"] == 3
    assert failed["conditions"][-1]["reason"] == "BackoffLimitExceeded"


def test_a_job_restarts_a_container_in_its_pod_when_it_says_so(kubernetes: Cluster) -> None:
    kubernetes.apply(job("exit 3", restart_policy="OnFailure", backoffLimit=2))
    kubernetes.until(lambda: "Failed" in conditions(kubernetes, JOB, "job"))
    assert len({file.parent for file in kubernetes.folder.glob("job-*/*.log")}) == 1


def test_a_deadline_ends_a_job_and_a_suspended_one_has_no_pods(kubernetes: Cluster) -> None:
    kubernetes.apply(job(WAIT, activeDeadlineSeconds=10), job(WAIT, name="later", suspend=True))
    kubernetes.until(lambda: "Failed" in conditions(kubernetes, JOB, "job"))
    assert status(kubernetes, JOB, "job")["conditions"][-1]["reason"] == "DeadlineExceeded"
    assert conditions(kubernetes, JOB, "later") == ["Suspended"]
    kubernetes.apply(job(WAIT, name="later", suspend=False))
    kubernetes.until(lambda: "Running" in phases(kubernetes).values())


def test_a_finished_job_goes_after_its_time_with_its_pods(kubernetes: Cluster) -> None:
    kubernetes.apply(job("exit 0", ttlSecondsAfterFinished=2))
    kubernetes.until(lambda: not kubernetes.store.list(JOB) and not phases(kubernetes))


def test_a_deleted_pod_counts_as_a_failure_and_a_disrupted_one_need_not(
    kubernetes: Cluster,
) -> None:
    kubernetes.apply(job(WAIT, backoffLimit=0))
    kubernetes.until(lambda: "Running" in phases(kubernetes).values())
    delete(kubernetes, *phases(kubernetes))
    kubernetes.until(lambda: "Failed" in conditions(kubernetes, JOB, "job"))

    spared = {"backoffLimit": 0, "podFailurePolicy": IGNORES_DISRUPTIONS}
    kubernetes.apply(job(WAIT, name="spared", **spared))
    kubernetes.until(lambda: "Running" in phases(kubernetes).values())
    [first] = [name for name in phases(kubernetes) if name.startswith("spared")]
    kubernetes.lose_node("node-0")
    kubernetes.until(lambda: "Pending" in phases(kubernetes).values())
    kubernetes.add_node(Node(name="node-1"))
    kubernetes.until(lambda: "Running" in phases(kubernetes).values())
    assert conditions(kubernetes, JOB, "spared") == []
    assert kubernetes.get(POD, first) is None


def test_exit_codes_can_fail_a_job_at_once(kubernetes: Cluster) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    kubernetes.apply(job("exit 42", podFailurePolicy={"rules": [rule]}))
    kubernetes.until(lambda: "Failed" in conditions(kubernetes, JOB, "job"))
    message = status(kubernetes, JOB, "job")["conditions"][-1]
    assert message["reason"] == "PodFailurePolicy"
    assert "exit code 42 matching FailJob rule at index 0" in message["message"]


def test_pods_of_an_indexed_job_have_an_index_and_restarts_of_their_own(
    kubernetes: Cluster,
) -> None:
    script = 'echo index $JOB_COMPLETION_INDEX; test "$JOB_COMPLETION_INDEX" = 0'
    indexed = {"completionMode": "Indexed", "completions": 2, "parallelism": 2}
    limits = {"backoffLimitPerIndex": 1, "maxFailedIndexes": 0}
    kubernetes.apply(job(script, **indexed, **limits))
    kubernetes.until(lambda: "Failed" in conditions(kubernetes, JOB, "job"))
    ended = status(kubernetes, JOB, "job")
    assert (ended["succeeded"], ended["failed"]) == (1, 2)
    assert ended["conditions"][-1]["reason"] == "MaxFailedIndexesExceeded"
    hosts = {pod["spec"]["hostname"] for pod in kubernetes.store.list(POD)}
    assert hosts == {"job-0", "job-1"}


@needs_job_set
def test_a_job_set_ends_with_its_chief(kubernetes: Cluster) -> None:
    go = kubernetes.folder / "go"
    kubernetes.apply(job_set(f"until [ -e {go} ]; do sleep 0.05; done"))
    kubernetes.until(lambda: list(phases(kubernetes).values()) == ["Running"] * 3)
    go.touch()
    assert labels_of(kubernetes.store.list(JOB)[0])["jobset.sigs.k8s.io/jobset-name"] == "js"
    kubernetes.until(lambda: conditions(kubernetes, JOB_SET, "js") == ["Completed"])
    kubernetes.until(lambda: list(map(name_of, kubernetes.store.list(JOB))) == ["js-chief-0"])
    kubernetes.until(lambda: list(phases(kubernetes).values()) == ["Succeeded"])


@needs_job_set
def test_a_job_set_fails_with_any_of_its_jobs_or_starts_all_again(kubernetes: Cluster) -> None:
    kubernetes.apply(job_set(WAIT, "exit 1", failurePolicy={"maxRestarts": 1}))
    kubernetes.until(lambda: conditions(kubernetes, JOB_SET, "js") == ["Failed"])
    ended = status(kubernetes, JOB_SET, "js")
    assert ended["restarts"] == 1
    assert ended["conditions"][-1]["reason"] == "ReachedMaxRestarts"
    kubernetes.until(lambda: "Running" not in phases(kubernetes).values())
    kubernetes.store.delete(Key(JOB_SET, "default", "js"))
    kubernetes.until(lambda: not kubernetes.store.list(JOB) + kubernetes.store.list(SERVICE))


@needs_tf_job
def test_a_tf_job_ends_with_its_chief_and_leaves_the_chiefs_pod(kubernetes: Cluster) -> None:
    go = kubernetes.folder / "go"
    kubernetes.apply(tf_job(f"until [ -e {go} ]; do sleep 0.05; done"))
    names = ("tj-chief-0", "tj-ps-0", "tj-worker-0", "tj-worker-1")
    kubernetes.until(lambda: runs(kubernetes, *names))
    go.touch()
    assert [name_of(item) for item in kubernetes.store.list(SERVICE)] == list(names)
    kubernetes.until(lambda: phases(kubernetes) == {"tj-chief-0": "Succeeded"})
    assert conditions(kubernetes, TF_JOB, "tj") == ["Created", "Succeeded"]


@needs_tf_job
@pytest.mark.parametrize("code", [1, 137])
def test_the_exit_code_of_a_worker_fails_a_tf_job_or_starts_it_again(
    kubernetes: Cluster, code: int
) -> None:
    kubernetes.apply(tf_job(WAIT, f"exit {code}"))
    wanted = "Failed" if code == 1 else "Restarting"
    kubernetes.until(lambda: wanted in conditions(kubernetes, TF_JOB, "tj"))


@needs_tf_job
def test_a_tf_job_that_is_started_too_often_loses_all_pods(kubernetes: Cluster) -> None:
    kubernetes.apply(tf_job("exit 3", backoffLimit=2))
    kubernetes.until(lambda: conditions(kubernetes, TF_JOB, "tj") == ["Created", "Failed"])
    kubernetes.until(lambda: not phases(kubernetes))
    message = status(kubernetes, TF_JOB, "tj")["conditions"][-1]["message"]
    assert message == "Job tj has failed because it has reached the specified backoff limit"


def test_an_eviction_asks_the_disruption_budgets(kubernetes: Cluster) -> None:
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "set"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "test"}}},
    }
    kubernetes.apply(stateful_set(), service(), budget)
    kubernetes.until(lambda: runs(kubernetes, "set-0", "set-1"))
    kubernetes.until(lambda: status(kubernetes, STATEFUL_SET, "set")["readyReplicas"] == 2)
    kubernetes.api.evict(Key(POD, "default", "set-0"))
    with pytest.raises(Exception, match="disruption budget"):
        kubernetes.api.evict(Key(POD, "default", "set-1"))


def _is_another(pod: Object | None, before: Object | None) -> bool:
    assert before is not None
    return pod is not None and pod["metadata"]["uid"] != before["metadata"]["uid"]
