"""A real SLURM cluster on this machine, the project on it, and what tests ask of both and do to them."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from workflow_project import ENVIRONMENT, ROOT, copy_of_the_project, job_counts

GPU_NODES, GPUS_PER_NODE, CPU_NODES = 3, 1, 1
SETTINGS = {
    "TEST_CLUSTER_GPU_NODES": GPU_NODES,
    "TEST_CLUSTER_GPUS_PER_NODE": GPUS_PER_NODE,
    "TEST_CLUSTER_CPU_NODES": CPU_NODES,
    "TEST_CLUSTER_KILL_WAIT": 10,
    "TEST_CLUSTER_NODE_TIMEOUT": 15,
    "TEST_CLUSTER_MIN_JOB_AGE": 7200,  # what ran is asked for afterwards
}
# The test waits for every answer and every pause, and the machine has few cores: edits of the profile that a user would
# not make. The last makes use of the block at its top.
PROFILE_EDITS = {
    r"^slurm-init-seconds-before-status-checks: .*": "slurm-init-seconds-before-status-checks: 10",
    r"^max-status-checks-per-second: .*": "max-status-checks-per-second: 10",
    r"^latency-wait: .*": "latency-wait: 5",
    r"^jobs: .*": "jobs: 10",
    r"^( +)# gpu_model: a100 ": r"\1gpu_model: pretended ",
}


def wait_until(predicate: Callable[[], Any], timeout_s: float = 60, what: str = "") -> Any:
    """Ask until the answer is true; the answer."""
    end = time.monotonic() + timeout_s
    while not (answer := predicate()):
        assert time.monotonic() < end, f"not within {timeout_s} s: {what or predicate.__name__}"
        time.sleep(0.25)
    return answer


class Job(NamedTuple):
    """A job as the scheduler shows it."""

    id: str
    run: str  # its name, the same for all jobs of one Snakemake
    rule: str
    wildcards: str  # values, joined by _
    state: str
    partition: str
    gpus: int
    node: str
    start: datetime | None  # None: not yet
    end: datetime | None  # of a running one, its time limit
    folder: Path


class Cluster:
    """munged, slurmctld and a slurmd for every pretended node, with what tests ask of them and do to them."""

    n_gpus = GPU_NODES * GPUS_PER_NODE

    def __init__(self) -> None:
        # not below pytest's own folder, which only its user may enter: munged refuses that
        self.state = Path(tempfile.mkdtemp(prefix="sonolens-cluster-"))
        ports = {"TEST_CLUSTER_PORT": free_ports(1 + GPU_NODES + CPU_NODES)}
        settings = {"TEST_CLUSTER_STATE": self.state} | SETTINGS | ports
        path = os.pathsep.join([f"{self.state}/bin", ENVIRONMENT["PATH"], "/usr/sbin", "/sbin"])
        self.environment = ENVIRONMENT | {key: str(value) for key, value in settings.items()}
        self.environment |= {"SLURM_CONF": f"{self.state}/slurm.conf", "PATH": path}

    def up(self) -> None:
        """Start what is not running, and wait until every node can be used."""
        self.run(ROOT / "tests/slurm/up.sh")

    def down(self) -> None:
        """End all jobs, stop all daemons, remove the folder."""
        self.run(ROOT / "tests/slurm/down.sh", "--purge")

    def run(self, *command: str | Path) -> str:
        """Run a command that talks to this cluster; what it printed."""
        result = subprocess.run(
            [str(word) for word in command], env=self.environment, capture_output=True, text=True, timeout=300
        )
        assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
        return result.stdout

    def jobs(self, folder: Path | None = None, rule: str | None = None, state: str | None = None) -> list[Job]:
        """All jobs, also those that ended, oldest first: of one project, one rule, one state ("RUNNING")."""
        fields = ["JobID", "Name", "Comment", "State", "Partition", "tres-per-job", "NodeList", "StartTime", "EndTime"]
        wanted = ",".join(f"{field}:|" for field in [*fields, "WorkDir"])
        lines = self.run("squeue", "--states=all", "--noheader", "--sort=i", "--Format", wanted).splitlines()
        jobs = [_job(line) for line in lines]
        return [
            job
            for job in jobs
            if folder in (None, job.folder) and rule in (None, job.rule) and state in (None, job.state)
        ]

    def processes(self, job: Job) -> dict[int, list[str]]:
        """Processes of a job on any node, with their command lines."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                belongs = f"SLURM_JOB_ID={job.id}\0".encode() in (entry / "environ").read_bytes()
                # another cluster on this machine counts its jobs from 1 as well
                if belongs and (entry / "cwd").readlink() == job.folder:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:  # it ended meanwhile
                continue
        return found

    def script(self, job: Job) -> int:
        """Process id of the Python that runs a job's script, once there is one."""

        def pid():
            return [
                pid
                for pid, command in self.processes(job).items()
                if "python" in command[0] and len(command) > 1 and "/.snakemake/scripts/" in command[1]
            ]

        return wait_until(pid, 60, f"the script of job {job.id} ({job.rule})")[0]

    def lose_node(self, node: str) -> None:
        """What is left of a node whose power fails: nothing. Its slurmd dies, and every process of its jobs."""
        os.kill(int((self.state / f"run/slurmd.{node}.pid").read_text()), signal.SIGKILL)
        for job in self.jobs(state="RUNNING"):
            if job.node == node:
                mine = set(self.processes(job))
                # slurmstepd, the parent of what runs in a step, carries no sign of its job
                steps = {parent for pid in mine if _name(parent := _parent(pid)) == "slurmstepd"}
                # all at once: a slurmstepd that outlives its job by a moment still reports that the job failed
                for pid in steps:
                    _kill(pid, signal.SIGSTOP)
                for pid in steps | mine:
                    _kill(pid, signal.SIGKILL)

    def node_state(self, node: str) -> str:
        return self.run("sinfo", "--noheader", "--Node", "--nodes", node, "--format", "%T").split()[0]


def _job(line: str) -> Job:
    id, name, comment, state, partition, tres, node, start, end, folder, _ = line.split("|")
    rule, _, wildcards = comment.removeprefix("rule_").partition("_wildcards_")
    gpus = int(tres.rpartition(":")[2]) if tres.startswith("gres:gpu") else 0
    times = [None if text == "N/A" else datetime.fromisoformat(text) for text in (start, end)]
    return Job(id, name, rule, wildcards, state, partition, gpus, node, *times, Path(folder))


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _kill(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def free_ports(n: int) -> int:
    """The first of `n` ports in a row that nobody listens to."""
    for first in range(26817, 60000, n):
        sockets = []
        try:
            for port in range(first, first + n):
                sockets.append(socket.create_server(("127.0.0.1", port)))
            return first
        except OSError:
            continue
        finally:
            for each in sockets:
                each.close()
    raise OSError(f"no {n} free ports in a row")


def obstacle() -> str | None:
    """Why there can be no cluster on this machine; None if nothing is known to be in the way."""
    programs = ("munged", "slurmctld", "slurmd", "sbatch")
    search = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    missing = [name for name in programs if not shutil.which(name, path=search)]
    if missing and (os.geteuid() != 0 or not shutil.which("apt-get")):
        return f"{', '.join(missing)} not installed, and installing them takes root and apt-get"
    return None


class Run:
    """A command under way, a main Snakemake mostly. A `with` block waits for its end, or interrupts it on an error."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str], limit_s: int, fails: bool):
        self.fails = fails
        self._file = tempfile.TemporaryFile("w+")  # noqa: SIM115 (open until the process ends)
        # SIGTERM would wait for running jobs; an interrupted Snakemake cancels them
        self.process = subprocess.Popen(
            ["timeout", "--signal=INT", "--kill-after=30", str(limit_s), *command],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=self._file, stderr=subprocess.STDOUT,
        )  # fmt: skip

    @property
    def output(self) -> str:
        # read beside the process, which goes on writing where it was
        return Path(f"/proc/self/fd/{self._file.fileno()}").read_text()

    @property
    def main(self) -> int:
        """Process id of Snakemake itself."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def signal(self, number: int) -> None:
        """Send a signal to Snakemake itself, and to none of its jobs."""
        os.kill(self.main, number)

    def wait(self) -> str:
        """Wait for the end; what was printed."""
        code = self.process.wait()
        assert (code != 0) == self.fails, f"exit code {code}\n{self.output[-8000:]}"
        return self.output

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            self.wait()
        elif self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)


class Project:
    """The project in a folder of the cluster."""

    def __init__(self, folder: Path, cluster: Cluster):
        self.folder = folder
        self.cluster = cluster

    def start(self, *arguments: str, limit_s: int = 600, fails: bool = False) -> Run:
        """Start the README's command, with further arguments."""
        command = [".venv/bin/snakemake", "--profile", "slurm", *arguments]
        return Run(command, self.folder, self.cluster.environment, limit_s, fails)

    def snakemake(self, *arguments: str, limit_s: int = 600, fails: bool = False) -> str:
        """The same, to its end; what it printed."""
        with self.start(*arguments, limit_s=limit_s, fails=fails) as run:
            return run.wait()

    def planned(self, *arguments: str) -> dict[str, int]:
        """Jobs per rule that a run would start now."""
        return job_counts(self.snakemake("--dry-run", *arguments))

    def laid_over(self, **changes: dict) -> list[str]:
        """Arguments that lay changes over the experiment."""
        (self.folder / "changed.yaml").write_text(yaml.safe_dump(changes))
        return ["--configfile", "config.yaml", "changed.yaml"]

    def jobs(self, rule: str | None = None, state: str | None = None) -> list[Job]:
        """Jobs of this project, also those that ended, oldest first."""
        return self.cluster.jobs(self.folder, rule, state)

    def running(self, rule: str, timeout_s: float = 60) -> Job:
        """The latest job of a rule, once it runs."""
        return wait_until(lambda: self.jobs(rule, "RUNNING"), timeout_s, f"a job of {rule} runs")[-1]

    def life(self, job: str) -> list[dict]:
        """What befell a job ("train_sae/minivae/dim~64/lam~0.05"), attempt after attempt."""
        path = self.folder / f"logs/{job}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def events(self, job: str) -> list[str]:
        """The names of those events."""
        return [entry["event"] for entry in self.life(job)]


# What the tests' user does to a file that the README has them edit
EDITOR = """#!/bin/sh
empty='accepted_licences: \\[\\]'
case "$1" in
  profiles/slurm/profile.yaml) cp {profile} "$1" ;;
  config.yaml) grep -q "$empty" "$1" && sed -i "s/$empty/accepted_licences: [cc-by-nc-4.0]/" "$1" ;;
  *) echo "nobody said what to do with $1" >&2; exit 1 ;;
esac
"""


def readme_commands() -> list[str]:
    """The commands in the README's section on SLURM, up to the end of the first block."""
    section = (ROOT / "README.md").read_text().partition("\n## On a SLURM cluster\n")[2]
    return re.search(r"```sh\n(.*?)```", section, re.DOTALL).group(1).splitlines()


def small_experiment(folder: Path) -> dict:
    """config.yaml with the overlays laid over it."""
    config: dict = {}
    for name in ("config.yaml", "tests/smoke.yaml", "tests/slurm/smaller.yaml"):
        config = _merged(config, yaml.safe_load((folder / name).read_text()))
    return config


def _merged(below: dict, above: dict) -> dict:
    """Mappings merge, all else is replaced, as Snakemake does it."""
    both = {key: _merged(below[key], above[key]) for key in below.keys() & above.keys() if isinstance(above[key], dict)}
    return below | above | both


def edited_profile(text: str) -> str:
    """The profile as the tests' user leaves it."""
    for pattern, replacement in PROFILE_EDITS.items():
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        assert count == 1, f"{count} lines of the profile are like {pattern}"
    return text


def follow_the_readme(folder: Path, cluster: Cluster) -> Project:
    """Do what the README's section on SLURM says, in `folder`, to its end."""
    source = copy_of_the_project(folder / "source")
    (source / "config.yaml").write_text(yaml.safe_dump(small_experiment(source), sort_keys=False))
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        named = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *command]
        subprocess.run(named, cwd=source, check=True)
    profile = folder / "profile.yaml"
    profile.write_text(edited_profile((source / "profiles/slurm/profile.yaml").read_text()))
    editor = folder / "editor"
    editor.write_text(EDITOR.format(profile=shlex.quote(str(profile))))
    editor.chmod(0o755)
    clone, *others = readme_commands()
    # What make would install takes minutes; what the tests run with is the same.
    installed = f"ln -s {shlex.quote(sys.prefix)} .venv"
    script = "\n".join([clone.replace("<this repository>", shlex.quote(str(source))), installed, *others])
    environment = cluster.environment | {"EDITOR": str(editor)}
    with Run(["bash", "-euo", "pipefail", "-c", script], folder, environment, 900, fails=False):
        pass
    return Project(folder / "sonolens", cluster)
