"""What the report was made with."""

import platform
import subprocess
from importlib import metadata

PACKAGES = [
    "torch", "numpy", "scipy", "pandas", "pyarrow", "librosa", "torchcrepe", "soundfile", "soxr", "safetensors",
    "matplotlib", "snakemake",
]  # fmt: skip


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
    """The commit of the working tree when the page is written, marked if files differ from it; None outside git."""
    try:
        found = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
