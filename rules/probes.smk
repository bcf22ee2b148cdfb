"""
Probes: a linear classifier per (cell, attribute), the same on raw latents, and what the best cell hears in a clip.

Needs   results/saes/…, results/labels/{attribute}/aligned/{encoder}.parquet
Makes   results/probes/{encoder}/dim~{dim}/lam~{lam}/{attribute}/   probe.safetensors, metrics.json, confusion.npy,
                                                                    contributions.parquet
        results/probes/{encoder}/raw/{attribute}/                   the same probe on scaled latents
        results/selected/{encoder}.json                             the best cell by validation accuracy
        results/clips/{encoder}/                                    a few test clips through it, tracks and sound
"""

PROBE = "results/probes/{encoder}/dim~{dim}/lam~{lam}/{attribute}"


rule fit_probes:
    """Probes of all attributes from the codes of one cell, fitted on one pass; each is what it would be alone."""
    input:
        code=code("fit_probes.py"),
        latents=encoder_latents,
        frames=encoder_frames,
        manifests=manifests(),
        scaling="results/latents/{encoder}/scaling.json",
        labels=aligned_labels_of_encoder,
        bins=of_attributes("results/labels/{attribute}/bins.json"),
        model=f"{CELL}/model.safetensors",
    output:
        probe=of_attributes(f"{PROBE}/probe.safetensors"),
        metrics=of_attributes(f"{PROBE}/metrics.json"),
        confusion=of_attributes(f"{PROBE}/confusion.npy"),
        contributions=of_attributes(f"{PROBE}/contributions.parquet"),
    log:
        "logs/fit_probes/{encoder}/dim~{dim}/lam~{lam}.log",
    benchmark:
        "benchmarks/fit_probes/{encoder}/dim~{dim}/lam~{lam}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory(probing),
        runtime=minutes(probing),
    params:
        attributes=ATTRIBUTES,
        identity=cell_identity,
        fitting=PROBE_FITTING,
        contribution_rows=EXPERIMENT["probes"]["contribution_rows"],
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/fit_probes.py"


use rule fit_probes as fit_raw_probes with:
    input:
        code=code("fit_probes.py"),
        latents=encoder_latents,
        frames=encoder_frames,
        manifests=manifests(),
        scaling="results/latents/{encoder}/scaling.json",
        labels=aligned_labels_of_encoder,
        bins=of_attributes("results/labels/{attribute}/bins.json"),
    output:
        probe=of_attributes("results/probes/{encoder}/raw/{attribute}/probe.safetensors"),
        metrics=of_attributes("results/probes/{encoder}/raw/{attribute}/metrics.json"),
        confusion=of_attributes("results/probes/{encoder}/raw/{attribute}/confusion.npy"),
    log:
        "logs/fit_raw_probes/{encoder}.log",
    benchmark:
        "benchmarks/fit_raw_probes/{encoder}.tsv"


use rule fit_probes as fit_objective_probe with:
    input:
        code=code("fit_probes.py"),
        latents=encoder_latents,
        frames=encoder_frames,
        manifests=manifests(),
        scaling="results/latents/{encoder}/scaling.json",
        labels=[f"results/labels/{ATTRIBUTES[0]}/aligned/{{encoder}}.parquet"],
        bins=[f"results/labels/{ATTRIBUTES[0]}/bins.json"],
        model=rules.train_objective_sae.output.model,
    output:
        probe=["results/objective/{l1_on}/{encoder}/dim~{dim}/lam~{lam}/probe.safetensors"],
        metrics=["results/objective/{l1_on}/{encoder}/dim~{dim}/lam~{lam}/probe_metrics.json"],
        confusion=["results/objective/{l1_on}/{encoder}/dim~{dim}/lam~{lam}/probe_confusion.npy"],
    log:
        "logs/fit_objective_probe/{l1_on}/{encoder}/dim~{dim}/lam~{lam}.log",
    benchmark:
        "benchmarks/fit_objective_probe/{l1_on}/{encoder}/dim~{dim}/lam~{lam}.tsv"
    params:
        attributes=ATTRIBUTES[:1],
        identity=cell_identity,
        fitting=PROBE_FITTING,
        contribution_rows=EXPERIMENT["probes"]["contribution_rows"],
        device=EXPERIMENT["device"],


rule select_cell:
    """The cell whose probe of the first attribute does best on the validation split."""
    input:
        code=code("select_cell.py"),
        metrics=encoder_cell_files(
            f"results/probes/{{encoder}}/dim~{{dim}}/lam~{{lam}}/{ATTRIBUTES[0]}/metrics.json"
        ),
    output:
        "results/selected/{encoder}.json",
    log:
        "logs/select_cell/{encoder}.log",
    benchmark:
        "benchmarks/select_cell/{encoder}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(500),
        runtime=minutes(10),
    script:
        "../workflow_scripts/select_cell.py"


rule trace_clips:
    """A few test clips through the selected cell: labels and predictions over time, and the sound at each stage."""
    input:
        code=encoder_code("trace_clips.py"),
        selected="results/selected/{encoder}.json",
        manifests=manifests(),
        shards=shard_summaries(),
        weights=encoder_weights,
        frame_time="results/latents/{encoder}/frame_time.json",
        labels=aligned_labels_of_encoder,
        bins=of_attributes("results/labels/{attribute}/bins.json"),
        models=encoder_cell_files(f"{CELL}/model.safetensors"),
        probes=encoder_cell_files(f"{PROBE}/probe.safetensors"),
    output:
        clips="results/clips/{encoder}/clips.json",
        tracks="results/clips/{encoder}/tracks.parquet",
        audio=expand(
            "results/clips/{{encoder}}/clip~{clip}/{stage}.wav",
            clip=range(EXPERIMENT["report"]["clips"]),
            stage=["original", "codec", "sae"],
        ),
    log:
        "logs/trace_clips/{encoder}.log",
    benchmark:
        "benchmarks/trace_clips/{encoder}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory(hearing_clips),
        runtime=minutes(hearing_clips),
    params:
        module=encoder_option("module"),
        options=encoder_option("encode_options"),
        geometry=encoder_geometry,
        attributes=ATTRIBUTES,
        clips=EXPERIMENT["report"]["clips"],
        seconds=EXPERIMENT["report"]["clip_seconds"],
        seed=SEED,
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/trace_clips.py"
