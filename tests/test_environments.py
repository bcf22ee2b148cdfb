"""envs/ and pyproject.toml name the same versions."""

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
# PyPI's name -> conda-forge's
CONDA_NAME = {
    "matplotlib": "matplotlib-base",
    "snakemake": "snakemake-minimal",
    "soundfile": "pysoundfile",
    "soxr": "soxr-python",
}
NOT_IN_JOBS = {"snakemake-executor-plugin-slurm"}  # the main process submits; jobs need it not


def test_conda_environment_has_the_versions_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = project["project"]["dependencies"] + project["dependency-groups"]["without-torchaudio"]
    expected = dict(line.split("==") for line in declared)
    environment = yaml.safe_load((ROOT / "envs/sonolens.yaml").read_text())["dependencies"]
    by_pip = next(entry["pip"] for entry in environment if isinstance(entry, dict))
    found = dict(line.split("==") for line in by_pip)
    conda = [line for line in environment if isinstance(line, str) and line not in ("pip", "python=3.11")]
    found |= dict(line.split("=") for line in conda)
    assert found == {
        (CONDA_NAME[name] if name in CONDA_NAME else name): version
        for name, version in expected.items()
        if name not in NOT_IN_JOBS
    }


def test_every_import_of_ours_is_declared():
    import ast
    import sys

    import_name = {"pyyaml": "yaml", "scikit-learn": "sklearn", "pretty_midi": "pretty_midi"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = project["project"]["dependencies"] + project["dependency-groups"]["without-torchaudio"]
    names = {line.split("==")[0] for line in declared}
    known = {import_name[name] if name in import_name else name for name in names}
    used = set()
    for path in (ROOT / "workflow_scripts").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                used |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                used.add(node.module.split(".")[0])
    ours = {"sonolens", "job_graph", "torchaudio"}  # torchaudio: sonolens.torchaudio_absent
    assert used - set(sys.stdlib_module_names) - ours <= known
