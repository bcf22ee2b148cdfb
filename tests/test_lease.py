"""One process a job: held, waited for, taken over, given up. The other processes are real ones."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sonolens.jobs.lease import Lease

SCRIPTS = Path(__file__).parents[1] / "workflow_scripts"
HOLDER = """
import sys, time
from pathlib import Path
from sonolens.jobs.lease import Lease
folder, key, host, seconds = sys.argv[1:]
lease = Lease(Path(folder), key, {"host": host, "pid": __import__("os").getpid(), "slurm_job": None}, 0.1, 1.5)
lost = []
lease.acquire(lambda *event: print(*event, flush=True), lost.append)
print("holds", time.time(), flush=True)
end = time.monotonic() + float(seconds)
while time.monotonic() < end and not lost:
    time.sleep(0.02)
lease.release()
print("lost" if lost else "released", time.time(), flush=True)
"""


@pytest.fixture
def holder(tmp_path):
    """A function that starts a process which holds the lease of a folder for some seconds."""
    started = []

    def start(key: str = "key", seconds: float = 1.0, host: str = "node") -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path / "checkpoints/job"), key, host, str(seconds)],
            env=os.environ | {"PYTHONPATH": str(SCRIPTS)}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen) -> dict[str, str]:
    """Everything that a holder has said to its end: first word, rest of the line."""
    return dict(line.split(" ", 1) for line in process.communicate(timeout=60)[0].splitlines())


def wait_for(process: subprocess.Popen, word: str) -> None:
    while not process.stdout.readline().startswith(word):
        assert process.poll() is None


def test_of_many_at_once_each_holds_alone(holder, tmp_path):
    spans = []
    for told in map(said, [holder(seconds=0.3) for _ in range(5)]):
        spans.append((float(told["holds"]), float(told["released"])))
    spans.sort()
    assert all(ended <= began for (_, ended), (began, _) in itertools.pairwise(spans))
    assert not (tmp_path / "checkpoints/job").exists()  # nothing is left behind


def test_a_second_waits_until_the_first_is_done(holder):
    first = holder(seconds=2.5)  # longer than the expiry: heartbeats keep it alive
    wait_for(first, "holds")
    told = said(holder(seconds=0))
    assert "node" in told["waiting"]
    assert "took_over" not in told
    assert float(told["holds"]) >= float(said(first)["released"])


def test_the_lease_of_a_killed_process_is_taken_at_once(holder):
    first = holder(seconds=60)
    wait_for(first, "holds")
    first.send_signal(signal.SIGKILL)
    first.wait()
    started = time.monotonic()
    assert "the process is gone" in said(holder(seconds=0))["took_over"]
    assert time.monotonic() - started < 1.5


def as_if_of_another_machine(folder: Path) -> None:
    """Of a process on another kernel nobody here can tell whether it lives."""
    path = max(folder.glob("lease.*"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"process": "other-boot pid:[1] 7"}))


def test_one_on_another_machine_is_dead_once_it_shows_no_sign_of_life(holder, tmp_path):
    first = holder(seconds=60)
    wait_for(first, "holds")
    first.send_signal(signal.SIGSTOP)
    as_if_of_another_machine(tmp_path / "checkpoints/job")
    started = time.monotonic()
    told = said(holder(seconds=0.5))
    assert "no sign of life for 1.5 s" in told["took_over"]
    assert 1.5 <= time.monotonic() - started < 6
    # and if it was only asleep, it learns that it has lost its hold
    first.send_signal(signal.SIGCONT)


def test_a_sleeper_that_wakes_up_gives_way(holder, tmp_path):
    first = holder(seconds=60)
    wait_for(first, "holds")
    first.send_signal(signal.SIGSTOP)
    as_if_of_another_machine(tmp_path / "checkpoints/job")
    second = holder(seconds=3)
    wait_for(second, "holds")
    first.send_signal(signal.SIGCONT)
    assert "lost" in said(first)
    assert "released" in said(second)


def test_one_that_computes_what_is_no_longer_wanted_is_told_to_leave(holder):
    first = holder(key="old parameters", seconds=60)
    wait_for(first, "holds")
    second = said(holder(key="new parameters", seconds=0))
    assert "no longer asks for" in second["took_over"]
    assert float(second["holds"]) >= float(said(first)["lost"])


def test_one_that_waits_for_an_obsolete_holder_to_leave_shows_that_it_lives(holder, tmp_path):
    first = holder(key="old parameters", seconds=60)
    wait_for(first, "holds")
    first.send_signal(signal.SIGSTOP)  # it cannot hear that it is to leave
    second = holder(key="new parameters", seconds=0)
    wait_for(second, "took_over")
    time.sleep(0.6)
    assert json.loads((tmp_path / "checkpoints/job/lease.2").read_text())["beat"] >= 3
    assert "released" in said(second)


def test_a_lease_that_is_just_being_written_is_not_taken(tmp_path):
    folder = tmp_path / "checkpoints/job"
    folder.mkdir(parents=True)
    (folder / "lease.4").touch()
    events = []
    lease = Lease(folder, "key", {"host": "here", "pid": 1, "slurm_job": None}, 0.1, 0.8)
    started = time.monotonic()
    lease.acquire(lambda *event: events.append(event[0]), pytest.fail)
    assert time.monotonic() - started >= 0.8
    assert events == ["waiting", "took_over"]
    assert [path.name for path in folder.iterdir()] == ["lease.5"]
    lease.release()
