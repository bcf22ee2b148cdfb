"""A job's log, its hold on its outputs, what it leaves when it is stopped, and the record of what made its results."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from sonolens.jobs import finishing, life, progress, provenance
from sonolens.jobs.lease import Lease

SCRIPTS = Path(__file__).parents[1] / "workflow_scripts"


def run(code: str, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", f"from sonolens.jobs import job\njob.log_to('log')\n{code}"],
        cwd=folder, env={"PYTHONPATH": str(SCRIPTS)}, capture_output=True, text=True,
    )  # fmt: skip


def test_what_is_printed_by_whomever_lands_in_the_log(tmp_path):
    result = run("import os\nprint('python')\nos.system('echo a child')\nos.write(2, b'a library')", tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert {"python", "a child", "a library"} <= set((tmp_path / "log").read_text().splitlines())


def test_an_error_is_on_the_screen_in_a_line_and_in_the_log_in_full(tmp_path):
    result = run("raise ValueError('no such file: x.wav')", tmp_path)
    assert result.returncode == 1
    assert result.stderr == "\nValueError: no such file: x.wav\n(traceback in log)\n"
    assert "Traceback" in (tmp_path / "log").read_text()


def test_a_log_on_a_full_disk_loses_lines_and_no_job(tmp_path):
    code = "job.log_to('/dev/full')\nprint('lost')\nprint('x' * 100_000)\nPath('done').touch()"
    assert run(f"from pathlib import Path\n{code}", tmp_path).returncode == 0
    assert (tmp_path / "done").exists()


def test_threads_are_bounded_for_pools_that_run_and_that_will(tmp_path):
    code = "import os, torch\njob.use_threads(1)\nprint(torch.get_num_threads(), os.environ['OMP_NUM_THREADS'])"
    run(code, tmp_path)
    assert (tmp_path / "log").read_text() == "1 1\n"


JOB = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from snakemake.iocontainers import InputFiles, Namedlist
from sonolens.files import replacing
from sonolens.jobs import job

def named(**values):
    return InputFiles(fromdict=values)

inputs = InputFiles(["code.py", "data.txt"])
inputs._set_name("code", 0, end=1)
inputs._set_name("data", 1)
description = SimpleNamespace(
    rule="square", wildcards=named(x="3"), params=named(seed=5, sizes=(1, 2)), threads=1,
    input=inputs, output=named(first="results/3.txt", second="results/3.bin"),
    log=["logs/square/x~3.log"], resources=named(checkpoint_s=0),
)
with job.running(description) as resumption:
    kept = resumption.folder / "progress"
    done = int(kept.read_text()) if kept.exists() else 0

    def save():
        with replacing(kept) as temporary:
            temporary.write_text(str(done))

    print("starts at", done)
    while done < 5:
        {at_each_step}
        done += 1
        resumption.after(done, 5, "steps", save)
    for path in description.output:
        with replacing(path) as temporary:
            temporary.write_text(f"{{int(Path('data.txt').read_text()) ** 2}}")
    {at_the_end}
"""


@pytest.fixture
def start(tmp_path):
    """A function that starts the job above as a process of its own, doing something more at each step or at the end."""
    (tmp_path / "code.py").write_text("x ** 2")
    (tmp_path / "data.txt").write_text("3")
    started = []

    def begin(at_each_step: str = "pass", at_the_end: str = "pass") -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", JOB.format(at_each_step=at_each_step, at_the_end=at_the_end)],
            cwd=tmp_path, env={"PYTHONPATH": str(SCRIPTS), "PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def events(folder: Path) -> list[str]:
    return [event["event"] for event in life.read(folder / "logs/square/x~3.jsonl")]


def wait_for(found) -> None:
    end = time.monotonic() + 15
    while not found():
        assert time.monotonic() < end
        time.sleep(0.02)


def record_in(folder: Path) -> dict:
    return json.loads((folder / "results/provenance/square/x~3.json").read_text())


def test_a_result_says_what_made_it(start, tmp_path):
    assert start().wait() == 0
    record = record_in(tmp_path)
    of_9 = hashlib.sha256(b"9").hexdigest()
    assert record["outputs"] == {"results/3.txt": of_9, "results/3.bin": of_9}
    assert record["inputs"] == {"data.txt": hashlib.sha256(b"3").hexdigest()}
    assert record["code"] == {"code.py": hashlib.sha256(b"x ** 2").hexdigest()}
    assert record["params"] == {"seed": 5, "sizes": [1, 2]}
    assert (record["rule"], record["wildcards"], record["seed"]) == ("square", {"x": "3"}, 5)
    assert (record["device"], record["gpus"], record["n_interruptions"]) == ("cpu", 0, 0)
    assert record["versions"]["torch"].startswith(torch.__version__.split("+")[0])
    assert 0 < record["wall_seconds"] < 30
    assert events(tmp_path) == ["started", "finished"]


def test_an_interrupted_job_saves_leaves_and_goes_on(start, tmp_path):
    first = start("time.sleep(0.2)")
    wait_for(lambda: list(tmp_path.glob("checkpoints/square/x~3/*/progress")))
    first.send_signal(signal.SIGTERM)
    first.send_signal(signal.SIGTERM)
    _, screen = first.communicate()
    assert first.returncode == 1
    assert re.search(r"interrupted: SIGTERM at \d of 5 steps \(log: logs/square/x~3.log\)", screen)
    assert not list(tmp_path.glob("checkpoints/square/x~3/lease.*"))
    assert start().wait() == 0
    assert events(tmp_path) == ["started", "interrupted", "started", "finished"]
    assert record_in(tmp_path)["n_interruptions"] == 1
    assert record_in(tmp_path)["wall_seconds"] > 0.2
    assert re.search(r"starts at [1-4]", (tmp_path / "logs/square/x~3.log").read_text())


def test_of_a_killed_job_the_next_attempt_says_what_it_found(start, tmp_path):
    first = start("time.sleep(0.2)")
    wait_for(lambda: list(tmp_path.glob("checkpoints/square/x~3/*/progress")))
    first.kill()
    first.wait()
    (tmp_path / "results").mkdir()
    (tmp_path / "results/.3.deadbeef.tmp.txt").write_text("half a result")
    assert start().wait() == 0
    assert events(tmp_path) == ["started", "took_over", "lost", "started", "finished"]
    assert not list(tmp_path.rglob("*.tmp*"))
    assert record_in(tmp_path)["n_interruptions"] == 1


@pytest.mark.parametrize("change", ["code.py", "data.txt"])
def test_what_was_saved_for_other_code_or_data_is_not_picked_up_and_goes(start, tmp_path, change):
    first = start("time.sleep(0.2)")
    wait_for(lambda: list(tmp_path.glob("checkpoints/square/x~3/*/progress")))
    first.send_signal(signal.SIGTERM)
    first.wait()
    (tmp_path / change).write_text("4")
    assert start().wait() == 0
    assert "starts at 0" in (tmp_path / "logs/square/x~3.log").read_text()
    assert not list(tmp_path.glob("checkpoints/square/x~3/*/progress"))
    assert record_in(tmp_path)["n_interruptions"] == 0  # it was another job that was interrupted


def test_a_result_with_other_outputs_is_another_result():
    asked = [["results/a"], ["results/a", "results/b"]]
    assert len({provenance.key("job", {}, {}, {}, outputs) for outputs in asked}) == 2


def test_a_second_job_waits_and_adopts_what_the_first_has_finished(start, tmp_path):
    first = start("time.sleep(0.3)")
    wait_for(lambda: list(tmp_path.glob("checkpoints/square/x~3/lease.*")))
    second = start("raise RuntimeError('computed twice')")
    assert (first.wait(), second.wait()) == (0, 0)
    assert events(tmp_path) == ["started", "waiting", "finished", "adopted"]


def test_a_finished_result_is_kept_for_one_that_starts_after_its_outputs_were_deleted(start, tmp_path):
    assert start().wait() == 0
    record = record_in(tmp_path)
    for name in ("3.txt", "3.bin"):
        (tmp_path / "results" / name).unlink()  # as Snakemake does before a job
    assert start("raise RuntimeError('computed twice')").wait() == 0
    assert (tmp_path / "results/3.txt").read_text() == "9"
    assert record_in(tmp_path) == record
    # but not one that somebody has changed
    (kept,) = tmp_path.glob("checkpoints/square/x~3/*/finished/0")
    kept.write_text("10")
    assert start().wait() == 0
    assert (tmp_path / "results/3.txt").read_text() == "9"
    assert "checkpoint_discarded" in events(tmp_path)


def test_what_is_kept_for_waiting_jobs_goes_when_the_workflow_has_ended(start, tmp_path, monkeypatch):
    assert start().wait() == 0
    monkeypatch.chdir(tmp_path)
    finishing.forget_finished()
    assert list(tmp_path.glob("checkpoints/*")) == []
    assert (tmp_path / "results/3.txt").read_text() == "9"


def test_what_a_lasting_rule_has_finished_is_kept_for_the_next_run(start, tmp_path, monkeypatch):
    assert start().wait() == 0
    monkeypatch.chdir(tmp_path)
    finishing.forget_finished(lasting=["another"])
    assert list(tmp_path.glob("checkpoints/*")) == []
    assert start().wait() == 0
    finishing.forget_finished(lasting=["square"])
    (tmp_path / "results/3.txt").unlink()
    assert start("raise RuntimeError('computed twice')").wait() == 0
    assert events(tmp_path)[-1] == "adopted"


def test_a_failed_job_says_why_and_lets_go(start, tmp_path):
    process = start("raise ValueError('a bad clip')")
    assert "ValueError: a bad clip" in process.communicate()[1]
    assert process.returncode == 1
    last = life.read(tmp_path / "logs/square/x~3.jsonl")[-1]
    assert (last["event"], last["detail"]) == ("failed", "ValueError: a bad clip")
    assert not list(tmp_path.glob("checkpoints/square/x~3/lease.*"))
    assert not (tmp_path / "results/provenance").exists()


def test_an_output_that_was_not_written_is_an_error(start, tmp_path):
    process = start(at_the_end="Path('results/3.bin').unlink()")
    assert "results/3.bin" in process.communicate()[1]
    assert process.returncode == 1
    assert not (tmp_path / "results/provenance").exists()


def test_outside_a_loop_a_signal_ends_the_job_at_once_and_removes_what_is_half_written(start, tmp_path):
    process = start(at_the_end="with replacing('results/3.txt') as t:\n        t.write_text('half'); time.sleep(60)")
    wait_for(lambda: list(tmp_path.glob("results/.3.*.tmp.txt")))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 1
    assert not list(tmp_path.rglob("*.tmp*"))
    assert events(tmp_path) == ["started", "interrupted"]


def test_a_bar_tells_the_lease_how_far_it_is(tmp_path):
    lease = Lease(tmp_path, "key", {})
    progress.is_written_to(lease)
    try:
        with progress.of_bytes("set.zip", 3_000_000, 1_000_000) as bar:
            bar.update(500_000)
            bar.update(500_000)
    finally:
        progress.is_written_to(None)
    assert lease.progress == {"done": 2, "total": 3, "unit": "MB"}
