"""The trials of a search: their jobs, and how far they are."""

from __future__ import annotations

from typing import Any


def jobs_of(job: Any) -> dict[str, str]:
    """Return the ids of the jobs that write logs, each with what its lines begin with.

    Args:
        job: A CustomJob, or a HyperparameterTuningJob, of which each trial is such a job.
    """
    if not _is_search(job):
        return {_id(job.name): ""}
    return {
        _id(trial.custom_job): f"trial {trial.id}: " for trial in job.trials if trial.custom_job
    }


def progress(job: Any) -> str:
    """Say how far a search is, and what was best so far; nothing for a CustomJob."""
    if not _is_search(job):
        return ""
    ended = [trial for trial in job.trials if trial.state.name in ("SUCCEEDED", "INFEASIBLE")]
    told = f"{len(ended)} of {job.max_trial_count} trials have ended"
    measured = [trial for trial in ended if trial.final_measurement.metrics]
    if not measured:
        return told
    (metric,) = job.study_spec.metrics
    best = (min if metric.goal.name == "MINIMIZE" else max)(measured, key=_result)
    values = ", ".join(f"{one.parameter_id}={_value(one.value)}" for one in best.parameters)
    return f"{told}; best {metric.metric_id} {_result(best):g} in trial {best.id} ({values})"


def _is_search(job: Any) -> bool:
    from google.cloud.aiplatform_v1 import HyperparameterTuningJob

    return isinstance(job, HyperparameterTuningJob)


def _id(name: str) -> str:
    return name.rpartition("/")[2]


def _result(trial: Any) -> float:
    return float(trial.final_measurement.metrics[0].value)


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
