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
            l1_on=snakemake.params.l1_on,
            steps=snakemake.params.steps,
            batch_frames=snakemake.params.batch_frames,
            learning_rate=snakemake.params.learning_rate,
            warmup_share=snakemake.params.warmup_share,
            decay_share=snakemake.params.decay_share,
            history_rows=snakemake.params.history_rows,
            seed=snakemake.params.seed,
        ),
        device=snakemake.params.device,
        resumption=resumption,
    )
