"""One process a job, also where nothing but a file system is shared.

The holder of a job is the highest numbered file `lease.<n>` in the job's folder. To become holder is to create the
next number exclusively, which exactly one of several can do, on NFS too. A holder rewrites its file as a heartbeat;
a newcomer watches it with its own clock (clocks of nodes differ) and counts it as dead once nothing has changed for
`EXPIRY_S`, after two missed beats if its cluster job has ended, or at once where the process is known to be gone. A
holder that finds a higher number than its own has been declared dead or obsolete, and leaves.
"""

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sonolens.jobs import slurm

BEAT_S = 15
# Eight beats: NFS clients may see a change of another node a minute late.
EXPIRY_S = 120
POLL_S = 2
# Between two attempts to become holder where another was faster.
RETRY_S = 0.1


def _process(pid: int) -> str | None:
    """What tells a process from a later one with its number: boot, pid namespace and start time; None if gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return None
    return None if stat[0] in "ZX" else f"{boot} {namespace} {stat[19]}"


class Holder(NamedTuple):
    """What the holder of a job wrote last."""

    number: int
    content: dict  # who it is, its key, since when, and done, total, unit once it counts; {} while it is being written
    text: str
    changed: float  # seconds since 1970, by the clock of the file system


def _numbers(folder: Path) -> list[int]:
    return [int(path.suffix[1:]) for path in folder.glob("lease.*") if path.suffix[1:].isdecimal()]


def _read(folder: Path, number: int) -> Holder | None:
    path = folder / f"lease.{number}"
    try:
        text, changed = path.read_text(), path.stat().st_mtime
    except FileNotFoundError:
        return None
    try:
        content = json.loads(text)
    except ValueError:
        content = {}
    return Holder(number, content, text, changed)


def holder_of(folder: Path) -> Holder | None:
    """The present holder of the job with this folder, or the dead one that held it last; None if nobody does."""
    while numbers := _numbers(folder):
        if holder := _read(folder, max(numbers)):
            return holder
        time.sleep(RETRY_S)  # it went, or changed hands and the listing is not new
    return None


def is_gone(content: dict) -> bool:
    """Whether the process that wrote this is known not to run any more: only if it ran on this machine."""
    me, other = _process(os.getpid()), content.get("process")
    return bool(me and other) and me.split()[:2] == other.split()[:2] and _process(content["pid"]) != other


class _Silence:
    """For how long holders have written nothing new, by the watcher's own clock."""

    def __init__(self) -> None:
        self._last, self._since = None, time.monotonic()

    def seconds(self, holder: Holder) -> float:
        if holder != self._last:
            self._last, self._since = holder, time.monotonic()
        return time.monotonic() - self._since


class Lease:
    """The hold on one job. `acquire` before the work, `release` after it; beats by itself in between.

    `key` says what exactly is computed: a holder of the same key is waited for, since its result will be ours; a holder
    of another key computes what is no longer wanted, and is told to leave.
    """

    def __init__(self, folder: Path, key: str, who: dict, beat_s: float = BEAT_S, expiry_s: float = EXPIRY_S):
        """who: what others are to know of this process: host, pid, slurm_job (sonolens.life.Life.who)."""
        self.folder, self.key, self.beat_s, self.expiry_s = folder, key, beat_s, expiry_s
        self.who = who | {"process": _process(os.getpid())}
        self.progress: dict = {}
        self.predecessor: dict | None = None  # the lease of a dead one, with the seconds that it worked
        self.number = 0
        self._beats = 0
        self._since = time.time()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self, on_event: Callable[[str, str], None], on_loss: Callable[[str], None]) -> None:
        """Wait until this process is the holder.

        on_event(event, detail) hears of waiting and taking over; on_loss(reason) is called from the beating thread if
        another process has become the holder.
        """
        said_waiting = False
        silence = _Silence()
        while True:
            holder = holder_of(self.folder)
            if holder is None:
                if self._create(1):
                    self._begin_to_beat(on_loss)
                    return
                time.sleep(RETRY_S)
                continue
            number, other = holder.number, holder.content
            who = f"{other.get('host')} (process {other.get('pid')}, cluster job {other.get('slurm_job')})"
            why_dead = self._why_dead(holder, silence)
            if why_dead or other.get("key") not in (self.key, None):
                if not self._create(number + 1):
                    time.sleep(RETRY_S)
                    continue
                self._begin_to_beat(on_loss)
                if why_dead:
                    self.predecessor = other | {"seconds": holder.changed - other.get("since", holder.changed)}
                    on_event("took_over", f"from {who}: {why_dead}")
                else:
                    on_event("took_over", f"from {who}, which computes what the config or code no longer asks for")
                    self._wait_until_gone(number)
                self._path(number).unlink(missing_ok=True)
                return
            if not said_waiting:
                on_event("waiting", f"for {who}, which works on the same job since {_clock(other.get('since'))}")
                said_waiting = True
            time.sleep(min(POLL_S, self.expiry_s / 4))

    def release(self) -> None:
        """Let the next one in, and leave no empty folder behind."""
        self._stopping.set()
        if self._thread:
            self._thread.join()
        for left in (self._path(self.number), *self.folder.glob(".lease.*.tmp")):
            left.unlink(missing_ok=True)
        remove_if_empty(self.folder)

    def _begin_to_beat(self, on_loss: Callable[[str], None]) -> None:
        self._thread = threading.Thread(target=self._keep_beating, args=(on_loss,), daemon=True)
        self._thread.start()

    def _path(self, number: int) -> Path:
        return self.folder / f"lease.{number}"

    def _why_dead(self, holder: Holder, silence: _Silence) -> str | None:
        if is_gone(holder.content):
            return "the process is gone"
        silent_s = silence.seconds(holder)
        if silent_s > self.expiry_s:
            return f"no sign of life for {self.expiry_s:g} s"
        job_id = holder.content.get("slurm_job")
        # the scheduler is not asked about one that beats
        if silent_s > 2 * self.beat_s and job_id and job_id != self.who["slurm_job"] and slurm.has_ended(job_id):
            return f"cluster job {job_id} has ended"
        return None

    def _wait_until_gone(self, number: int) -> None:
        """Until the former holder has seen that it is no longer wanted, or is dead."""
        silence = _Silence()
        while (holder := _read(self.folder, number)) and not self._why_dead(holder, silence):
            time.sleep(min(POLL_S, self.expiry_s / 4))

    def _content(self) -> str:
        since = {"since": self._since, "beat": self._beats}
        return json.dumps(self.who | {"key": self.key} | since | self.progress)

    def _create(self, number: int) -> bool:
        """Become holder `number`, if nobody else has."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(self._path(number), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except (FileExistsError, FileNotFoundError):  # the folder can vanish with a release
            return False
        with os.fdopen(handle, "w") as created:
            created.write(self._content())
        # What was listed before may have been old, as listings of network file systems are; after a change of ours it
        # is not.
        if max(_numbers(self.folder), default=0) > number:
            self._path(number).unlink(missing_ok=True)
            return False
        self.number = number
        return True

    def _keep_beating(self, on_loss: Callable[[str], None]) -> None:
        while not self._stopping.wait(self.beat_s):
            holder = holder_of(self.folder)
            if holder and holder.number > self.number:
                on_loss(f"{holder.content.get('host')} (process {holder.content.get('pid')}) has taken over")
                return
            self._beat()

    def _beat(self) -> None:
        self._beats += 1
        path = self._path(self.number)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_text(self._content())
            temporary.replace(path)
        except OSError:  # a full disk: still a sign of life
            temporary.unlink(missing_ok=True)
            if path.exists():
                os.utime(path)


def _clock(since: float | None) -> str:
    return time.strftime("%H:%M:%S", time.localtime(since)) if since else "just now"


def remove_if_empty(folder: Path) -> None:
    """Remove a folder and those above it as long as nothing is in them, within the folder `checkpoints`."""
    while folder.name != "checkpoints" and folder.parent != folder:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
