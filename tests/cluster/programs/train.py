"""Count steps on the cluster with TensorFlow's own strategy; the chief of the tests of serving.

`train.py fail` raises after the steps. `train.py idle` never connects to the cluster.
"""

import sys

import tfps  # Before TensorFlow, so that its start-up messages are silenced.

# isort: split
from counter import counter


def train() -> None:
    if "idle" in sys.argv:
        return
    config = tfps.TFConfig.from_environment()
    assert config is not None
    print(f"steps: {counter(config.cluster)(20)}", flush=True)
    if "fail" in sys.argv:
        raise RuntimeError("the training failed")


tfps.run(train, chief_timeout_s=60)
