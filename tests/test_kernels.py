"""Compiled loops are kept for the next process, and do without where nothing can be kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = """
from sonolens.kernels import kernel

@kernel
def added(a, b):
    return a + b

"""


@pytest.fixture
def run(tmp_path):
    def run() -> str:
        """In a new process: what was added, and how often it was found compiled."""
        (tmp_path / "loops_of_a_test.py").write_text(SOURCE) if not list(tmp_path.glob("*.py")) else None
        code = "import loops_of_a_test as l; print(l.added(2, 3), sum(l.added.stats.cache_hits.values()))"
        home = tmp_path / "home"
        env = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
        env["PYTHONPATH"] = f"{tmp_path}:{Path(__file__).parents[1] / 'workflow_scripts'}"
        env["PYTHONDONTWRITEBYTECODE"] = "1"
        return subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        ).stdout.strip()

    return run


def test_the_next_process_finds_what_was_compiled(run, tmp_path):
    assert run() == "5 0"
    assert run() == "5 1"
    path = tmp_path / "loops_of_a_test.py"
    path.write_text(SOURCE.replace("a + b", "a + b + 10"))
    assert run() == "15 0"


def test_a_folder_that_cannot_be_written_is_no_error(run, tmp_path):
    for name in ("__pycache__", "home"):  # files where folders would have to be: root may write to any folder
        (tmp_path / name).write_text("")
    assert run() == "5 0"
    assert run() == "5 0"


def test_no_loop_of_training_reaches_beyond_its_arrays(tmp_path):
    """The tests of gradients once more, with every index checked."""
    env = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    chosen = ["test_gradients.py", "-k", "active or float64", "-p", "no:cacheprovider", "-q"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *chosen], cwd=Path(__file__).parent, env=env, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout
