"""A task with a child in its process group and another one in a session of its own; all wait.

`family.py stubborn` ignores SIGTERM and SIGINT in all three. `family.py orphan` ends the task of
worker 0 with code 7 at once, but leaves its children, which keep its output open.
"""

import signal
import subprocess
import sys
import time

from tfps.cluster.tf_config import TFConfig

config = TFConfig.from_environment()
assert config is not None
if "stubborn" in sys.argv:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # A child inherits what is ignored.

wait = "import time; time.sleep(600)"
for own_session in (False, True):
    subprocess.Popen([sys.executable, "-c", wait], start_new_session=own_session)
print("has children", flush=True)
if "orphan" in sys.argv and str(config.task) == "worker 0":
    sys.exit(7)
time.sleep(600)
