#!/usr/bin/env bash
# Stop what tests/slurm/up.sh started, and nothing else (by pid file and name); --purge removes its state folder too.
set -u
state=${TEST_CLUSTER_STATE:-${TMPDIR:-/tmp}/sonolens-cluster}
export SLURM_CONF=$state/slurm.conf PATH=$PATH:/usr/sbin:/sbin

runs() { [ "$(cat "/proc/$1/comm" 2>/dev/null)" = "$2" ] && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }

stop() { # pid file, name
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 0
  if runs "$pid" "$2"; then
    kill "$pid"
    for _ in $(seq 100); do
      runs "$pid" "$2" || break
      sleep 0.1
    done
    ! runs "$pid" "$2" || kill -9 "$pid"
  fi
  rm -f "$1"
}

if runs "$(cat "$state/run/slurmctld.pid" 2>/dev/null)" slurmctld; then
  # Jobs first: a job's processes outlive its slurmd.
  timeout 20 scancel --user "$(id -un)" 2>/dev/null
  for _ in $(seq 80); do
    [ -n "$(timeout 10 squeue -h -o %A 2>/dev/null)" ] || break
    sleep 0.5
  done
fi
for file in "$state"/run/slurmd.*.pid; do
  stop "$file" slurmd
done
stop "$state/run/slurmctld.pid" slurmctld
stop "$state/run/munged.pid" munged
[ "${1:-}" != --purge ] || rm -rf "$state"
