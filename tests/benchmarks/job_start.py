"""What it costs to start one job of the workflow, beside its plain script and beside what Snakemake itself costs.

    python tests/benchmarks/job_start.py

The job lists a folder of three files (rule fetch_dataset, module folder), which takes no time. It is run

    plain      as a Python script that calls the same function of the library
    bare       by Snakemake, with a Snakefile of one rule that runs this script
    workflow   by Snakemake, with the workflow's Snakefile and the paper's experiment (3 encoders, five datasets)

the latter two as a cluster's node does it: this rule only, forced, without a lock. Rounds are interleaved, so that a
machine's mood meets all three; the fastest counts. One JSON line a figure: seconds of each, of the clock and of the
processor, then the ratios of processor time.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from planning import ENVIRONMENT, PAPER, copy_of_the_project

TARGET = "resources/datasets/mine/files.parquet"
OPTIONS = {"path": "mine", "pattern": ["*.wav"], "split_by": "file", "table": None}
PLAIN = f"""
from sonolens.datasets import files

files.fetch("folder", "{TARGET}", {OPTIONS}, files.Making(seed=0, n_workers=1))
"""
BARE = f"""
rule fetch_dataset:
    input: "plain.py",
    output: "{TARGET}",
    script: "plain.py"
"""
AS_A_NODE = ["--cores", "1", "--force", "--nolock", "--allowed-rules", "fetch_dataset", "--quiet", "all", "--", TARGET]


def prepare(folder: Path) -> None:
    copy_of_the_project(folder)
    (folder / "mine").mkdir()
    for name in ("a", "b", "c"):
        (folder / "mine" / f"{name}.wav").write_bytes(b"RIFF")
    mine = {"name": "mine", "module": "folder", "path": "mine", "pattern": ["*.wav"]}
    (folder / "overlay.yaml").write_text(yaml.safe_dump(PAPER | {"datasets": [*PAPER["datasets"], mine]}))
    (folder / "plain.py").write_text(PLAIN)
    (folder / "bare.smk").write_text(BARE)


def seconds(folder: Path, command: list[str]) -> tuple[float, float]:
    """(of the clock, of the processor) that a command and the processes it starts take."""
    (folder / TARGET).unlink(missing_ok=True)
    environment = ENVIRONMENT | {"PYTHONPATH": str(folder / "workflow_scripts")}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    elapsed, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode or not (folder / TARGET).is_file():
        sys.exit(f"{' '.join(command)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return elapsed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    commands = {
        "plain": [sys.executable, "plain.py"],
        "bare": ["snakemake", "--snakefile", "bare.smk", *AS_A_NODE],
        "workflow": ["snakemake", "--configfile", "config.yaml", "overlay.yaml", *AS_A_NODE],
    }
    taken = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        for _ in range(arguments.rounds):
            for kind, command in commands.items():
                taken[kind].append(seconds(Path(name), command))
    processor = {}
    for kind, rounds in taken.items():
        clock_s, processor[kind] = (min(column) for column in zip(*rounds, strict=True))
        line = {"figure": "job_start_seconds", "of": kind, "seconds": round(clock_s, 2)}
        print(json.dumps(line | {"processor_seconds": round(processor[kind], 2)}))
    print(
        json.dumps(
            {
                "figure": "job_start_ratio",
                "workflow_to_bare": round(processor["workflow"] / processor["bare"], 2),
                "workflow_to_plain": round(processor["workflow"] / processor["plain"], 2),
                "bare_to_plain": round(processor["bare"] / processor["plain"], 2),
            }
        )
    )


if __name__ == "__main__":
    main()
