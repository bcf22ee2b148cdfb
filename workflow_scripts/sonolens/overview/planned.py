"""A job that the config and code of now ask for: what is compared with records, and watched."""

import graphlib
from typing import NamedTuple


class PlannedJob(NamedTuple):
    """One job of Snakemake's graph in plain terms. Paths are relative to the project's root."""

    name: str  # "train_sae/minivae/dim~64/lam~0.05": its log's path names it
    rule: str
    params: dict
    code: list[str]
    inputs: list[str]  # without code
    outputs: list[str]

    @property
    def stage(self) -> str:
        """The rule; all figures, of which each is a rule, are one stage."""
        return "figures" if self.rule.startswith("figure_") else self.rule


def upstream(jobs: list[PlannedJob]) -> dict[str, list[PlannedJob]]:
    """Of each job by its name: the jobs that make its inputs, in the order of `jobs`; makers come before users."""
    maker = {path: job for job in jobs for path in job.outputs}
    by_name = {job.name: job for job in jobs}
    rank = {name: number for number, name in enumerate(by_name)}
    names = {
        job.name: sorted({maker[path].name for path in job.inputs if path in maker}, key=rank.__getitem__)
        for job in jobs
    }
    return {
        name: [by_name[before] for before in names[name]] for name in graphlib.TopologicalSorter(names).static_order()
    }
