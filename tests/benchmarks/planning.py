"""Time to plan the paper's whole experiment on a cluster, and ten times as many cells.

    python tests/benchmarks/planning.py

The paper's: 3 encoders, 7 dictionary sizes, 6 λ, 3 attributes, five datasets; then 60 λ. Nothing has been made yet, so
that every job is planned. One JSON line a figure: jobs and seconds of each plan, of the clock and of the processor,
then how it grows: processor seconds per cell, and per job, of the larger to those of the smaller plan. 1 is linear.
Jobs of cells have more inputs than others, every shard of latents, so that per job it cannot be below 1.
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
PAPER = {"downloads": {"accepted_licences": ["stability-ai-community", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"]}}
LAMS = [0.005, 0.01, 0.02, 0.05, 0.1, 0.15]


def copy_of_the_project(folder: Path) -> None:
    """The files that git knows or would add, so that nothing that was made here is found there."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name, follow_symlinks=False)


class Plan(NamedTuple):
    """What a plan took, and how much is planned."""

    processor_s: float
    clock_s: float
    n_cells: int
    n_jobs: int


def plan(folder: Path, lams: list[float]) -> Plan:
    """`snakemake --profile slurm --dry-run` with these λ."""
    (folder / "overlay.yaml").write_text(yaml.safe_dump(PAPER | {"sae": {"lams": lams}}))
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        ["snakemake", "--profile", "slurm", "--configfile", "config.yaml", "overlay.yaml", "--dry-run"],
        cwd=folder, env=ENVIRONMENT, capture_output=True, text=True,
    )  # fmt: skip
    clock_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    n_jobs = int(re.search(r"^total +(\d+)$", done.stdout, re.MULTILINE)[1])
    n_cells = int(re.search(r"^train_sae +(\d+)$", done.stdout, re.MULTILINE)[1])
    return Plan(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, clock_s, n_cells, n_jobs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="plans of each size; the fastest counts")
    arguments = parser.parse_args()
    fastest = []
    with tempfile.TemporaryDirectory() as name:
        copy_of_the_project(Path(name))
        for times in (1, 10):
            lams = LAMS + [round(0.2 + 0.01 * number, 2) for number in range(6 * (times - 1))]
            fastest.append(min(plan(Path(name), lams) for _ in range(arguments.rounds)))
            line = {"figure": "planning_seconds", "n_cells": fastest[-1].n_cells, "n_jobs": fastest[-1].n_jobs}
            line |= {"seconds": round(fastest[-1].clock_s, 2), "processor_seconds": round(fastest[-1].processor_s, 2)}
            print(json.dumps(line), flush=True)
    small, large = fastest
    grown = large.processor_s / small.processor_s
    growth = {"per_cell": grown * small.n_cells / large.n_cells, "per_job": grown * small.n_jobs / large.n_jobs}
    print(json.dumps({"figure": "planning_growth"} | {name: round(ratio, 2) for name, ratio in growth.items()}))


if __name__ == "__main__":
    main()
