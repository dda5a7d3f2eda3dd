"""What every codec of tfps.wire does to learning: curves at equal examples.

`python -m benchmarks.learning` (`__main__.py`) trains the model of models/gpt_lm.py (`text.py`)
once with each format on the wire (`contenders.py`, `train.py`), and tells how far apart they end
(`results.py`, `plot.py`). What a training is, `lesson.py` says for benchmarks/updates, too.
"""
