"""The environment of tasks, and their hosts, ports and GPUs."""

from __future__ import annotations

import pytest

from tests.unit.jobs.specs import spec
from tfps.cluster.spec import Task
from tfps.errors import JobSpecError
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec
from tfps.jobs.tasks import (
    check_hosts,
    cluster_at,
    cluster_spec,
    environment,
    gpus_at,
    host_of,
)


def with_hosts(port: int = 2222, **hosts: tuple[str, ...]) -> JobSpec:
    roles = {
        task_type: Role(replicas=len(names), hosts=names) for task_type, names in hosts.items()
    }
    checkpoints = "gs://bucket/run" if "evaluator" in hosts else None
    return spec(roles, port=port, checkpoint_dir=checkpoints)


def cluster(job: JobSpec) -> dict[str, list[str]]:
    return cluster_at(job, lambda task: host_of(job, task)).as_dict()


def faults(job: JobSpec) -> list[str]:
    with pytest.raises(JobSpecError) as error:
        check_hosts(job)
    return [str(fault) for fault in error.value.faults]


def test_each_task_has_the_specs_port_on_a_host_of_its_own() -> None:
    job = with_hosts(chief=("a",), worker=("b", "c"), ps=("d",))
    check_hosts(job)
    assert cluster(job) == {"chief": ["a:2222"], "worker": ["b:2222", "c:2222"], "ps": ["d:2222"]}


def test_tasks_that_share_a_host_have_ports_one_after_the_other() -> None:
    job = with_hosts(chief=("a",), worker=("A", "b"), ps=("b", "a"), evaluator=("a",))
    assert cluster(job) == {
        "chief": ["a:2222"],
        "worker": ["A:2223", "b:2222"],
        "ps": ["b:2223", "a:2224"],
        "evaluator": ["a:2225"],
    }


def test_all_names_of_this_machine_are_one_host() -> None:
    # A server listens at every address of its machine.
    job = with_hosts(chief=("localhost",), worker=("127.0.0.1", "127.0.0.2"), ps=("::1",))
    assert cluster(job) == {
        "chief": ["localhost:2222"],
        "worker": ["127.0.0.1:2223", "127.0.0.2:2224"],
        "ps": ["[::1]:2225"],
    }


def test_without_hosts_all_tasks_are_on_this_machine() -> None:
    assert cluster(spec()) == {
        "chief": ["127.0.0.1:2222"],
        "worker": ["127.0.0.1:2223"],
        "ps": ["127.0.0.1:2224"],
    }


def test_a_port_that_a_program_asks_for_is_passed_over() -> None:
    job = spec({"worker": Role(replicas=2, ports={"metrics": 2223, "debugger": 2224})})
    assert cluster(job)["worker"] == ["127.0.0.1:2225", "127.0.0.1:2226"]


def test_an_ipv6_address_is_put_in_brackets() -> None:
    job = with_hosts(chief=("2001:db8::1",), worker=("2001:db8::2",), ps=("2001:db8::1",))
    assert cluster(job)["ps"] == ["[2001:db8::1]:2223"]


def test_the_last_port_is_the_last_one() -> None:
    assert cluster(spec(port=65_533))["ps"] == ["127.0.0.1:65535"]
    with pytest.raises(JobSpecError, match=r"port: 65534 leaves too few.*at most 65533"):
        cluster(spec(port=65_534))


def test_hosts_are_given_for_all_roles_or_for_none() -> None:
    check_hosts(spec())
    assert faults(with_hosts(worker=("a", "b"), chief=("a",))) == [
        "roles.ps: it has no hosts, but chief and worker have some. Give hosts for all roles, or "
        "for none: then all tasks are on this machine."
    ]


@pytest.mark.parametrize("loopback", ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "::1"])
def test_a_loopback_host_does_not_go_with_others(loopback: str) -> None:
    check_hosts(with_hosts(worker=(loopback,), chief=(loopback,), ps=(loopback,)))
    [fault] = faults(with_hosts(worker=("a", loopback), chief=("b",), ps=("b",)))
    assert fault.startswith(f"roles.worker.hosts[1]: {loopback!r} is each machine itself")


def test_gpus_are_counted_over_the_tasks_of_a_host() -> None:
    job = spec(
        {
            "chief": Role(hosts=("a",)),
            "worker": Role(replicas=3, gpus=2, hosts=("a", "b", "A")),
            "ps": Role(hosts=("a",)),
        }
    )
    gpus = gpus_at(job, lambda task: host_of(job, task))
    workers = [list(gpus[Task(type="worker", index=index)]) for index in range(3)]
    assert workers == [[0, 1], [0, 1], [2, 3]]
    assert not gpus[Task(type="chief", index=0)]


@pytest.mark.parametrize(("cpu", "threads"), [(0.25, "1"), (1.0, "1"), (3.5, "3"), (16.0, "16")])
def test_a_task_computes_with_as_many_threads_as_it_has_cores(cpu: float, threads: str) -> None:
    result = environment(spec(), "worker", Role(cpu=cpu))
    assert result["TF_NUM_INTRAOP_THREADS"] == result["OMP_NUM_THREADS"] == threads


def test_only_tasks_with_gpus_see_gpus() -> None:
    assert environment(spec(), "worker", Role())["CUDA_VISIBLE_DEVICES"] == "-1"
    assert "CUDA_VISIBLE_DEVICES" not in environment(spec(), "worker", Role(gpus=1))


def test_the_cluster_has_the_addresses_of_the_platform() -> None:
    cluster = cluster_spec(spec(), lambda task: f"{task.type}-{task.index}:1")
    assert cluster.as_dict() == {"chief": ["chief-0:1"], "worker": ["worker-0:1"], "ps": ["ps-0:1"]}
