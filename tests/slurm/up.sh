#!/usr/bin/env bash
# Bring up a private SLURM cluster on this machine: munged, slurmctld and one slurmd per pretended node, without
# systemd, containers, cgroups or slurmdbd. A second call with the cluster up changes nothing.
#   eval "$(tests/slurm/up.sh)"     # sets PATH and SLURM_CONF for this shell; messages go to stderr
#   tests/slurm/down.sh --purge
# Scheduling, limits and signals are real. The GPUs are null devices: SLURM hands them out, CUDA does not see them.
# All jobs are the caller's. Root is needed only where packages are missing, which are then installed.
set -euo pipefail

state=${TEST_CLUSTER_STATE:-${TMPDIR:-/tmp}/sonolens-cluster}
gpu_nodes=${TEST_CLUSTER_GPU_NODES:-2}           # gpu1, gpu2, ... in partition gpu
gpus_per_node=${TEST_CLUSTER_GPUS_PER_NODE:-2}
cpu_nodes=${TEST_CLUSTER_CPU_NODES:-1}           # cpu1, ... in partition cpu
cpus=${TEST_CLUSTER_CPUS:-8}                     # of each node, pretended
memory_mb=${TEST_CLUSTER_MEMORY_MB:-64000}       # of each node, pretended
port=${TEST_CLUSTER_PORT:-26817}                 # slurmctld's; the slurmds take the next ones
kill_wait=${TEST_CLUSTER_KILL_WAIT:-30}          # s from SIGTERM to SIGKILL at a time limit or scancel
node_timeout=${TEST_CLUSTER_NODE_TIMEOUT:-15}    # s until a silent slurmd's node is down
min_job_age=${TEST_CLUSTER_MIN_JOB_AGE:-600}     # s for which squeue shows a job that ended

say() { echo "cluster: $*" >&2; }

# PID 1 of a container may leave zombies for long, so a process counts as running by its name and state.
running() { # pid file, name
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ] &&
    ! grep -q '^State:.Z' "/proc/$pid/status"
}

# Daemons live in /usr/sbin, which is not on everyone's path.
export PATH=$PATH:/usr/sbin:/sbin
missing=()
for pair in munge:munged slurmctld:slurmctld slurmd:slurmd slurm-client:sbatch; do
  command -v "${pair#*:}" >/dev/null || missing+=("${pair%%:*}")
done
if [ ${#missing[@]} -gt 0 ]; then
  say "installing ${missing[*]}"
  {
    apt-get update -qq || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
  } >&2
fi

# munged refuses folders that others can write to.
umask 022
mkdir -p "$state"/{munge,controller,spool,log,run,dev,bin}
chmod 755 "$state" "$state"/*
conf=$state/slurm.conf
host=$(hostname -s)
user=$(id -un)

if ! running "$state/run/slurmctld.pid" slurmctld; then
  for ((i = 0; i < gpus_per_node; i++)); do
    ln -sfn /dev/null "$state/dev/gpu$i"
  done
  {
    cat <<CONF
ClusterName=sonolens
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$state/munge/socket
CredType=cred/munge
StateSaveLocation=$state/controller
SlurmdSpoolDir=$state/spool/%n
SlurmctldPidFile=$state/run/slurmctld.pid
SlurmdPidFile=$state/run/slurmd.%n.pid
SlurmctldLogFile=$state/log/slurmctld.log
SlurmdLogFile=$state/log/slurmd.%n.log
SlurmctldDebug=info
SlurmdDebug=info
# Neither cgroups nor task binding, so that it runs in a container too; memory is sampled instead, every two seconds.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
# The pretended CPUs and memory count, not the machine's.
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=5,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
SlurmctldTimeout=30
SlurmdTimeout=$node_timeout
InactiveLimit=0
KillWait=$kill_wait
MinJobAge=$min_job_age
Waittime=0
BatchStartTimeout=10
MessageTimeout=10
AccountingStorageType=accounting_storage/none
# One line for every job that ended.
JobCompType=jobcomp/filetxt
JobCompLoc=$state/log/jobs.log
GresTypes=gpu
CONF
    next=$port
    for ((i = 1; i <= gpu_nodes; i++)); do
      echo "NodeName=gpu$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((++next)) CPUs=$cpus RealMemory=$memory_mb" \
        "Gres=gpu:pretended:$gpus_per_node State=UNKNOWN"
    done
    for ((i = 1; i <= cpu_nodes; i++)); do
      echo "NodeName=cpu$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((++next)) CPUs=$cpus RealMemory=$memory_mb" \
        "State=UNKNOWN"
    done
    echo "PartitionName=cpu Nodes=cpu[1-$cpu_nodes] Default=YES MaxTime=1-0 DefaultTime=60 State=UP"
    echo "PartitionName=gpu Nodes=gpu[1-$gpu_nodes] MaxTime=7-0 DefaultTime=60 State=UP"
  } >"$conf"
  devices=$state/dev/gpu[0-$((gpus_per_node - 1))]
  echo "NodeName=gpu[1-$gpu_nodes] Name=gpu Type=pretended File=$devices" >"$state/gres.conf"
  # No cgroup plugin is in use; without the file slurmd looks for one.
  printf '%s=no\n' CgroupAutomount ConstrainCores ConstrainDevices ConstrainRAMSpace >"$state/cgroup.conf"
  # Inside a job the plugin drops every SLURM_* variable before it calls srun, which would then read the system's
  # slurm.conf. A srun of our own, first on the path, gives the variable back, and the system's stays as it is.
  if [ ! -e "$state/bin/srun" ]; then
    printf '#!/bin/sh\nSLURM_CONF=%q exec %q "$@"\n' "$conf" "$(command -v srun)" >"$state/bin/srun"
    chmod 755 "$state/bin/srun"
  fi
fi
export SLURM_CONF=$conf

if ! running "$state/run/munged.pid" munged; then
  if [ ! -s "$state/munge/key" ]; then
    head -c 1024 /dev/urandom >"$state/munge/key"
    chmod 400 "$state/munge/key"
  fi
  rm -f "$state"/munge/socket*
  munged --key-file="$state/munge/key" --socket="$state/munge/socket" --pid-file="$state/run/munged.pid" \
    --log-file="$state/log/munged.log" --seed-file="$state/munge/seed" >&2
fi
running "$state/run/slurmctld.pid" slurmctld || slurmctld >&2
nodes=$(sed -n 's/^NodeName=\([^ ]*\) .*/\1/p' "$conf")
for node in $nodes; do
  mkdir -p "$state/spool/$node"
  running "$state/run/slurmd.$node.pid" slurmd || slurmd -N "$node" >&2
done

for ((try = 0; ; try++)); do
  states=$(sinfo -h -N -o %T 2>/dev/null || true)
  [ "$(grep -cE '^(idle|mixed|allocated)$' <<<"$states")" -ge "$(wc -w <<<"$nodes")" ] && break
  if [ $try -ge 60 ]; then
    say "the nodes did not come up"
    sinfo -N -l >&2 || true
    tail -n 5 "$state"/log/*.log >&2
    exit 1
  fi
  sleep 0.5
done
say "$(sinfo -h -N -o '%N (%P, %G)' | paste -sd ' ')"
printf 'export SLURM_CONF=%q PATH=%q:$PATH\n' "$conf" "$state/bin"
