"""What is told of a workflow from the files that its jobs leave behind."""

import json
import os
import re
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sonolens.jobs import lease, provenance
from sonolens.overview import watching_text
from sonolens.overview.planned import PlannedJob
from sonolens.overview.watching import Sighting, State, Watcher
from sonolens.overview.wording import age, size

NOW = float(round(time.time()))  # events are dated to the second
HERE, ELSEWHERE = socket.gethostname(), "another-node"
# a process number that no process has
GONE = int(Path("/proc/sys/kernel/pid_max").read_text()) + 1
JOB = PlannedJob(
    "train_sae/minivae/lam~0.1",
    "train_sae",
    {},
    [],
    [],
    ["results/model", "results/metrics"],
    "slurm_logs/rule_train_sae/minivae_0.1",
)


@pytest.fixture(autouse=True)
def _in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def put(path: str | Path, text: str = "", ago_s: float = 0.0) -> None:
    """Write a file as it would have been some seconds ago."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    os.utime(path, (NOW - ago_s, NOW - ago_s))


def happen(*events: str, job: PlannedJob = JOB, ago_s: float = 60.0, **who) -> None:
    """Append events ("failed: why") to a job's life."""
    path = Path(f"logs/{job.name}.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as journal:
        for text in events:
            event, _, detail = text.partition(": ")
            when = datetime.fromtimestamp(NOW - ago_s, UTC).isoformat(timespec="seconds")
            line = {"time": when, "event": event, "attempt": "a1", "host": ELSEWHERE, "pid": 1, "slurm_job": None}
            journal.write(json.dumps(line | {"detail": detail} | who) + "\n")


def beat(ago_s: float, number: int = 1, **content) -> None:
    """The holder of JOB gives a sign of life."""
    who = {"host": ELSEWHERE, "pid": 1, "slurm_job": "4711"}
    put(f"checkpoints/{JOB.name}/lease.{number}", json.dumps(who | content), ago_s)


def finish(job: PlannedJob = JOB) -> None:
    """Write what a job makes, and its record."""
    for path in job.outputs:
        put(path, f"{path} {job.params}")
    record = {"params": job.params, "versions": {}}
    for kind, paths in (("code", job.code), ("inputs", job.inputs), ("outputs", job.outputs)):
        record[kind] = {path: provenance.sha256(path) for path in paths}
    put(provenance.record_path(job.name), json.dumps(record))


def look(cluster: dict[str, bool] | None = None) -> Sighting:
    """JOB as it looks now. cluster: which of its jobs have ended; None where nobody can be asked."""
    return Watcher([JOB], (cluster or {}).get).look(NOW)[0]


def described(jobs: list[PlannedJob], width: int = 200, is_whole: bool = False) -> str:
    return watching_text.describe(Watcher(jobs, {}.get).look(NOW), NOW, width, is_whole)


def test_what_nothing_is_known_of_waits():
    assert look()[1:3] == (State.WAITING, "")


def test_done_is_what_is_there_and_recorded():
    finish()
    assert look()[1:3] == (State.DONE, "")
    provenance.record_path(JOB.name).unlink()
    assert look()[1:3] == (State.DONE, "without a record")
    Path(JOB.outputs[0]).unlink()
    assert look().state is State.WAITING


CHAIN = [
    PlannedJob("train/a", "train", {"steps": 1}, ["train.py"], [], ["results/a"]),
    PlannedJob("probe/a", "probe", {}, ["probe.py"], ["results/a"], ["results/b"]),
    PlannedJob("table", "table", {}, ["table.py"], ["results/b"], ["results/c"]),
]


@pytest.fixture
def chain():
    """A function that gives the states of three jobs, each made from the one before; all are done."""
    for name in ("train.py", "probe.py", "table.py"):
        put(name, name)
    for job in CHAIN:
        finish(job)
    watcher = Watcher(CHAIN, {}.get)
    return lambda: [str(sighting.state) for sighting in watcher.look(NOW)]


def test_what_an_edit_concerns_is_outdated(chain):
    assert chain() == ["done"] * 3
    Path("probe.py").write_text("edited code")
    assert chain() == ["done", "outdated", "outdated"]
    Path("probe.py").write_text("probe.py")
    assert chain() == ["done"] * 3
    other = [CHAIN[0]._replace(params={"steps": 2}), *CHAIN[1:]]
    assert [sighting.state for sighting in Watcher(other, {}.get).look(NOW)] == ["outdated"] * 3


def test_what_follows_from_a_job_that_is_not_done_is_outdated(chain):
    Path("results/a").unlink()
    assert chain() == ["waiting", "outdated", "outdated"]
    finish(CHAIN[0])
    assert chain() == ["done"] * 3  # made again with the same content


def test_what_was_made_from_an_earlier_content_is_outdated(chain):
    put("results/a", "other content")
    record = json.loads(provenance.record_path("train/a").read_text())
    record["outputs"]["results/a"] = provenance.sha256("results/a")
    put(provenance.record_path("train/a"), json.dumps(record))
    assert chain() == ["done", "outdated", "outdated"]


def test_without_a_record_nothing_is_called_outdated(chain):
    provenance.record_path("train/a").unlink()
    Path("train.py").write_text("edited")
    assert chain() == ["done"] * 3


def test_a_holder_that_beats_is_running_whatever_was_said_before():
    happen("started", "failed: ValueError: boom", "started", "waiting: for another")
    beat(10, done=400, total=1000, unit="steps")
    found = look()
    assert found.state is State.RUNNING
    line = next(line for line in described([JOB]).splitlines() if "steps" in line)
    assert "train_sae/minivae/lam~0.1  400 of 1000 steps (40%)  on another-node, cluster job 4711" in line
    assert line.endswith("heard of 10 s ago")


def test_the_newest_lease_counts():
    happen("started")
    beat(lease.EXPIRY_S + 100, number=9)
    beat(5, number=10)
    assert look().state is State.RUNNING


def test_a_holder_that_is_silent_for_too_long_is_lost():
    happen("started")
    beat(lease.EXPIRY_S - 1)
    assert look().state is State.RUNNING
    beat(lease.EXPIRY_S + 1)
    assert look()[1:3] == (State.LOST, f"no sign of life for {age(lease.EXPIRY_S + 1)}")


def test_a_holder_on_this_machine_whose_process_is_gone_is_lost_at_once():
    kernel, _, started = lease.Lease(Path(), "key", {}).who["process"].rpartition(" ")
    happen("started", host=HERE, pid=GONE)
    beat(1, host=HERE, pid=GONE, process=f"{kernel} 1")
    assert look()[1:3] == (State.LOST, f"process {GONE} is gone")
    beat(1, host=HERE, pid=os.getpid(), process=f"{kernel} {started}")
    assert look().state is State.RUNNING
    beat(1, host=HERE, pid=os.getpid(), process=f"{kernel} {started}1")  # another one has its number now
    assert look().state is State.LOST


def test_a_lease_that_is_just_being_written_is_alive():
    put(f"checkpoints/{JOB.name}/lease.1", "{", 0)
    assert look().state is State.RUNNING


def test_a_failure_is_told_with_its_reason_and_where_to_read_on():
    put(f"logs/{JOB.name}.log", "Traceback ...")
    happen("started", "failed: OutOfMemoryError: CUDA out of memory")
    found = look()
    assert found[1:3] == (State.FAILED, "OutOfMemoryError: CUDA out of memory")
    text = described([JOB])
    assert "train_sae/minivae/lam~0.1  OutOfMemoryError: CUDA out of memory (another-node, " in text
    assert f"logs/{JOB.name}.log" in text
    happen("started", host=HERE, pid=os.getpid())
    assert look().state is State.RUNNING


def test_what_was_interrupted_waits_to_be_gone_on_with():
    happen("started", "interrupted: SIGTERM at 400 of 1000 steps")
    assert look()[1:3] == (State.WAITING, "interrupted: SIGTERM at 400 of 1000 steps")
    assert "to be made again\n  train_sae/minivae/lam~0.1  interrupted: SIGTERM" in described([JOB])


def test_what_was_finished_and_is_gone_waits():
    happen("started", "finished")
    assert look()[1:3] == (State.WAITING, "")


@pytest.mark.parametrize(
    ("has_ended", "state", "detail"),
    [
        (True, State.LOST, "cluster job 4711 has ended"),
        (False, State.RUNNING, "started 60 s ago"),
        (None, State.RUNNING, "started 60 s ago, unknown"),
    ],
)
def test_without_a_lease_the_cluster_is_asked(has_ended, state, detail):
    happen("started", slurm_job="4711")
    assert look({"4711": has_ended})[1:3] == (state, detail)


@pytest.mark.parametrize(
    ("has_ended", "state", "detail"),
    [
        (True, State.FAILED, "cluster job 4712 ended before its script could say anything"),
        (False, State.RUNNING, "cluster job 4712 began 30 s ago"),
        (None, State.RUNNING, "cluster job 4712 began 30 s ago, unknown"),
    ],
)
def test_an_attempt_that_never_spoke_is_known_by_the_clusters_log(has_ended, state, detail):
    happen("started", "interrupted: SIGTERM", slurm_job="4711")
    put(f"{JOB.cluster_logs}/4711.log", ago_s=60)
    assert look({"4712": has_ended}).state is State.WAITING
    put(f"{JOB.cluster_logs}/4712.log", "ImportError: no such library", ago_s=30)
    found = look({"4712": has_ended})
    assert found[1:3] == (state, detail)
    assert found.logs == [f"{JOB.cluster_logs}/4712.log"]


def test_the_cluster_is_asked_no_more_than_needed():
    jobs = [JOB._replace(name=f"train_sae/lam~{number}", outputs=[f"results/{number}"]) for number in range(3)]
    for number, job in enumerate(jobs):
        happen("started", job=job, slurm_job=str(number))
    asked = []
    answers = {"0": True, "1": None, "2": False}
    watcher = Watcher(jobs, lambda job_id: asked.append(job_id) or answers[job_id])
    assert [sighting.state for sighting in watcher.look(NOW)] == ["lost", "running", "running"]
    assert asked == ["0", "1"]  # it did not answer
    watcher.look(NOW)
    assert asked == ["0", "1", "1"]  # what is over stays over
    answers["1"] = False
    watcher.look(NOW)
    assert asked == ["0", "1", "1", "1", "2"]


def test_a_journal_is_read_again_when_it_has_grown():
    watcher = Watcher([JOB], {}.get)
    happen("started", "failed: first")
    assert watcher.look(NOW)[0].detail == "first"
    happen("failed: second")
    assert watcher.look(NOW)[0].detail == "second"


def test_stages_add_up_and_figures_are_one():
    finish()
    other = JOB._replace(name="train_sae/minivae/lam~0.2", outputs=["results/other"])
    happen("failed: boom", job=other)
    waiting = JOB._replace(name="train_sae/minivae/lam~0.3", outputs=["results/third"])
    figures = [PlannedJob(name, name, {}, [], [], [name]) for name in ("figure_a", "figure_b")]
    lines = described([JOB, other, waiting, *figures]).splitlines()
    assert lines[0] == f"train_sae  {'█' * 8}{'░' * 16}  1 of 3 done  1 waiting, 1 failed"
    assert lines[1] == f"figures    {'░' * 24}  0 of 2 done  2 waiting"
    assert lines[2].startswith("all ")
    assert "1 of 5 done" in lines[2]


def test_what_happened_is_told_in_the_order_of_time_without_the_ordinary():
    finish()
    other = JOB._replace(name="train_codec/minivae", rule="train_codec")
    happen("started", "interrupted: the time limit is near", ago_s=300)
    happen("checkpoint_discarded: state is damaged", job=other, ago_s=200)
    happen("resumed: at step 400 of 1000", "finished", ago_s=100)
    story = described([JOB, other]).partition("what happened\n")[2].splitlines()
    assert [line.split("  ", 2)[-1].strip() for line in story] == [
        "train_sae/minivae/lam~0.1  interrupted: the time limit is near",
        "train_codec/minivae  checkpoint discarded: state is damaged",
        "train_sae/minivae/lam~0.1  resumed: at step 400 of 1000",
    ]


def test_what_happened_on_another_day_is_told_with_its_date_apart_from_the_job():
    finish()
    happen("started", "interrupted: the time limit is near", ago_s=3 * 86400)
    (line,) = described([JOB]).partition("what happened\n")[2].splitlines()
    assert re.fullmatch(r"  \d{4}-\d\d-\d\d \d\d:\d\d  train_sae/minivae/lam~0.1  interrupted: .*", line)


def test_only_the_last_events_are_told_and_long_lists_are_cut():
    jobs = [JOB._replace(name=f"train_sae/lam~{number}", outputs=[f"results/{number}"]) for number in range(30)]
    for number, job in enumerate(jobs):
        happen(f"failed: reason {number:02d}", job=job, ago_s=1000 - number)
    text = described(jobs)
    assert "failed (20 of 30; --all shows them)\n" in text
    story = text.partition("what happened (15 of 30; --all shows them)\n")[2]
    assert len(story.splitlines()) == 15
    assert "reason 14" not in story
    assert story.rstrip().endswith("reason 29")
    whole = described(jobs, is_whole=True)
    assert "--all" not in whole
    assert len(whole.partition("what happened\n")[2].splitlines()) == 30
    assert all(f"reason {number:02d}" in whole.partition("what happened\n")[0] for number in range(30))


def test_lines_are_no_longer_than_the_terminal():
    happen("failed: " + "x" * 300)
    lines = described([JOB], width=80).splitlines()
    assert max(map(len, lines)) == 80
    assert any(line.endswith("x…") for line in lines)


def test_spans_and_sizes_in_words():
    assert [age(seconds) for seconds in (-3, 119, 120, 7199, 7200, 172800)] == [
        "0 s", "119 s", "2 min", "120 min", "2 h", "2 days",
    ]  # fmt: skip
    assert [size(n) for n in (0, 999, 123456, 5e9, 2e15)] == ["0 B", "999 B", "123 kB", "5 GB", "2e+03 TB"]
