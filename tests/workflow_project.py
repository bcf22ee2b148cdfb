"""The project as the tests run it: copies of it, Snakemake in them, and what a run would do."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
# what Snakemake starts, it takes from PATH
ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def tracked_files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def copy_of_the_project(folder: Path) -> Path:
    for name in tracked_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name, follow_symlinks=False)
    return folder


def snakemake(folder: Path, *arguments: str, overlay: str = "tests/smoke.yaml", fails: bool = False) -> str:
    """Run Snakemake with the demo's profile, the smoke config in place of the demo's; what it printed."""
    result = subprocess.run(
        ["snakemake", "--profile", "profiles/demo", "--configfile", "config.yaml", overlay, "--cores", "2", *arguments],
        cwd=folder, env=ENVIRONMENT, capture_output=True, text=True,
    )  # fmt: skip
    output = result.stdout + result.stderr
    assert (result.returncode != 0) == fails, output[-6000:]
    return output


def job_counts(output: str) -> dict[str, int]:
    """Jobs per rule in what a dry run printed, without the one that only asks for all."""
    jobs = {}
    table = re.search(r"^job\s+count\n-+\s+-+\n(.*?)\n\n", output, re.MULTILINE | re.DOTALL)
    for line in table.group(1).splitlines() if table else []:
        rule, count = line.split()
        jobs[rule] = int(count)
    assert jobs or "Nothing to be done" in output, output
    return {rule: count for rule, count in jobs.items() if rule not in ("all", "total")}


def planned(folder: Path, overlay: str = "tests/smoke.yaml") -> dict[str, int]:
    """Jobs per rule that a run would start now."""
    return job_counts(snakemake(folder, "--dry-run", overlay=overlay))


def changed_config(folder: Path, change) -> str:
    """Write the smoke config with a change next to it; its path."""
    config = yaml.safe_load((folder / "tests/smoke.yaml").read_text())
    change(config)
    (folder / "changed.yaml").write_text(yaml.safe_dump(config))
    return "changed.yaml"


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)
