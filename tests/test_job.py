"""A job's log holds all it says; its error is on the screen too."""

import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "workflow_scripts"


def run(code: str, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", f"from sonolens import job\njob.log_to('log')\n{code}"],
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


def test_threads_are_bounded_for_pools_that_run_and_that_will(tmp_path):
    code = "import os, torch\njob.use_threads(1)\nprint(torch.get_num_threads(), os.environ['OMP_NUM_THREADS'])"
    run(code, tmp_path)
    assert (tmp_path / "log").read_text() == "1 1\n"
