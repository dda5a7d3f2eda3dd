"""Random models, trained on parameter servers and compared with plain Keras.

    python -m benchmarks.fuzz --seeds 500

A seed is a case: a model, its loss, metrics and optimizer, a train_step, a form of data, and a
strategy. Three of four cases run on one worker, and everything is compared with plain Keras. The
others run on three workers, and are checked for what holds in any order of updates.
"""
