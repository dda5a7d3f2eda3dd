"""The folder of a job, in which its supervisor writes down how it is, for whoever asks."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from tfps.cluster.spec import Task
from tfps.errors import LaunchError
from tfps.jobs.local.record import Record
from tfps.jobs.spec import JobSpec
from tfps.structure import structure


@dataclasses.dataclass(frozen=True)
class JobFolder:
    """The folder of a job on this machine.

    Attributes:
        path: The folder; it is there once the job was submitted.
    """

    path: Path

    @property
    def spec_file(self) -> Path:
        """The job as its supervisor reads it."""
        return self.path / "spec.json"

    @property
    def record_file(self) -> Path:
        """What the supervisor last wrote down."""
        return self.path / "record.json"

    @property
    def supervisor_log(self) -> Path:
        """What the supervisor says."""
        return self.path / "supervisor.log"

    def output(self, task: Task) -> Path:
        """Return the file that a task writes to."""
        return self.path / f"{task.type}-{task.index}.log"

    def write_spec(self, spec: JobSpec) -> None:
        """Write down the job for its supervisor."""
        self.spec_file.write_text(json.dumps(dataclasses.asdict(spec)))

    def read_spec(self) -> JobSpec:
        """Read the job that was written down."""
        spec, _ = structure(json.loads(self.spec_file.read_text()), JobSpec)
        return spec

    def write(self, record: Record) -> None:
        """Write down how the job is; a reader finds the old record or the new one."""
        new = self.record_file.with_suffix(".new")
        new.write_text(json.dumps(dataclasses.asdict(record), indent=1))
        new.replace(self.record_file)

    def read(self) -> Record:
        """Read what was written down.

        Raises:
            LaunchError: Nothing was, or it cannot be read.
        """
        try:
            data = json.loads(self.record_file.read_text())
        except FileNotFoundError as error:
            raise LaunchError(
                f"No job {self.path.name!r} was submitted on this machine: there is no "
                f"{self.record_file}. Submit it with tfps submit --target {self.path.parent.name}."
            ) from error
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error
        record, faults = structure(data, Record)
        if faults:
            raise self._unreadable(faults[0])
        return record

    def _unreadable(self, why: object) -> LaunchError:
        return LaunchError(
            f"{self.record_file} is no record of a job ({why}). If no job of this name runs, "
            f"remove {self.path}."
        )
