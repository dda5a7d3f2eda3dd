"""What of a spec Vertex AI has no counterpart for is told, with what it means."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.jobs.specs import spec
from tests.unit.jobs.vertex.renderings import document, job, left_out
from tfps.jobs.platforms import Kubernetes
from tfps.jobs.role import Role, Toleration
from tfps.jobs.spec import JobSpec
from tfps.jobs.storage import Mount, Volume


def worker(**fields: Any) -> JobSpec:
    return job({"worker": Role(**{"replicas": 2, **fields})})


LEFT_OUT = {
    "port": (job(port=5555), "port: Vertex AI has the servers listen at 2222."),
    "no end": (
        spec(),
        "timeout_s: Vertex AI ends a job after 7 days. Give more, if need be.",
    ),
    "label": (
        job(labels={"app.kubernetes.io/part-of": "Search"}),
        "labels.app.kubernetes.io/part-of: 'app.kubernetes.io/part-of: Search' is not a label that "
        "Google Cloud takes. To have it there, write lowercase letters, digits, '-' and '_', with "
        "a letter first.",
    ),
    "read-only mount": (
        job(
            volumes={"data": Volume(gcs_bucket="data")},
            mounts=(Mount(volume="data", path="/gcs/data", read_only=True),),
        ),
        "mounts[0].read_only: Vertex AI mounts nothing so; what the task's service account may "
        "write to, or the share exports, is writable.",
    ),
    "fewer replicas": (
        worker(minimum_replicas=1),
        "roles.worker.minimum_replicas: Vertex AI empties no machines: it starts again what it "
        "loses.",
    ),
    "ports": (
        worker(ports={"tensorboard": 6006}),
        "roles.worker.ports: Vertex AI names no further ports.",
    ),
    "node labels": (
        worker(node_selector={"pool": "gpus"}),
        "roles.worker.node_selector: Vertex AI has no nodes to choose from. Choose a machine_type.",
    ),
    "tolerations": (
        worker(tolerations=(Toleration(operator="Exists"),)),
        "roles.worker.tolerations: Vertex AI has no nodes to choose from.",
    ),
    "hosts": (
        worker(hosts=("a", "b")),
        "roles.worker.hosts: Vertex AI places the tasks itself.",
    ),
    "restarts": (
        worker(restarts=0),
        "roles.worker.restarts: Vertex AI starts a failed task again up to five times, and then "
        "the job up to three times; 0 for all roles forbids it to retry.",
    ),
}


@pytest.mark.parametrize(("job_spec", "sentence"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_is_left_out_is_told(job_spec: JobSpec, sentence: str) -> None:
    assert left_out(job_spec) == [sentence]


def test_labels_that_google_cloud_takes_stay() -> None:
    taken = {"team": "search", "cost-center": "0815", "empty": ""}
    rendered = document(job(labels=taken))
    assert rendered["labels"] == taken


def test_settings_of_another_platform_are_not_told() -> None:
    assert left_out(job(kubernetes=Kubernetes(namespace="training"))) == []
