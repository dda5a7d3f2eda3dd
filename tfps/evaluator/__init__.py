"""A side-car that evaluates each new checkpoint of a training run."""
