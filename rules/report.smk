"""
The report: metrics of all cells gathered into a few tables, the CSVs with the verdict on each claim, the audit, and the
page.

Needs   results/saes/, results/probes/, results/objective/, results/codecs/, results/datasets/, results/labels/,
        results/clips/, results/steering/, results/generation/, and for the audit everything
Makes   results/tables/*.parquet      what the figures read
        results/report/tables/*.csv   what a user reads
        results/report/index.html     the page, with figures/ (figures.smk) and audio/ beside it
"""

FIGURES = sorted(
    path.stem for path in (Path(workflow.basedir) / "rules" / "captions").glob("*.rst")
)
REPORT_FIGURES = expand(
    "results/report/figures/{figure}.{form}", figure=FIGURES, form=["png", "svg"]
)
STAGES = ["original", "codec", "sae"]
CLIPS = range(EXPERIMENT["report"]["clips"])
STEERED_SOUNDS = "results/steering/{encoder}/{steered}/{attribute}/sounds"


rule aggregate_cells:
    """Metrics of all cells and probes in four tables, so that no figure has a thousand inputs."""
    input:
        code=code("aggregate_cells.py"),
        metrics=cell_files(f"{CELL}/metrics.json"),
        audio_metrics=cell_files(f"{CELL}/audio_metrics.json"),
        raw_probes=encoder_files("results/probes/{encoder}/raw/{attribute}/metrics.json"),
        probes=cell_files("results/probes/{encoder}/dim~{dim}/lam~{lam}/{attribute}/metrics.json"),
    output:
        cells="results/tables/cells.parquet",
        probes="results/tables/probes.parquet",
        subsets="results/tables/subsets.parquet",
        activations="results/tables/activations.parquet",
    log:
        "logs/aggregate_cells.log",
    benchmark:
        "benchmarks/aggregate_cells.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(20),
    script:
        "../workflow_scripts/aggregate_cells.py"


rule aggregate_histories:
    """Training histories, and the comparison of the two readings of the L1 term."""
    input:
        code=code("aggregate_histories.py"),
        metrics=cell_files(f"{CELL}/metrics.json"),
        histories=cell_files(f"{CELL}/history.parquet"),
        codec_histories=trained_encoder_files("results/codecs/{encoder}/history.parquet"),
        objective_metrics=objective_files(of_sae="metrics.json"),
        objective_probes=objective_files(of_probe="metrics.json"),
        objective_histories=objective_files(of_sae="history.parquet"),
    output:
        histories="results/tables/histories.parquet",
        codec_histories="results/tables/codec_histories.parquet",
        objective="results/tables/objective.parquet",
        objective_histories="results/tables/objective_histories.parquet",
    log:
        "logs/aggregate_histories.log",
    benchmark:
        "benchmarks/aggregate_histories.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(20),
    script:
        "../workflow_scripts/aggregate_histories.py"


rule aggregate_tables:
    """The report's tables as CSV, the paper's claims judged among them."""
    input:
        code=code("aggregate_tables.py"),
        cells="results/tables/cells.parquet",
        probes="results/tables/probes.parquet",
        objective="results/tables/objective.parquet",
        codecs=encoder_files("results/codecs/{encoder}/quality.json"),
        frame_times=encoder_files("results/latents/{encoder}/frame_time.json"),
        manifests=manifests(),
        rejected=dataset_files("results/datasets/{dataset}/rejected.parquet"),
        labels="results/labels/check.json",
        steering="results/tables/steering.parquet",
        steering_methods="results/tables/steering_methods.parquet",
        generation="results/tables/generation.parquet",
        convergence="results/tables/generation_convergence.parquet",
        convergence_differences="results/tables/generation_differences.parquet",
        generation_steering="results/tables/generation_steering.parquet",
        generation_distances="results/tables/generation_distances.parquet",
    output:
        cells="results/report/tables/cells.csv",
        probes="results/report/tables/probes.csv",
        paper_comparison="results/report/tables/paper_comparison.csv",
        claims="results/report/tables/claims.csv",
        objective="results/report/tables/objective.csv",
        codecs="results/report/tables/codecs.csv",
        frame_times="results/report/tables/frame_times.csv",
        labels="results/report/tables/labels.csv",
        recordings="results/report/tables/recordings.csv",
        chosen="results/report/tables/chosen.csv",
        rejected="results/report/tables/rejected.csv",
    log:
        "logs/aggregate_tables.log",
    benchmark:
        "benchmarks/aggregate_tables.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(20),
    params:
        modules={entry["name"]: entry["module"] for entry in EXPERIMENT["encoders"]},
    script:
        "../workflow_scripts/aggregate_tables.py"


REPORT_TABLES = [
    *rules.aggregate_tables.output,
    rules.aggregate_steering.output.steering,
    rules.aggregate_steering.output.methods,
    rules.aggregate_generation.output.generation,
    rules.aggregate_generation.output.convergence,
    rules.aggregate_generation.output.samples,
    rules.aggregate_generation.output.distances,
    rules.aggregate_generation.output.steering,
]


rule audit_results:
    """Whether the present config and code made every result, and what it has cost; the last job before the page.

    It also reads the record of every job, results/provenance/<job>.json. They are no inputs here since they are nobody's
    outputs: a job writes its own when its outputs are there, also after Snakemake's main process was killed.
    """
    input:
        code=code("audit_results.py"),
        tables=REPORT_TABLES,
        figures=REPORT_FIGURES,
        steering=steered_files(f"{STEERED_SOUNDS}/tracks.json"),
        generation=generator_files("results/generation/{generator}/strip/strip.json"),
        clips=encoder_files("results/clips/{encoder}/clips.json"),
        audio=expand(
            "results/clips/{encoder}/clip~{clip}/{stage}.wav",
            encoder=ENCODERS,
            clip=CLIPS,
            stage=STAGES,
        ),
    output:
        audit="results/report/tables/audit.csv",
        costs="results/report/tables/costs.csv",
        versions="results/report/tables/versions.csv",
        foreign="results/report/tables/foreign.csv",
    log:
        "logs/audit_results.log",
    benchmark:
        "benchmarks/audit_results.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 4
    resources:
        mem_mb=memory(1000),
        runtime=minutes(60),
    params:
        # the graph of jobs is built from it again; how jobs run is no part of a result
        config={key: value for key, value in config.items() if key != "jobs"},
    script:
        "../workflow_scripts/audit_results.py"


rule write_report:
    """The page: findings, verdicts, figures, tables, sound, and how it was made."""
    input:
        code=code("write_report.py"),
        template=multiext("workflow_scripts/sonolens/report/page", ".html.j2", ".css", ".js"),
        tables=REPORT_TABLES,
        audit=rules.audit_results.output,
        captions=expand("rules/captions/{figure}.rst", figure=FIGURES),
        figures=REPORT_FIGURES,
        clips=encoder_files("results/clips/{encoder}/clips.json"),
        audio=expand(
            "results/clips/{encoder}/clip~{clip}/{stage}.wav",
            encoder=ENCODERS,
            clip=CLIPS,
            stage=STAGES,
        ),
        steering=steered_files(f"{STEERED_SOUNDS}/tracks.json"),
        steering_sounds=steered_cell_sounds(STEERED_SOUNDS),
        generation=generator_files("results/generation/{generator}/strip/strip.json"),
        generation_sounds=expand(
            strip_sounds("results/generation/{generator}/strip"), generator=GENERATORS
        ),
    output:
        page="results/report/index.html",
        audio=expand(
            "results/report/audio/{encoder}/clip~{clip}/{stage}.wav",
            encoder=ENCODERS,
            clip=CLIPS,
            stage=STAGES,
        ),
        steering_sounds=steered_cell_sounds(
            "results/report/steering/{encoder}/{steered}/{attribute}"
        ),
        generation_sounds=expand(
            strip_sounds("results/report/generation/{generator}"), generator=GENERATORS
        ),
    log:
        "logs/write_report.log",
    benchmark:
        "benchmarks/write_report.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        experiment=SHOWN_EXPERIMENT,
    script:
        "../workflow_scripts/write_report.py"
