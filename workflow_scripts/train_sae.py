"""Train one sparse autoencoder: one cell of the (dim, lam) grid."""

from typing import TYPE_CHECKING

from sonolens.jobs import job
from sonolens.sae.cell import train_cell
from sonolens.sae.training import Settings

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job.running(snakemake) as resumption:
    train_cell(
        inputs=dict(snakemake.input.items()),
        outputs=dict(snakemake.output.items()),
        encoder=snakemake.wildcards.encoder,
        settings=Settings(
            n_features=int(snakemake.wildcards.dim),
            lam=float(snakemake.wildcards.lam),
            **{name: value for name, value in snakemake.params.items() if name != "device"},
        ),
        device=snakemake.params.device,
        resumption=resumption,
    )
