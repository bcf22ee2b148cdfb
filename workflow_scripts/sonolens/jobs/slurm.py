"""What a job asks the scheduler that runs it, if there is one. Every answer may be "not known"."""

import os
import subprocess


def _squeue(*arguments: str) -> subprocess.CompletedProcess | None:
    try:
        return subprocess.run(["squeue", "--noheader", *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None


def seconds_left() -> float | None:
    """Until the time limit of the job that this process belongs to; None outside a cluster or without a limit."""
    job_id = os.environ.get("SLURM_JOB_ID")
    answer = _squeue("--jobs", job_id, "--format", "%L") if job_id else None
    return parse_duration_s(answer.stdout.strip()) if answer and answer.returncode == 0 else None


def parse_duration_s(text: str) -> float | None:
    """Seconds of "days-hours:minutes:seconds" and its shorter forms; None for UNLIMITED, INVALID and the like."""
    days, _, rest = text.rpartition("-")
    try:
        parts = [int(part) for part in rest.split(":")]
        seconds = int(days or 0) * 86400.0
    except ValueError:
        return None
    for part, unit_s in zip(reversed(parts), (1, 60, 3600), strict=False):
        seconds += part * unit_s
    return seconds


def has_ended(job_id: str) -> bool | None:
    """Whether a job is over; None if the scheduler cannot be asked.

    A job that the controller no longer knows is over. One that is still completing may have processes left.
    """
    answer = _squeue("--jobs", job_id, "--states", "all", "--format", "%T")
    if answer is None:
        return None
    if answer.returncode != 0:
        return True if "Invalid job id" in answer.stderr else None
    states = answer.stdout.split()
    alive = {"RUNNING", "PENDING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT"}
    return not (set(states) & alive or "REQUEUED" in states or "REQUEUE_HOLD" in states)
