"""Run a local job of a chief, a worker and a ps that may take a given time to end.

patient_local.py SECONDS PROGRAM ARGS
"""

import os
import sys

from tfps.cluster import addresses
from tfps.cluster.processes import plan, supervise

seconds, *command = sys.argv[1:]
cluster = plan.cluster_spec(num_ps=1, num_workers=1, ports=addresses.free_ports(3))
sys.exit(
    supervise.run_job(
        plan.processes(cluster, command, environment=os.environ),
        supervise.Patience(after_chief_s=float(seconds), after_signal_s=float(seconds)),
    )
)
