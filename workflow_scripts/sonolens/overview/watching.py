"""How far a workflow is, read from what its jobs leave behind: outputs, records, events, leases.

Nothing is asked of Snakemake, whose main process may be on another machine, or dead. What it has submitted and the
cluster has not begun is waiting, like what it has not submitted yet.
"""

import socket
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from sonolens.jobs import finishing, lease, life, provenance, slurm
from sonolens.overview.audit import judge, read_record
from sonolens.overview.planned import PlannedJob, with_makers
from sonolens.overview.wording import age

# What happens to every job that nothing happens to.
ORDINARY = {"started", "finished"}


class State(StrEnum):
    """Where a job is."""

    DONE = "done"
    OUTDATED = "outdated"  # there, but what it was made from is not what is asked for now
    RUNNING = "running"
    WAITING = "waiting"
    FAILED = "failed"
    LOST = "lost"  # began and does not run any more, and said nothing: killed, out of memory, node lost


class ClusterAttempt(NamedTuple):
    """What the cluster began for a job last. Its log is made when it begins, before the job can say anything."""

    job_id: str
    log: str
    began: float  # seconds since 1970


class Sighting(NamedTuple):
    """One job as it was when looked at. `detail` says more, in words; `events` is its whole life, oldest first."""

    job: PlannedJob
    state: State
    detail: str
    holder: lease.Holder | None
    events: list[dict]
    logs: list[str]


class _Unchanged:
    """A function of a file that is called anew only if the file has changed; None for a file that is not there."""

    def __init__(self, read: Callable[[Path], object]):
        self.read = read
        self._known: dict[Path, tuple[tuple[int, int], object]] = {}

    def __call__(self, path: str | Path) -> object:
        path = Path(path)
        try:
            stat = path.stat()
            seen = (stat.st_mtime_ns, stat.st_size)
            if path not in self._known or self._known[path][0] != seen:
                self._known[path] = (seen, self.read(path))
        except FileNotFoundError:
            return None
        return self._known[path][1]


class Watcher:
    """Looks at the files of jobs again and again; a small file that has not changed is not read a second time.

    Of results only the records are read. Whether a result was edited since, only the audit sees.
    """

    def __init__(self, jobs: list[PlannedJob], has_ended: Callable[[str], bool | None] = slurm.has_ended):
        """has_ended: whether a cluster job is over, by its id; None if nobody knows."""
        self.jobs = jobs
        self._ask = has_ended
        self._answers: dict[str, bool | None] = {}
        self._made = {path for job in jobs for path in job.outputs}
        self._events = _Unchanged(life.read)
        self._record = _Unchanged(lambda path: read_record(str(path.relative_to(provenance.FOLDER).with_suffix(""))))
        self._digest = _Unchanged(provenance.sha256)

    def look(self, now: float) -> list[Sighting]:
        """Every job in the order of `jobs`. now: seconds since 1970."""
        # Over is over. A cluster that did not answer is not asked for every other job too: silence can take long.
        self._answers = {job_id: True for job_id, is_over in self._answers.items() if is_over}
        records = {job.name: self._record(f"{provenance.FOLDER / job.name}.json") for job in self.jobs}
        outdated = self._outdated(records)
        return [self._sighting(job, records[job.name] is not None, job.name in outdated, now) for job in self.jobs]

    def _outdated(self, records: dict[str, dict | None]) -> set[str]:
        """Jobs with a record of other parameters, code or inputs than those of now, and what was made from theirs.

        Outputs are taken to be as they were recorded. What has no record is taken for good.
        """
        digest: dict[str, str | None] = {}
        for job in self.jobs:
            written = records[job.name]["outputs"] if records[job.name] else {}
            for path in job.outputs:
                digest[path] = (written[path] if path in written else "") if Path(path).exists() else None
            for path in {*job.code, *job.inputs} - self._made - digest.keys():
                digest[path] = self._digest(path)
        judged = judge(self.jobs, records, digest)
        outdated: set[str] = set()
        for job, makers in with_makers(self.jobs):
            judgement = judged[job.name]
            is_behind = any(maker.name in outdated or judged[maker.name].verdict == "missing" for maker in makers)
            if judgement.record and (is_behind or judgement.is_root):
                outdated.add(job.name)
        return outdated

    def _sighting(self, job: PlannedJob, is_recorded: bool, is_outdated: bool, now: float) -> Sighting:
        events = self._events(f"logs/{job.name}.jsonl") or []
        holder = lease.holder_of(finishing.CHECKPOINTS / job.name)
        if holder and why_dead(holder, now) is None:
            return Sighting(job, State.RUNNING, "", holder, events, [])
        if all(Path(path).exists() for path in job.outputs):
            state = State.OUTDATED if is_outdated else State.DONE
            return Sighting(job, state, "" if is_recorded else "without a record", None, events, [])
        attempt = newest_attempt(job.cluster_logs)
        logs = [path for path in (f"logs/{job.name}.log", attempt.log if attempt else "") if Path(path).is_file()]
        if attempt and attempt.job_id not in [event["slurm_job"] for event in events]:
            state, detail = self._speechless(attempt, now)
        else:
            state, detail = self._unfinished(events, holder, now)
        return Sighting(job, state, detail, holder, events, logs)

    def _has_ended(self, job_id: str) -> bool | None:
        if job_id not in self._answers:
            self._answers[job_id] = None if None in self._answers.values() else self._ask(job_id)
        return self._answers[job_id]

    def _speechless(self, attempt: ClusterAttempt, now: float) -> tuple[State, str]:
        """State of a job that the cluster has begun and that has not said anything."""
        is_over = self._has_ended(attempt.job_id)
        if is_over:
            return State.FAILED, f"cluster job {attempt.job_id} ended before its script could say anything"
        since = f"cluster job {attempt.job_id} began {age(now - attempt.began)} ago"
        return State.RUNNING, since if is_over is False else f"{since}, unknown"

    def _unfinished(self, events: list[dict], holder: lease.Holder | None, now: float) -> tuple[State, str]:
        """State of a job whose outputs are not there and that nobody holds, with what is known of it."""
        if not events:
            return State.WAITING, ""
        last = events[-1]
        if last["event"] == "failed":
            return State.FAILED, last["detail"]
        if last["event"] == "interrupted":
            return State.WAITING, f"interrupted: {last['detail']}"
        if last["event"] in ("finished", "adopted"):
            return State.WAITING, ""  # its outputs have been removed to be made again
        if holder:
            return State.LOST, why_dead(holder, now) or ""
        if last["host"] == socket.gethostname():
            is_there = Path(f"/proc/{last['pid']}").exists()
            return (State.RUNNING, "") if is_there else (State.LOST, f"process {last['pid']} is gone")
        is_over = self._has_ended(last["slurm_job"]) if last["slurm_job"] else None
        if is_over:
            return State.LOST, f"cluster job {last['slurm_job']} has ended"
        since = f"{last['event']} {age(now - moment(last))} ago"
        return State.RUNNING, since if is_over is False else f"{since}, unknown"


def newest_attempt(folder: str) -> ClusterAttempt | None:
    """The attempt at a job that the cluster began last; None without a cluster, or if its log has been deleted."""
    logs = [path for path in Path(folder).glob("*.log") if path.stem.isdecimal()] if folder else []
    if not logs:
        return None
    newest = max(logs, key=lambda path: int(path.stem))
    try:
        return ClusterAttempt(newest.stem, str(newest), newest.stat().st_mtime)
    except FileNotFoundError:  # the job has succeeded
        return None


def why_dead(holder: lease.Holder, now: float) -> str | None:
    """Why the holder of a job is taken for dead; None while it seems to live."""
    silent_s = now - holder.changed
    if silent_s > lease.EXPIRY_S:
        return f"no sign of life for {age(silent_s)}"
    if lease.is_gone(holder.content):
        return f"process {holder.content['pid']} is gone"
    return None


def moment(event: dict) -> float:
    """When an event happened, in seconds since 1970."""
    return datetime.fromisoformat(event["time"]).timestamp()


def remarkable(sightings: Iterable[Sighting]) -> list[tuple[str, dict]]:
    """The events of all jobs that are out of the ordinary, with the job's name, oldest first."""
    found = [
        (sighting.job.name, event)
        for sighting in sightings
        for event in sighting.events
        if event["event"] not in ORDINARY
    ]
    return sorted(found, key=lambda named: moment(named[1]))
