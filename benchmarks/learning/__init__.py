"""The effect of each codec of tfps.wire on learning: loss curves at equal numbers of examples.

`python -m benchmarks.learning` (`__main__.py`) trains the model of models/gpt_lm.py (`text.py`)
once with each format on the wire (`contenders.py`), and reports how far apart the losses end
(`results.py`). `lesson.py` defines a training, for benchmarks/updates, too.
"""
