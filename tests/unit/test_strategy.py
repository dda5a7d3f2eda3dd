"""What the strategy shows its users."""

from __future__ import annotations

import inspect

import tensorflow as tf

import tfps


def test_it_adds_only_what_is_for_users_to_tensorflows_strategy() -> None:
    names = set(dir(tfps.ParameterServerStrategy)) - set(dir(tf.distribute.ParameterServerStrategy))
    public = {name for name in names if not name.startswith("_")}
    predicts = {"predictions", "write_predictions"}
    assert public == {"bytes_per_ps", "coordinator", "dropped_updates", "loop", *predicts}


def test_arguments_are_by_keyword_but_for_those_of_tensorflow() -> None:
    parameters = inspect.signature(tfps.ParameterServerStrategy).parameters.values()
    by_position = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    assert by_position == ["cluster_resolver", "variable_partitioner"]
