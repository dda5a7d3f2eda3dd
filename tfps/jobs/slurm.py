"""Target slurm: a script for sbatch.

    tfps render -f SPEC --target slurm | sbatch --partition=gpu --account=mine

Each role is a component of a heterogeneous job, with nodes of its own kind and a job step of its
own. The script runs on the first node. It asks Slurm where the tasks are and gives each task its
TF_CONFIG. The options of sbatch's command line that Slurm applies to all components, e.g. the
partition and the account, apply to all roles.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator

from tfps.cluster import addresses
from tfps.errors import Fault
from tfps.jobs.plain_processes import left_out
from tfps.jobs.rendering import Rendering
from tfps.jobs.role import Role
from tfps.jobs.spec import JobSpec
from tfps.jobs.tasks import environment

_PORTS_PER_JOB = 20
_MOST_JOBS = 1000

_FUNCTIONS = r"""
# place TYPE NUMBER OPTIONS: learn where Slurm puts the tasks of a step with these options.
declare -A used=()
cluster=''
place() {
  local type=$1 number=$2 addresses='' found=0 host
  shift 2
  while read -r _ host; do
    addresses+=", \"$host:$((first_port + ${used[$host]:-0}))\""
    used[$host]=$((${used[$host]:-0} + 1))
    found=$((found + 1))
  done < <(srun "$@" bash -c 'echo "$SLURM_PROCID $(hostname)"' | sort -n)
  if ((found != number)); then
    echo "tfps: Slurm has started $found of $number $type tasks." >&2
    exit 1
  fi
  cluster+=", \"$type\": [${addresses#, }]"
}

# A task: bash -c "$task" TYPE RESTARTS COMMAND. It is not started again after code 2, by which a
# program says that it was started wrongly, nor after SIGTERM.
task='
own="{\"type\": \"$0\", \"index\": $SLURM_PROCID}"
export TF_CONFIG="{\"cluster\": $TFPS_CLUSTER, \"task\": $own}"
trap "exit 143" TERM
restarts=$1
shift
for ((restart = 1; ; restart++)); do
  "$@" && exit 0
  code=$?
  if ((code == 2 || code == 143 || restart > restarts)); then exit "$code"; fi
  pause_s=$((restart < 6 ? 1 << restart : 60))
  echo "tfps: $0 $SLURM_PROCID ended with code $code;" \
    "restart $restart of $restarts follows in $pause_s s." >&2
  sleep "$pause_s"
done'

# The job fails with a step that it needs.
needs() {
  "$@" || kill -USR1 $$ 2>/dev/null
}
trap 'echo "tfps: a task has failed." >&2; exit 1' USR1
"""

_END = """\
wait $!
code=$?
trap '' USR1
# When the chief has ended well, the others end by themselves; otherwise Slurm ends them.
for ((look = 0; code == 0 && look < 20; look++)); do
  [[ -n $(jobs -rp) ]] || break
  sleep 0.5
done
exit "$code"
"""


def render(spec: JobSpec) -> Rendering:
    """Render a job as a script for sbatch; the document contains the script as text."""
    text = script(spec)
    return Rendering(documents=({"script": text},), left_out=tuple(_left_out(spec)), text=text)


def script(spec: JobSpec) -> str:
    """Return the script for sbatch."""
    # Slurm picks nodes for one component after the other. The roles that need most come first.
    roles = sorted(spec.roles, key=lambda named: (-named[1].gpus, -named[1].cpu))
    options = {name: _options(role) for name, role in roles}
    lines = [
        "#!/bin/bash",
        f"#SBATCH --job-name={spec.name}",
        "#SBATCH --output=%x-%j.log",
        *_time_limit(spec),
    ]
    for index, (name, role) in enumerate(roles):
        lines += ["#SBATCH hetjob"] if index else []
        lines += [f"# {name}", f"#SBATCH {' '.join([*options[name], *_disk_option(role)])}"]
    lines += [
        "set -u",
        "",
        "# Tasks of other jobs may be on the same node, so each job has ports of its own.",
        f"first_port={_first_port(spec)}",
        _FUNCTIONS,
    ]
    for group, (name, _) in enumerate(roles):
        lines.append(f"{name}=(--het-group={group} {' '.join(options[name])})")
    lines += [f'place {name} {role.replicas} "${{{name}[@]}}"' for name, role in spec.roles]
    lines += ['export TFPS_CLUSTER="{${cluster#, }}"', ""]
    # The chief comes last, because the script waits for the last step.
    lines += [_step(spec, name, role) for name, role in spec.roles if name != "chief"]
    lines += [_step(spec, "chief", spec.roles.chief), _END]
    return "\n".join(lines)


def _options(role: Role) -> list[str]:
    """Return the options of sbatch and srun for the number of tasks and the needs of each."""
    cores = math.ceil(role.cpu)
    gpu_type = "" if role.gpu_type is None else f"{role.gpu_type}:"
    return [
        f"--ntasks={role.replicas}",
        f"--cpus-per-task={cores}",
        f"--mem-per-cpu={math.ceil(role.memory_gib * 1024 / cores)}M",
        *([f"--gpus-per-task={gpu_type}{role.gpus}"] if role.gpus else []),
    ]


def _disk_option(role: Role) -> list[str]:
    return [] if role.disk_gib is None else [f"--tmp={math.ceil(role.disk_gib * 1024)}M"]


def _time_limit(spec: JobSpec) -> list[str]:
    if spec.timeout_s is None:
        return []
    minutes, seconds = divmod(spec.timeout_s, 60)
    return [f"#SBATCH --time={minutes}:{seconds:02}"]


def _first_port(spec: JobSpec) -> str:
    jobs = max(1, min(_MOST_JOBS, (addresses.LAST_PORT - spec.port) // _PORTS_PER_JOB))
    return f"$(({spec.port} + SLURM_JOB_ID % {jobs} * {_PORTS_PER_JOB}))"


def _step(spec: JobSpec, name: str, role: Role) -> str:
    variables = environment(spec, name, role)
    # The chief's output is the output of the job.
    output = "" if name == "chief" else f' --output="$SLURM_JOB_NAME-$SLURM_JOB_ID-{name}-%t.log"'
    parts = [
        f'{"" if name in ("chief", "evaluator") else "needs "}srun "${{{name}[@]}}"{output}',
        "  --kill-on-bad-exit=1 env",
        *(f"  {key}={shlex.quote(variables[key])}" for key in sorted(variables)),
        f'  bash -c "$task" {name} {role.restarts} {shlex.join(spec.command_of(role))} &',
    ]
    return " \\\n".join(parts) + "\n"


def _left_out(spec: JobSpec) -> Iterator[Fault]:
    placed = "Slurm places the tasks: see sbatch's --constraint and --partition."
    yield from left_out(
        spec,
        with_effect=("disk_gib", "gpu_type"),
        minimum_replicas="a job on Slurm has all its tasks.",
        machine_type=placed,
        node_selector=placed,
        tolerations=placed,
        spot=placed,
        hosts=placed,
    )
