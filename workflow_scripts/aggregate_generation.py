"""Gather what was traced, measured and steered of all generators into the tables of figures, claims and user."""

from typing import TYPE_CHECKING

from sonolens.jobs import job
from sonolens.report.write_generation import write_generation

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake):
    given, params = snakemake.input, snakemake.params

    def by_generator(paths: list[str], n_each: int) -> dict[str, list[str]]:
        """Files of each generator, which stand one after another."""
        return {name: list(paths[i * n_each : (i + 1) * n_each]) for i, name in enumerate(params.generators)}

    write_generation(
        {
            "traces": by_generator(given.traces, params.n_shards),
            "effects": by_generator(given.effects, len(params.attributes)),
            **{
                kind: dict(zip(params.generators, given.get(kind), strict=True))
                for kind in ("prompts", "counts", "distances")
            },
            "bins": dict(zip(params.attributes, given.bins, strict=True)),
        },
        dict(snakemake.output.items()),
        floor=params.floor,
        tolerance=params.tolerance,
        seed=params.seed,
    )
