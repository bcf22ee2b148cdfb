"""What nights do to a grid, done to it on purpose: every fault is real, and so is what it is done to.

Trainings are frozen (SIGSTOP) while something is done to them, so that nothing depends on how fast they are.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from slurm_cluster import Job, Project, wait_until

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]
pytest_plugins = ["slurm_fixtures"]

# λ is a name here: of the fault that its cell suffers.
CANCELLED, KILLED, LIMIT, NEAR_LIMIT, MEMORY, NODE, DISK = 0.001, 0.002, 0.003, 0.004, 0.006, 0.007, 0.008
LAMS = [CANCELLED, KILLED, LIMIT, NEAR_LIMIT, MEMORY, NODE, DISK]
LONG_TRAINING = {"sae": {"lams": LAMS, "steps": 10000}, "jobs": {"checkpoint_seconds": 1}}
# Too little memory at the first attempt for one cell, and too little time for another.
TIGHT = f"""\
    mem_mb: "250 * 8 ** (attempt - 1) if wildcards.get('lam') == '{MEMORY}' else 2000"
    runtime: "1 if wildcards.get('lam') == '{NEAR_LIMIT}' and attempt == 1 else 10"
"""


def cell(lam: float) -> str:
    return f"minivae/dim~64/lam~{lam}"


def files_of(lams: list[float]) -> list[str]:
    return [f"results/saes/{cell(lam)}/metrics.json" for lam in lams]


def saved(project: Project, lam: float) -> list[Path]:
    """What the training of a cell has saved, oldest first."""
    return sorted(project.folder.glob(f"checkpoints/train_sae/{cell(lam)}/*/state~*.ckpt"))


def job_of(project: Project, lam: float) -> Job:
    """The job that runs a cell, once it does."""
    wildcards = f"minivae_64_{lam}"
    wait_until(
        lambda: any(job.wildcards == wildcards for job in project.jobs("train_sae", "RUNNING")), 180, f"λ = {lam} runs"
    )
    return next(job for job in project.jobs("train_sae", "RUNNING") if job.wildcards == wildcards)


@contextmanager
def frozen(project: Project, lam: float) -> Iterator[tuple[Job, int]]:
    """The job of a cell and its script's process id, stopped in the middle of its training."""
    job = job_of(project, lam)
    pid = project.cluster.script(job)
    wait_until(lambda: saved(project, lam), 120, f"λ = {lam} saves its state")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield job, pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """A file system of its own in `folder`, with too little space."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def prepared(on_the_cluster: Project, folder: Path) -> Project:
    """A copy of the finished run whose experiment is the grid of this module."""
    project = Project(Path(shutil.copytree(on_the_cluster.folder, folder, symlinks=True)), on_the_cluster.cluster)
    shutil.rmtree(project.folder / "results/saes")
    profile = project.folder / "profiles/slurm/profile.yaml"
    profile.write_text(profile.read_text().replace("train_sae: &gpu\n", "train_sae: &gpu\n" + TIGHT, 1))
    project.laid_over(**LONG_TRAINING)
    return project


OVERLAY = ["--configfile", "config.yaml", "changed.yaml"]


@pytest.fixture(scope="module")
def undisturbed(on_the_cluster, tmp_path_factory) -> Path:
    """The cells' folder after a run to which nothing happens, here and not on the cluster."""
    project = prepared(on_the_cluster, tmp_path_factory.mktemp("undisturbed") / "project")
    command = [".venv/bin/snakemake", "--cores", "2", *files_of(LAMS), *OVERLAY]
    done = subprocess.run(command, cwd=project.folder, env=project.cluster.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-6000:]
    return project.folder / "results/saes"


def cancel(project: Project) -> None:
    with frozen(project, CANCELLED) as (job, _):
        project.cluster.run("scancel", job.id)


def kill(project: Project) -> None:
    with frozen(project, KILLED) as (_, pid):
        os.kill(pid, signal.SIGKILL)


def strike_at_the_limit(project: Project) -> None:
    with frozen(project, LIMIT) as (job, pid):
        project.cluster.run("scontrol", "update", f"JobId={job.id}", "TimeLimit=1")
        wait_until(lambda: not alive(pid), 180, "the time limit strikes")


def come_near_the_limit(project: Project) -> None:
    """A slow node: when the job wakes up, less than a quarter of its minute is left."""
    with frozen(project, NEAR_LIMIT) as (job, _):
        time.sleep(max(0, 50 - (datetime.now() - job.start).total_seconds()))


def lose_the_node(project: Project) -> None:
    with frozen(project, NODE) as (job, _):
        project.cluster.lose_node(job.node)
        wait_until(lambda: project.cluster.node_state(job.node).startswith("down"), 90, "the node is missed")
        project.cluster.up()


def fill_the_disk(project: Project) -> None:
    """It was too small from the start; somebody makes room once the job has failed."""
    wait_until(lambda: "failed" in project.events(f"train_sae/{cell(DISK)}"), 300, "the disk is full")
    subprocess.run(["mount", "-o", "remount,size=10m", disk_of(project)], check=True)


FAULTS = [cancel, kill, strike_at_the_limit, come_near_the_limit, lose_the_node, fill_the_disk]


def disk_of(project: Project) -> Path:
    return project.folder / f"results/saes/{cell(DISK)}"


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.fixture(scope="module")
def night(on_the_cluster, tmp_path_factory) -> Project:
    """The project after a run in which every cell met its fault."""
    project = prepared(on_the_cluster, tmp_path_factory.mktemp("night") / "project")
    disk, kept = disk_of(project), project.folder / "kept"
    with small_disk(disk, 24), project.start(*files_of(LAMS), *OVERLAY, limit_s=900) as run:
        with ThreadPoolExecutor(len(FAULTS)) as threads:
            for done in [threads.submit(fault, project) for fault in FAULTS]:
                done.result()
        run.wait()
        shutil.copytree(disk, kept)
    shutil.copytree(kept, disk, dirs_exist_ok=True)
    shutil.rmtree(kept)
    return project


def equal_cells(one: Path, other: Path) -> None:
    """Assert that two folders hold the same cell, wall time aside."""
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert (one / "config.json").read_bytes() == (other / "config.json").read_bytes()
    histories = [pd.read_parquet(folder / "history.parquet") for folder in (one, other)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (one, other)]
    for measured in metrics:
        assert measured.pop("train_seconds") > 0
        assert measured.pop("frames_per_s") > 0
    assert metrics[0] == metrics[1]


@pytest.mark.parametrize("lam", LAMS)
def test_every_cell_is_that_of_an_undisturbed_run(night, undisturbed, lam):
    equal_cells(night.folder / f"results/saes/{cell(lam)}", undisturbed / cell(lam))


@pytest.mark.parametrize("lam", LAMS)
def test_every_cell_was_finished_once_and_says_how_often_it_was_interrupted(night, lam):
    events = night.events(f"train_sae/{cell(lam)}")
    assert events.count("finished") == 1
    assert events[-1] == "finished"
    record = json.loads((night.folder / f"results/provenance/train_sae/{cell(lam)}.json").read_text())
    # one that dies of too little memory may do so before it has begun, while its packages are loaded
    assert record["n_interruptions"] == events.count("started") - 1 >= (lam != MEMORY)


@pytest.mark.parametrize(
    ("lam", "said"),
    [
        (CANCELLED, ["interrupted", "SIGTERM at"]),
        (KILLED, ["lost", "ended without a word"]),
        (LIMIT, ["interrupted", "SIGTERM at"]),
        (NEAR_LIMIT, ["interrupted", "the time limit is near at"]),
        (NODE, ["lost", "ended without a word"]),
        (DISK, ["failed", "No space left on device"]),
    ],
)
def test_what_happened_stands_in_one_place(night, lam, said):
    event, detail = said
    assert any(
        entry["event"] == event and detail in entry["detail"] for entry in night.life(f"train_sae/{cell(lam)}")
    ), night.life(f"train_sae/{cell(lam)}")


def test_the_status_command_tells_of_all_of_them(night):
    command = [".venv/bin/python", "workflow_scripts/status.py", "--all", *OVERLAY]
    told = subprocess.run(
        command, cwd=night.folder, env=night.cluster.environment, capture_output=True, text=True, check=True
    ).stdout
    assert re.search(rf"^train_sae .* {len(LAMS)} of +{len(LAMS)} done", told, re.MULTILINE)
    for lam, event in [(CANCELLED, "interrupted"), (KILLED, "lost"), (NODE, "lost"), (DISK, "failed")]:
        assert re.search(rf"{re.escape(cell(lam))}  {event}: ", told), told


@pytest.mark.parametrize("lam", [CANCELLED, KILLED, LIMIT, NEAR_LIMIT, NODE, DISK])
def test_a_cell_went_on_where_it_was(night, lam):
    assert "resumed" in night.events(f"train_sae/{cell(lam)}")


def test_the_scheduler_saw_the_faults(night):
    states = {job.wildcards: [] for job in night.jobs("train_sae")}
    for job in night.jobs("train_sae"):
        states[job.wildcards].append(job.state)
    assert states[f"minivae_64_{CANCELLED}"][0] == "CANCELLED"
    assert states[f"minivae_64_{LIMIT}"][0] == "TIMEOUT"
    assert states[f"minivae_64_{NODE}"][0] == "NODE_FAIL"
    # without cgroups SLURM sees it by polling, and calls it no more than a failure; its log says why
    assert states[f"minivae_64_{MEMORY}"][0] in ("FAILED", "OUT_OF_MEMORY")
    logs = night.folder.glob(f".snakemake/slurm_logs/rule_train_sae/minivae_64_{MEMORY}/*.log")
    assert any("memory limit" in log.read_text() for log in logs)
    assert all(ended[-1] == "COMPLETED" for ended in states.values())


def test_nothing_temporary_is_left(night):
    left = [path for path in night.folder.rglob("*.tmp*") if ".snakemake" not in path.parts]
    left += night.folder.glob("checkpoints/**/lease.*")
    left += night.folder.glob("checkpoints/**/state~*")
    # what is kept on purpose is of jobs that are planned anew whenever a cell is chosen: the Snakefile's `lasting`
    left += night.folder.glob("checkpoints/train_sae/**/finished")
    assert left == []


def test_a_second_run_finds_nothing_to_do(night):
    assert night.planned(*files_of(LAMS), *OVERLAY) == {}


def test_a_main_process_that_was_killed_while_jobs_run(on_the_cluster, undisturbed, tmp_path):
    project = prepared(on_the_cluster, tmp_path / "project")
    lams = [CANCELLED, KILLED]
    first = project.start(*files_of(lams), *OVERLAY)
    with frozen(project, CANCELLED), frozen(project, KILLED):
        first.signal(signal.SIGKILL)
        first.process.wait()
        project.snakemake("--unlock")
        second = project.start(*files_of(lams), *OVERLAY)
        # one of the two new jobs has the third GPU and waits there, the other one waits for a GPU
        told = [f"train_sae/{cell(lam)}" for lam in lams]
        wait_until(lambda: any("waiting" in project.events(job) for job in told), 120, "one waits")
    second.wait()
    for lam in lams:
        events = project.events(f"train_sae/{cell(lam)}")
        assert (events.count("started"), events.count("finished"), events.count("adopted")) == (1, 1, 1), events
        equal_cells(project.folder / f"results/saes/{cell(lam)}", undisturbed / cell(lam))
    assert project.planned(*files_of(lams), *OVERLAY) == {}


def test_a_main_process_that_was_killed_and_jobs_that_ended_unwatched(on_the_cluster, undisturbed, tmp_path):
    project = prepared(on_the_cluster, tmp_path / "project")
    first = project.start(*files_of([KILLED]), *OVERLAY)
    job = job_of(project, KILLED)
    first.signal(signal.SIGKILL)
    first.process.wait()
    wait_until(lambda: job.id in [each.id for each in project.jobs(state="COMPLETED")], 180, "the job ends")
    project.snakemake("--unlock")
    project.snakemake(*files_of([KILLED]), *OVERLAY)
    assert project.events(f"train_sae/{cell(KILLED)}").count("started") == 1
    equal_cells(project.folder / f"results/saes/{cell(KILLED)}", undisturbed / cell(KILLED))
    # Snakemake may know nothing of how this cell was made; the audit does.
    assert f"train_sae/{cell(KILLED)}" not in audited(project)
    project.laid_over(**LONG_TRAINING | {"sae": LONG_TRAINING["sae"] | {"learning_rate": 0.002}})
    line = rf"stale +train_sae/{re.escape(cell(KILLED))}: params learning_rate 0.001 → 0.002"
    assert re.search(line, audited(project))


def audited(project: Project) -> str:
    """What the audit says of every result that is not current."""
    command = [".venv/bin/python", "workflow_scripts/audit.py", *OVERLAY, "--each"]
    done = subprocess.run(command, cwd=project.folder, env=project.cluster.environment, capture_output=True, text=True)
    assert "results are made by the present code and config" in done.stdout, done.stderr
    assert done.returncode == 1  # most of the grid is missing here
    return done.stdout


def test_a_damaged_checkpoint_costs_time_and_nothing_else(on_the_cluster, undisturbed, tmp_path):
    project = prepared(on_the_cluster, tmp_path / "project")
    with suppress(AssertionError), project.start(*files_of([KILLED]), *OVERLAY) as run, frozen(project, KILLED):
        run.signal(signal.SIGINT)  # Ctrl-C: it cancels its jobs
        run.process.wait()
    wait_until(lambda: not project.jobs("train_sae", "RUNNING"), 60, "the job is gone")
    newest = saved(project, KILLED)[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    project.snakemake(*files_of([KILLED]), *OVERLAY)
    events = project.events(f"train_sae/{cell(KILLED)}")
    assert "checkpoint_discarded" in events
    equal_cells(project.folder / f"results/saes/{cell(KILLED)}", undisturbed / cell(KILLED))
