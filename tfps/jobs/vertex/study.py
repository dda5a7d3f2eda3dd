"""A search for the best parameters, as Vertex AI's HyperparameterTuningJob has it."""

from __future__ import annotations

from tfps.jobs.tuning import Parameter, Tuning
from tfps.jobs.vertex.message import Message, message

_SCALES = {
    "linear": "UNIT_LINEAR_SCALE",
    "log": "UNIT_LOG_SCALE",
    "reverse_log": "UNIT_REVERSE_LOG_SCALE",
}
_ALGORITHMS = {"random": "RANDOM_SEARCH", "grid": "GRID_SEARCH"}  # Bayesian is the default.


def study(tuning: Tuning) -> Message:
    """Return the fields of a HyperparameterTuningJob that say what to search, and how long."""
    return message(
        studySpec=message(
            metrics=[message(metricId=tuning.metric, goal=tuning.goal.upper())],
            parameters=[_parameter(*item) for item in tuning.parameters.items()],
            algorithm=_ALGORITHMS.get(tuning.algorithm),
        ),
        maxTrialCount=tuning.trials,
        parallelTrialCount=tuning.parallel_trials,
        maxFailedTrialCount=tuning.failed_trials,
    )


def _parameter(name: str, parameter: Parameter) -> Message:
    values = list(parameter.values)
    if parameter.is_categorical:
        return message(parameterId=name, categoricalValueSpec=message(values=values))
    return message(
        parameterId=name,
        discreteValueSpec=message(values=[float(value) for value in values]),
        integerValueSpec=_range(parameter) if parameter.integer else None,
        doubleValueSpec=None if parameter.integer else _range(parameter),
        scaleType=_SCALES[parameter.scale],
    )


def _range(parameter: Parameter) -> Message:
    number = int if parameter.integer else float
    ends = (parameter.minimum, parameter.maximum)
    low, high = (None if end is None else number(end) for end in ends)
    return message(minValue=low, maxValue=high)
