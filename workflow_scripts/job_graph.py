"""The jobs that the present config and code ask for, from Snakemake's own graph: nothing is run or locked for it.

For what looks at a workflow from outside: audit.py, status.py, and the job that puts the audit's verdict in the report.
"""

import re
from pathlib import Path

from snakemake.api import SnakemakeApi
from snakemake.cli import parse_args, parse_config
from snakemake.settings.enums import Quietness
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

from sonolens.overview.planned import PlannedJob

SNAKEFILE = Path(__file__).parents[1] / "Snakefile"


def of_command(arguments: list[str]) -> list[PlannedJob]:
    """Jobs of `snakemake <arguments>`; what stands in a profile counts, as it does there. Targets do not."""
    _, given = parse_args(arguments)
    config = ConfigSettings(config=parse_config(given.config), configfiles=given.configfile or [], config_args=[])
    return _jobs(config, given.snakefile or SNAKEFILE)


def of_config(config: dict, snakefile: str | Path = SNAKEFILE) -> list[PlannedJob]:
    """Jobs of a workflow whose `config` is this one; also from inside one of its jobs, while it runs."""
    return _jobs(ConfigSettings(config=config, config_args=[]), snakefile)


def _jobs(config: ConfigSettings, snakefile: str | Path) -> list[PlannedJob]:
    """All jobs behind `rule all` that make something, in the order of the rules and then of the cells."""
    quiet = OutputSettings(quiet={Quietness.ALL}, enable_file_logging=False)
    with SnakemakeApi(quiet) as api:
        in_files = api.workflow(ResourceSettings(cores=1), config_settings=config, snakefile=Path(snakefile))
        # The graph is private to Snakemake. This is what its Workflow.printdag does (9.27); tests/test_audit.py plans
        # the project's whole graph this way. With all jobs forced, nothing is asked of files and metadata.
        in_files.dag(DAGSettings(forceall=True))
        workflow = in_files._workflow
        workflow._prepare_dag(forceall=True, ignore_incomplete=True, lock_warn_only=True)
        workflow._build_dag()
        rank = {rule.name: number for number, rule in enumerate(workflow.rules)}
        jobs = [_planned(job) for job in workflow.dag.jobs if job.output]
    return sorted(jobs, key=lambda job: (rank[job.rule], _by_numbers(job.name)))


def _by_numbers(name: str) -> list:
    """A key that puts dim~256 before dim~1024."""
    return [float(part) if position % 2 else part for position, part in enumerate(re.split(r"(\d+\.?\d*)", name))]


def _planned(job) -> PlannedJob:
    """One of Snakemake's jobs in plain terms."""
    code = {str(path): None for path in job.input.get("code", [])}
    # where snakemake-executor-plugin-slurm puts them (2.8, get_job_wildcards); nothing is there without a cluster
    cluster_logs = Path(".snakemake/slurm_logs") / f"rule_{job.rule.name}" / "_".join(job.wildcards).replace("/", "_")
    return PlannedJob(
        name=str(Path(job.log[0]).with_suffix("").relative_to("logs")),
        rule=job.rule.name,
        params=dict(job.params.items()),
        code=list(code),
        inputs=[str(path) for path in job.input if str(path) not in code],
        outputs=[str(path) for path in job.output],
        cluster_logs=str(cluster_logs),
    )
