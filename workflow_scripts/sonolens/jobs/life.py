"""The life of a job over all its attempts: one JSON line an event, beside its log.

What happened to a job that was killed, waited or resumed can be read in one place, whichever node it was on; its log,
which Snakemake deletes before every attempt, is of the last one only. Lines are appended by whoever runs the job; one
that a dying node left half-written is skipped by readers.
"""

import json
import os
import secrets
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

# An attempt ended with one of these. One that did not was killed, or its node was lost: the next one says so ("lost").
ENDS = {"finished", "interrupted", "failed", "adopted", "lost"}


def now() -> str:
    """The time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Life:
    """The events of one job, and the voice of one attempt at it."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.attempt = secrets.token_hex(4)
        self.who = {
            "attempt": self.attempt,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "slurm_job": os.environ.get("SLURM_JOB_ID"),
        }

    def say(self, event: str, detail: str = "", **more: object) -> None:
        """Append an event, and print it to the log. A full disk does not stop the job that has something to say."""
        print(f"[{event}] {detail}")
        line = json.dumps({"time": now(), "event": event, **self.who, "detail": detail} | more)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as journal:
                journal.write(line + "\n")
        except OSError as error:
            print(f"could not write to {self.path}: {error}")


def read(path: str | Path) -> list[dict]:
    """The events of a job, oldest first; none if it never ran."""
    try:
        lines = Path(path).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    events = []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and {"event", "time", "attempt"} <= event.keys():
            events.append(event)
    return events


class Attempt(NamedTuple):
    """One try at a job."""

    began: dict  # its event `started`
    ended: dict | None  # one of ENDS; None while it runs, or if it died without a word


def attempts(events: list[dict]) -> list[Attempt]:
    """Every attempt that began to work (not those that only waited), in the order in which they did."""
    found = {event["attempt"]: Attempt(event, None) for event in events if event["event"] == "started"}
    for event in events:
        if event["event"] in ENDS and event["attempt"] in found:
            found[event["attempt"]] = found[event["attempt"]]._replace(ended=event)
    return list(found.values())


# Of the job that this process runs: what deep parts of the library have to say without being handed the job.
_current: Life | None = None
facts: dict[str, object] = {}


def becomes(life: Life | None) -> None:
    """From now on `note` speaks for this job."""
    global _current
    _current = life
    facts.clear()


def note(event: str, detail: str) -> None:
    """An event of the job that this process runs; outside a job it is only printed."""
    if _current:
        _current.say(event, detail)
    else:
        print(f"[{event}] {detail}")
