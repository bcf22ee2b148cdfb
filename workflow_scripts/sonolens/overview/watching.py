"""How far a workflow is, read from what its jobs leave behind: outputs, records, events, heartbeats.

Nothing is asked of Snakemake, whose main process may be on another machine, or dead. What it has submitted and the
cluster has not begun is waiting, like what it has not submitted yet.
"""

import json
import socket
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from sonolens.jobs import lease, life, provenance, slurm
from sonolens.overview.planned import PlannedJob
from sonolens.overview.wording import age

# What happens to every job that nothing happens to.
ORDINARY = {"started", "finished"}


class State(StrEnum):
    """Where a job is."""

    DONE = "done"
    RUNNING = "running"
    WAITING = "waiting"
    FAILED = "failed"
    LOST = "lost"  # began and does not run any more, and said nothing: killed, out of memory, node lost


class Heartbeat(NamedTuple):
    """What the holder of a job wrote last."""

    content: dict  # host, pid, slurm_job, and done, total, unit once it counts
    changed: float  # seconds since 1970, by the clock of the file system


class Sighting(NamedTuple):
    """One job as it was when looked at. `detail` says more, in words; `events` is its whole life, oldest first."""

    job: PlannedJob
    state: State
    detail: str
    heartbeat: Heartbeat | None
    events: list[dict]


class Watcher:
    """Looks at the files of jobs again and again; a journal that has not changed is not read a second time."""

    def __init__(self, jobs: list[PlannedJob], has_ended: Callable[[str], bool | None] = slurm.has_ended):
        """has_ended: whether a cluster job is over, by its id; None if nobody knows."""
        self.jobs, self.has_ended = jobs, has_ended
        self._journals: dict[Path, tuple[tuple[int, int], list[dict]]] = {}

    def look(self, now: float) -> list[Sighting]:
        """Every job in the order of `jobs`. now: seconds since 1970."""
        return [self._sighting(job, now) for job in self.jobs]

    def _sighting(self, job: PlannedJob, now: float) -> Sighting:
        events = self._events(Path("logs") / f"{job.name}.jsonl")
        heartbeat = newest_heartbeat(job.name)
        if heartbeat and why_dead(heartbeat, now) is None:
            return Sighting(job, State.RUNNING, "", heartbeat, events)
        if all(Path(path).exists() for path in job.outputs):
            recorded = provenance.record_path(job.name).exists()
            return Sighting(job, State.DONE, "" if recorded else "without a record", None, events)
        state, detail = self._unfinished(events, heartbeat, now)
        return Sighting(job, state, detail, heartbeat, events)

    def _unfinished(self, events: list[dict], heartbeat: Heartbeat | None, now: float) -> tuple[State, str]:
        """State of a job whose outputs are not there and that nobody holds, with what is known of it."""
        if not events:
            return State.WAITING, ""
        last = events[-1]
        if last["event"] == "failed":
            return State.FAILED, last["detail"]
        if last["event"] in ("interrupted", "superseded"):
            return State.WAITING, f"{last['event']}: {last['detail']}"
        if last["event"] in ("finished", "adopted"):
            return State.WAITING, "its outputs were there before"
        if heartbeat:
            return State.LOST, why_dead(heartbeat, now) or ""
        if last["host"] == socket.gethostname():
            is_there = Path(f"/proc/{last['pid']}").exists()
            return (State.RUNNING, "") if is_there else (State.LOST, f"process {last['pid']} is gone")
        is_over = self.has_ended(last["slurm_job"]) if last["slurm_job"] else None
        if is_over:
            return State.LOST, f"cluster job {last['slurm_job']} has ended"
        since = f"{last['event']} {age(now - moment(last))} ago"
        return State.RUNNING, since if is_over is False else f"{since}, unknown"

    def _events(self, path: Path) -> list[dict]:
        try:
            stat = path.stat()
        except FileNotFoundError:
            return []
        seen = (stat.st_mtime_ns, stat.st_size)
        if path not in self._journals or self._journals[path][0] != seen:
            self._journals[path] = (seen, life.read(path))
        return self._journals[path][1]


def newest_heartbeat(job: str, folder: str | Path = "checkpoints") -> Heartbeat | None:
    """Of the present holder of a job, or of the one that died holding it; None if nobody does."""
    held = [path for path in (Path(folder) / job).glob("lease.*") if path.suffix[1:].isdecimal()]
    if not held:
        return None
    path = max(held, key=lambda path: int(path.suffix[1:]))
    try:
        return Heartbeat(json.loads(path.read_text()), path.stat().st_mtime)
    except FileNotFoundError:  # just released
        return None
    except ValueError:  # just being created
        return Heartbeat({}, time.time())


def why_dead(heartbeat: Heartbeat, now: float) -> str | None:
    """Why the holder of a job is taken for dead; None while it seems to live."""
    holder, silent_s = heartbeat.content, now - heartbeat.changed
    if silent_s > lease.EXPIRY_S:
        return f"no sign of life for {age(silent_s)}"
    if holder and holder["host"] == socket.gethostname() and not Path(f"/proc/{holder['pid']}").exists():
        return f"process {holder['pid']} is gone"
    return None


def moment(event: dict) -> float:
    """When an event happened, in seconds since 1970."""
    return datetime.fromisoformat(event["time"]).timestamp()


def remarkable(sightings: Iterable[Sighting], n_last: int) -> list[tuple[str, dict]]:
    """The last events of all jobs that are out of the ordinary, with the job's name, oldest first."""
    found = [
        (sighting.job.name, event)
        for sighting in sightings
        for event in sighting.events
        if event["event"] not in ORDINARY
    ]
    return sorted(found, key=lambda named: moment(named[1]))[-n_last:]
