"""The cluster of the tests, and the finished project on it. A module of tests has these fixtures by saying

pytest_plugins = ["slurm_fixtures"]
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from slurm_cluster import Cluster, Project, follow_the_readme, obstacle


@pytest.fixture(scope="session")
def cluster():
    """The cluster, for as long as tests run. Where there can be none, tests are skipped; .ci/run has them fail."""
    made = Cluster()
    try:
        reason = obstacle()
        if not reason:
            try:
                made.up()
            except (AssertionError, subprocess.TimeoutExpired) as error:
                reason = str(error)
        if reason:
            verdict = pytest.fail if os.environ.get("SONOLENS_REQUIRE_SLURM") else pytest.skip
            verdict(f"no SLURM cluster on this machine: {reason}")
        yield made
    finally:
        made.down()


@pytest.fixture(scope="session")
def on_the_cluster(cluster, tmp_path_factory) -> Project:
    """The project after the README's commands: a finished run. Tests that change it work on a copy."""
    return follow_the_readme(tmp_path_factory.mktemp("cluster"), cluster)


@pytest.fixture
def copied(on_the_cluster, tmp_path) -> Project:
    """A copy of the finished run with its time stamps."""
    folder = shutil.copytree(on_the_cluster.folder, tmp_path / "copy", symlinks=True)
    return Project(Path(folder), on_the_cluster.cluster)
