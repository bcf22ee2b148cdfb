"""What made a result: parameters, code, inputs, versions, machine. One JSON file a job, written after its outputs.

Snakemake keeps such metadata too, but only of jobs whose end it saw: if its main process is killed, results that
appear afterwards are taken as they are. These records are written by the jobs themselves, so `audit.py` can tell.
"""

import functools
import hashlib
import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from sonolens.files import read_json, write_json

FOLDER = Path("results/provenance")
# Packages that decide the numbers.
PACKAGES = [
    "torch", "numpy", "scipy", "pandas", "pyarrow", "librosa", "torchcrepe", "soundfile", "soxr", "safetensors",
    "matplotlib", "snakemake",
]  # fmt: skip


def sha256(path: str | Path) -> str:
    """Of a file's content, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical(value: object) -> object:
    """A parameter as it comes back from JSON: tuples are lists, keys are text."""
    return json.loads(json.dumps(value, default=str))


@functools.cache
def versions() -> dict[str, str]:
    """Python and the packages that decide the numbers; nothing is imported for it."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            installed[package] = "not installed"
    return installed


def git_commit() -> str | None:
    """The commit of the working tree, marked if files differ from it; None outside git."""
    try:
        found = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def processor() -> str:
    """The processor's name as the kernel has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def key(job: str, params: dict, code: dict[str, str], inputs: dict[str, str], outputs: list[str]) -> str:
    """A digest of everything that a job's result depends on.

    Parameters, the content of code and inputs, versions, and which files are asked for; not the machine, on which the
    last bits depend.
    """
    everything = [job, params, code, inputs, outputs, versions()]
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:20]


def record_path(job: str) -> Path:
    """Where the record of a job lies."""
    return FOLDER / f"{job}.json"


def write(record: dict) -> None:
    """Put a job's record in its place."""
    write_json(record_path(record["job"]), record)


def read(job: str) -> dict | None:
    """The record of a job; None if there is none. Raises ValueError naming the file if it is damaged."""
    path = record_path(job)
    return read_json(path) if path.is_file() else None
