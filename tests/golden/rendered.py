"""What every spec of cluster_specs/ is rendered to for each target that it suits: rendered/.

A target suits a spec that names it in its header, and one of which it leaves out nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tfps.errors import JobSpecError
from tfps.jobs.file import JobFile
from tfps.jobs.rendering import write
from tfps.jobs.targets import TARGET_NAMES, TargetName, renderer

SPECS = Path(__file__).parents[2] / "cluster_specs"
FOLDER = Path(__file__).with_name("rendered")


def specs() -> list[JobFile]:
    paths = sorted(SPECS.glob("*.yaml"))
    return [JobFile(name=path.stem, text=path.read_text()) for path in paths]


def render_all() -> Iterator[tuple[Path, str]]:
    """Yield the golden file, and what it should hold, of each spec and target that suits it."""
    for job_file in specs():
        for target in TARGET_NAMES:
            text = _rendered(job_file, target)
            if text is not None:
                suffix = "sh" if target == "slurm" else "yaml"
                yield FOLDER / f"{job_file.name}.{target}.{suffix}", text


def _rendered(job_file: JobFile, target: TargetName) -> str | None:
    try:
        rendering = renderer(target)(job_file.spec())
    except JobSpecError:
        return None
    if rendering.left_out and f"--target {target}" not in job_file.text:
        return None
    left_out = "".join(f"# {line}\n" for line in job_file.located(rendering.left_out))
    return left_out + write(rendering)


def write_all() -> None:
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.iterdir():
        path.unlink()
    for path, text in render_all():
        path.write_text(text)
