"""Real processes: the examples of a worker that is lost go to the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.processes import processes, until
from tests.cluster.small_cluster import Cluster

pytestmark = pytest.mark.timeout(200)


@pytest.mark.slow
def test_a_worker_killed_for_the_rest_of_a_fit_leaves_no_example_out(tmp_path: Path) -> None:
    with processes(tmp_path) as ours:
        cluster = Cluster(ours, "lost_examples.py")
        for lost in (0, 1):
            cluster.until_training(fits=lost + 1)
            cluster.workers[lost].kill()
            cluster.workers[lost].wait()
            assert len(cluster.said("missing")) == lost  # the fit goes on
            until(lambda lost=lost: len(cluster.said("missing")) > lost, deadline_s=60)
            if lost == 0:
                cluster.workers[lost] = cluster.start_task("worker", lost)
        assert cluster.chief.wait(timeout=30) == 0, ours.err()
        for fit in cluster.said("missing"):
            assert fit["missing"] == 0
            assert fit["twice"] <= fit["in_flight"]
        assert sum(fit["in_flight"] for fit in cluster.said("missing")) > 0
        ours.until_gone(deadline_s=15)
