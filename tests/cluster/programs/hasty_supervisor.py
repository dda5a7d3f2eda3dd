"""Supervise a job in the background with the waiting times that TFPS_TEST_PATIENCE gives, as JSON.

hasty_supervisor.py TARGET JOB-FOLDER WORKING-FOLDER
"""

import functools
import json
import os
import sys

from tfps.cluster.processes import supervise
from tfps.jobs.background import supervisor

patience = supervise.Patience(**json.loads(os.environ["TFPS_TEST_PATIENCE"]))
supervise.run_job = functools.partial(supervise.run_job, patience=patience)
target, *folders = sys.argv[1:]
assert target == "local"
sys.exit(supervisor.main("local", *folders))
