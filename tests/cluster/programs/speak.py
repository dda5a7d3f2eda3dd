"""Write to both streams, then end with the code that the arguments give for this task.

    speak.py worker:1=7 chief:0=wait

A task that is not named ends with 0; `wait` stays until it is ended.
"""

import sys
import time

from tfps.cluster.tf_config import TFConfig

config = TFConfig.from_environment()
assert config is not None
name = f"{config.task.type}:{config.task.index}"
sys.stdout.write(f"progress 1/2\rprogress 2/2\r\nout of {name} at {config.cluster.as_dict()}\n")
sys.stdout.flush()
sys.stderr.write(f"err of {name}\n")  # in one piece: others write there, too
sys.stderr.flush()
code = dict(argument.split("=") for argument in sys.argv[1:]).get(name, "0")
if code == "wait":
    time.sleep(600)
sys.exit(int(code))
