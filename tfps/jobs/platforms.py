"""Settings that only one platform has: Kubernetes, Vertex AI and its hyperparameter search."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Literal

from tfps.errors import Fault
from tfps.jobs import checks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kubernetes:
    """Settings of a job on Kubernetes, for all of its forms.

    Attributes:
        namespace: The namespace of the objects; None for that of kubectl's context.
        cloud: The cloud or provisioner whose node labels give a node's GPU and mark spot nodes.
            "none" uses the labels of NVIDIA's GPU feature discovery, which do not mark spot nodes.
        service_account: The service account whose rights the tasks have outside the cluster
            (workload identity). They get no token for the cluster itself.
        priority_class: The priority class of the pods.
        image_pull_secrets: Names of the Secrets that give access to the image's registry.
        image_pull_policy: When a node pulls the image; None for Kubernetes's default.
        user_id: The user and group of the tasks; never root.
        keep_s: Seconds for which the objects of a finished job are kept, for its logs.
    """

    namespace: str | None = None
    cloud: Literal["gke", "eks", "aks", "karpenter", "none"] = "gke"
    service_account: str | None = None
    priority_class: str | None = None
    image_pull_secrets: tuple[str, ...] = ()
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    user_id: int = 1000
    keep_s: int = 86_400

    def __post_init__(self) -> None:
        """Check the fields."""
        checks.check(self._faults())

    def _faults(self) -> Iterator[Fault]:
        yield from checks.well_formed("namespace", self.namespace, checks.dns_label_fault)
        yield from checks.well_formed(
            "service_account", self.service_account, checks.dns_name_fault
        )
        yield from checks.well_formed("priority_class", self.priority_class, checks.dns_name_fault)
        for index, secret in enumerate(self.image_pull_secrets):
            sentence = checks.dns_name_fault(secret)
            if sentence is not None:
                yield Fault(("image_pull_secrets", index), sentence)
        if self.user_id < 1:
            yield Fault(
                ("user_id",), f"{self.user_id} is root, which tasks do not run as. Give 1 or more."
            )
        yield from checks.at_least("keep_s", self.keep_s, 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vertex:
    """Settings of a job on Vertex AI.

    Attributes:
        project: Google Cloud project; None for the one of the environment's credentials.
        location: Region, e.g. "europe-west4".
        service_account: The service account whose rights the tasks have; None for Vertex AI's own.
        network: Full name of the VPC that tasks are peered with,
            "projects/NUMBER/global/networks/NAME"; None for none.
        base_output_dir: A gs:// folder. Tasks get folders in it as AIP_MODEL_DIR,
            AIP_CHECKPOINT_DIR and AIP_TENSORBOARD_LOG_DIR.
        tensorboard: Full name of a Vertex AI TensorBoard, which needs a service account and a
            base_output_dir.
        web_access: Whether a shell on the tasks can be opened in the console.
    """

    project: str | None = None
    location: str | None = None
    service_account: str | None = None
    network: str | None = None
    base_output_dir: str | None = None
    tensorboard: str | None = None
    web_access: bool = False

    def __post_init__(self) -> None:
        """Check the fields."""
        checks.check(self._faults())

    def _faults(self) -> Iterator[Fault]:
        yield from _like("project", self.project, r"[a-z0-9.:-]+", "my-project")
        yield from _like("location", self.location, r"[a-z]+-[a-z]+[0-9]+", "europe-west4")
        yield from _like(
            "service_account", self.service_account, r"[^@\s]+@[^@\s]+", "NAME@PROJECT.iam..."
        )
        yield from _like(
            "network",
            self.network,
            r"projects/[0-9]+/global/networks/[^/]+",
            "projects/12345/global/networks/default",
        )
        yield from _like(
            "tensorboard",
            self.tensorboard,
            r"projects/[^/]+/locations/[^/]+/tensorboards/[^/]+",
            "projects/12345/locations/europe-west4/tensorboards/67890",
        )
        yield from _like("base_output_dir", self.base_output_dir, r"gs://\S+", "gs://bucket/runs")
        if self.tensorboard is not None and self.service_account is None:
            yield Fault(
                ("tensorboard",),
                "a Vertex AI TensorBoard needs a service_account that may write to it. Give one.",
            )
        if self.tensorboard is not None and self.base_output_dir is None:
            yield Fault(
                ("tensorboard",),
                "a Vertex AI TensorBoard gets its logs from a folder of base_output_dir. Give one.",
            )


def _like(name: str, value: str | None, pattern: str, example: str) -> Iterator[Fault]:
    if value is not None and not re.fullmatch(pattern, value):
        yield Fault((name,), f"{value!r} has not the form of {example!r}. Write it like that.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hyperparameter:
    """The values that a search tries for an argument: a range or a list.

    Attributes:
        minimum: The range's lower end.
        maximum: The range's upper end.
        integer: Whether only the whole numbers of the range are tried.
        scale: The scale on which the range is searched. "log" and "reverse_log" need positive
            numbers.
        values: The list: numbers in ascending order, or text.
    """

    minimum: float | None = None
    maximum: float | None = None
    integer: bool = False
    scale: Literal["linear", "log", "reverse_log"] = "linear"
    values: tuple[float | str, ...] = ()

    def __post_init__(self) -> None:
        """Check the fields."""
        checks.check(self._list_faults() if self.values else self._range_faults())

    @property
    def is_categorical(self) -> bool:
        """Whether the values are text."""
        return any(isinstance(value, str) for value in self.values)

    def _list_faults(self) -> Iterator[Fault]:
        if self.minimum is not None or self.maximum is not None or self.integer:
            yield Fault((), "a parameter has values and a range. Give one of the two.")
        if self.is_categorical and not all(isinstance(value, str) for value in self.values):
            yield Fault(
                ("values",),
                "numbers and text are mixed. Put the numbers in quotes, too, or give numbers only.",
            )
        elif not self.is_categorical and list(self.values) != sorted(self.values):
            yield Fault(("values",), "the numbers are not in ascending order. Sort them.")
        yield from checks.repeated("values", self.values)

    def _range_faults(self) -> Iterator[Fault]:
        if self.minimum is None or self.maximum is None:
            yield Fault((), "a parameter has neither values nor both minimum and maximum.")
            return
        if not self.minimum < self.maximum:
            yield Fault(
                ("minimum",),
                f"{self.minimum:g} is not below the maximum, {self.maximum:g}. Swap them.",
            )
        if self.scale != "linear" and self.minimum <= 0:
            yield Fault(
                ("minimum",),
                f"{self.minimum:g} has no logarithm, which scale {self.scale} needs. "
                "Give more than 0, or scale: linear.",
            )
        if self.integer:
            for name, value in (("minimum", self.minimum), ("maximum", self.maximum)):
                if value != int(value):
                    yield Fault(
                        (name,),
                        f"{value:g} is not whole. Write {int(value)}, or leave out integer: true.",
                    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tuning:
    """A hyperparameter search. Each trial is the whole job, with different arguments.

    Attributes:
        metric: The metric that trials report (see `tfps.ReportMetric`), e.g. "val_loss".
        goal: Whether lower or higher values of the metric are better.
        trials: Number of trials.
        parallel_trials: Number of trials that run at the same time.
        failed_trials: The number of failed trials at which the search fails; None for the
            platform's default.
        algorithm: How the next values are chosen.
        parameters: The hyperparameters. The program of every task gets `--KEY=VALUE` for each.
    """

    metric: str
    goal: Literal["minimize", "maximize"] = "minimize"
    trials: int = 10
    parallel_trials: int = 1
    failed_trials: int | None = None
    algorithm: Literal["bayesian", "random", "grid"] = "bayesian"
    parameters: Mapping[str, Hyperparameter]

    def __post_init__(self) -> None:
        """Check the fields."""
        checks.check(self._faults())

    def _faults(self) -> Iterator[Fault]:
        yield from checks.at_least("trials", self.trials, 1)
        yield from checks.at_least("parallel_trials", self.parallel_trials, 1)
        yield from checks.at_least("failed_trials", self.failed_trials, 1)
        for name in ("parallel_trials", "failed_trials"):
            number = getattr(self, name)
            if number is not None and number > self.trials:
                yield Fault(
                    (name,),
                    f"{number} is more than the {self.trials} trials. Give at most as many.",
                )
        yield from checks.well_formed("metric", self.metric, checks.parameter_fault)
        if not self.parameters:
            yield Fault(("parameters",), "there is nothing to search. Give at least one.")
        yield from checks.keys("parameters", self.parameters, checks.parameter_fault)
        if self.algorithm == "grid":
            for name, parameter in self.parameters.items():
                if not parameter.values and not parameter.integer:
                    yield Fault(
                        ("parameters", name), "a grid needs steps. Give values, or integer: true."
                    )
