#!/bin/bash
#SBATCH --job-name=mlp
#SBATCH --output=%x-%j.log
# chief
#SBATCH --ntasks=1 --cpus-per-task=1 --mem-per-cpu=4096M
#SBATCH hetjob
# worker
#SBATCH --ntasks=2 --cpus-per-task=1 --mem-per-cpu=4096M
#SBATCH hetjob
# ps
#SBATCH --ntasks=2 --cpus-per-task=1 --mem-per-cpu=4096M
set -u

# Tasks of other jobs may be on the same node, so each job has ports of its own.
first_port=$((2222 + SLURM_JOB_ID % 1000 * 20))

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

chief=(--het-group=0 --ntasks=1 --cpus-per-task=1 --mem-per-cpu=4096M)
worker=(--het-group=1 --ntasks=2 --cpus-per-task=1 --mem-per-cpu=4096M)
ps=(--het-group=2 --ntasks=2 --cpus-per-task=1 --mem-per-cpu=4096M)
place chief 1 "${chief[@]}"
place worker 2 "${worker[@]}"
place ps 2 "${ps[@]}"
export TFPS_CLUSTER="{${cluster#, }}"

needs srun "${worker[@]}" --output="$SLURM_JOB_NAME-$SLURM_JOB_ID-worker-%t.log" \
  --kill-on-bad-exit=1 env \
  CUDA_VISIBLE_DEVICES=-1 \
  GLIBC_TUNABLES=glibc.malloc.hugetlb=1 \
  OMP_NUM_THREADS=1 \
  PYTHONUNBUFFERED=1 \
  TF_CPP_MIN_LOG_LEVEL=2 \
  TF_NUM_INTRAOP_THREADS=1 \
  bash -c "$task" worker 3 python -m models.mlp &

needs srun "${ps[@]}" --output="$SLURM_JOB_NAME-$SLURM_JOB_ID-ps-%t.log" \
  --kill-on-bad-exit=1 env \
  CUDA_VISIBLE_DEVICES=-1 \
  GLIBC_TUNABLES=glibc.malloc.hugetlb=1 \
  OMP_NUM_THREADS=1 \
  PYTHONUNBUFFERED=1 \
  TF_CPP_MIN_LOG_LEVEL=2 \
  TF_NUM_INTRAOP_THREADS=1 \
  bash -c "$task" ps 3 python -m models.mlp &

srun "${chief[@]}" \
  --kill-on-bad-exit=1 env \
  CUDA_VISIBLE_DEVICES=-1 \
  GLIBC_TUNABLES=glibc.malloc.hugetlb=1 \
  OMP_NUM_THREADS=1 \
  PYTHONUNBUFFERED=1 \
  TF_CPP_MIN_LOG_LEVEL=2 \
  TF_NUM_INTRAOP_THREADS=1 \
  bash -c "$task" chief 3 python -m models.mlp &

wait $!
code=$?
trap '' USR1
# When the chief has ended well, the others end by themselves; otherwise Slurm ends them.
for ((look = 0; code == 0 && look < 20; look++)); do
  [[ -n $(jobs -rp) ]] || break
  sleep 0.5
done
exit "$code"
