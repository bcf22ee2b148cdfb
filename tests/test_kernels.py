"""Compiled loops are kept for the next process, and do without where nothing can be kept."""

import os
import shutil
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
def module(tmp_path) -> Path:
    path = tmp_path / "loops_of_a_test.py"
    path.write_text(SOURCE)
    return path


LIBRARY = Path(__file__).parents[1] / "workflow_scripts"


def run(module: Path, library: Path = LIBRARY) -> str:
    """In a new process: what was added, and how often it was found compiled."""
    code = "import loops_of_a_test as l; print(l.added(2, 3), sum(l.added.stats.cache_hits.values()))"
    env = {**os.environ, "PYTHONPATH": f"{module.parent}:{library}"}
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_next_process_finds_what_was_compiled(module):
    assert run(module) == "5 0"
    assert run(module) == "5 1"
    module.write_text(SOURCE.replace("a + b", "a + b + 10"))
    assert run(module) == "15 0"


def test_another_kind_of_processor_has_a_folder_of_its_own(module):
    assert run(module) == "5 0"
    (folder,) = module.with_name("__pycache__").iterdir()
    folder.rename(folder.with_name("znver99-0123abcd"))
    assert run(module) == "5 0"
    assert len(list(module.with_name("__pycache__").iterdir())) == 2


def test_other_lanes_are_compiled_into_all_kernels(module, tmp_path):
    shutil.copytree(LIBRARY / "sonolens", tmp_path / "library" / "sonolens", ignore=lambda *_: ["__pycache__"])
    assert run(module, tmp_path / "library") == "5 0"
    assert run(module, tmp_path / "library") == "5 1"
    with (tmp_path / "library" / "sonolens" / "lanes.py").open("a") as lanes:
        lanes.write("# other\n")
    assert run(module, tmp_path / "library") == "5 0"


def test_a_folder_that_cannot_be_written_is_no_error(module):
    module.with_name("__pycache__").write_text("")  # a file where the folder would be: root may write to any folder
    assert run(module) == "5 0"
    assert run(module) == "5 0"


def test_no_loop_of_training_reaches_beyond_its_arrays(tmp_path):
    """The tests of gradients and of codes' products once more, with every index checked."""
    env = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    which = "active or float64 or products_are"
    chosen = ["test_gradients.py", "test_codes.py", "-k", which, "-p", "no:cacheprovider", "-q"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *chosen], cwd=Path(__file__).parent, env=env, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout
