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
    cluster_logs: str = ""  # folder of what its attempts printed before and after their scripts ran: <id>.log

    @property
    def stage(self) -> str:
        """The rule; all figures, of which each is a rule, are one stage."""
        return "figures" if self.rule.startswith("figure_") else self.rule


def with_makers(jobs: list[PlannedJob]) -> list[tuple[PlannedJob, list[PlannedJob]]]:
    """Each job with the jobs that make its inputs, both in the order of `jobs` as far as makers come before users."""
    maker = {path: job for job in jobs for path in job.outputs}
    by_name = {job.name: job for job in jobs}
    rank = {name: number for number, name in enumerate(by_name)}
    makers = {
        name: sorted({maker[path].name for path in job.inputs if path in maker}, key=rank.__getitem__)
        for name, job in by_name.items()
    }
    order = graphlib.TopologicalSorter(makers).static_order()
    return [(by_name[name], [by_name[before] for before in makers[name]]) for name in order]
