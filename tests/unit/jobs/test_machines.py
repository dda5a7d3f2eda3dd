"""Tasks as plain processes: what of a spec is without effect on them."""

from __future__ import annotations

from tests.unit.jobs.specs import spec
from tfps.jobs import machines
from tfps.jobs.role import Role, Toleration
from tfps.jobs.storage import Mount, Volume
from tfps.jobs.tuning import Parameter, Tuning


def test_what_has_no_effect_is_named() -> None:
    job = spec(
        {
            "worker": Role(
                image="mine",
                spot=True,
                minimum_replicas=1,
                node_selector={"a": "b"},
                tolerations=(Toleration(operator="Exists"),),
                disk_gib=3,
                mounts=(Mount(volume="scratch", path="/scratch"),),
                hosts=("a",),
            )
        },
        labels={"team": "a"},
        volumes={"scratch": Volume(empty_dir_gib=1), "same": Volume(host_path="/same")},
        mounts=(Mount(volume="same", path="/same"),),
        tuning=Tuning(metric="loss", parameters={"rate": Parameter(values=(1, 2))}),
    )
    found = {fault.where: fault.sentence for fault in machines.left_out(job, hosts="not here.")}
    assert list(found) == [
        "image",
        "labels",
        "volumes.scratch",
        "roles.worker.image",
        "roles.worker.minimum_replicas",
        "roles.worker.disk_gib",
        "roles.worker.node_selector",
        "roles.worker.tolerations",
        "roles.worker.spot",
        "roles.worker.hosts",
        "tuning",
    ]
    assert found["volumes.scratch"] == "nothing mounts it: tasks find at /scratch what is there."
    assert found["roles.worker.hosts"] == "not here."


def test_of_a_spec_that_asks_for_nothing_special_nothing_is_left_out() -> None:
    job = spec(image=None, port=4000, timeout_s=60, env={"A": "b"})
    assert list(machines.left_out(job)) == []
