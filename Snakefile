"""
Interpret audio latent spaces with sparse autoencoders.

resources/   what was fetched            results/      what was made, results/report/index.html last
logs/        <rule>/<wildcards>.log      benchmarks/   <rule>/<wildcards>.tsv

The experiment is config.yaml; profiles/ says where it runs.
"""

from snakemake.utils import min_version

min_version("9.25")


configfile: "config.yaml"


include: "rules/common.smk"


rule all:
    """The report, and every cell: one that was deleted would not come back while the report is newer."""
    input:
        "results/report/index.html",
        cell_files("results/saes/{encoder}/dim~{dim}/lam~{lam}/metrics.json"),
        cell_files("results/saes/{encoder}/dim~{dim}/lam~{lam}/model.safetensors"),
        cell_files("results/probes/{encoder}/dim~{dim}/lam~{lam}/{attribute}/metrics.json"),
        prompt_files(),
    localrule: True


include: "rules/datasets.smk"
include: "rules/prompts.smk"
include: "rules/codecs.smk"
include: "rules/latents.smk"
include: "rules/labels.smk"
include: "rules/saes.smk"
include: "rules/probes.smk"
include: "rules/steering.smk"
include: "rules/generation.smk"
include: "rules/figures.smk"
include: "rules/report.smk"


report: "rules/report/workflow.rst"


onsuccess:
    finishing.forget_finished(
        lasting=["steer_cell", "trace_generation", "measure_samples", "steer_generation"]
    )
