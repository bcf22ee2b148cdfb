"""
Labels: each attribute measured once on a 10 ms grid, its classes, and both aligned to the frames of each encoder.

Needs   results/datasets/{dataset}/manifest.parquet, shards.json, results/latents/{encoder}/…/frames.parquet
Makes   results/labels/{attribute}/frames/{dataset}/shard~{shard}.parquet   fine labels; know nothing of encoders
        results/labels/{attribute}/bins.json                                classes, from the train split
        results/labels/{attribute}/aligned/{encoder}.parquet                value and class of each latent frame
        results/labels/check.json                                           pitch labels scored against the truth
"""


rule label_frames:
    """Measure one attribute, by arithmetic, on the clips of one shard of a dataset."""
    input:
        code=attribute_code("label_frames.py"),
        manifest="results/datasets/{dataset}/manifest.parquet",
        shards="results/datasets/{dataset}/shards.json",
    output:
        "results/labels/{attribute}/frames/{dataset}/shard~{shard}.parquet",
    log:
        "logs/label_frames/{attribute}/{dataset}/shard~{shard}.log",
    benchmark:
        "benchmarks/label_frames/{attribute}/{dataset}/shard~{shard}.tsv"
    wildcard_constraints:
        attribute=any_of(CPU_ATTRIBUTES),
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(labelling),
        runtime=minutes(labelling),
        checkpoint_s=EXPERIMENT["jobs"]["checkpoint_seconds"],
    params:
        module=attribute_option("module"),
        options=attribute_option("measure_options"),
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/label_frames.py"


use rule label_frames as label_frames_on_gpu with:
    log:
        "logs/label_frames_on_gpu/{attribute}/{dataset}/shard~{shard}.log",
    benchmark:
        "benchmarks/label_frames_on_gpu/{attribute}/{dataset}/shard~{shard}.tsv"
    wildcard_constraints:
        attribute=any_of(GPU_ATTRIBUTES),
    resources:
        gpu=1,
        mem_mb=memory(labelling),
        runtime=minutes(labelling),
        checkpoint_s=EXPERIMENT["jobs"]["checkpoint_seconds"],


rule fit_bins:
    """Classes of one attribute, from the train split."""
    input:
        code=attribute_code("fit_bins.py"),
        labels=fine_labels_of,
        manifests=manifests(),
    output:
        "results/labels/{attribute}/bins.json",
    log:
        "logs/fit_bins/{attribute}.log",
    benchmark:
        "benchmarks/fit_bins/{attribute}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(joining),
        runtime=minutes(joining),
    params:
        module=attribute_option("module"),
        options=attribute_option("options"),
    script:
        "../workflow_scripts/fit_bins.py"


rule align_labels:
    """Value and class of one attribute for every latent frame of one encoder."""
    input:
        code=attribute_code("align_labels.py"),
        labels=fine_labels_of,
        frames=encoder_frames,
        manifests=manifests(),
        bins="results/labels/{attribute}/bins.json",
        frame_time="results/latents/{encoder}/frame_time.json",
    output:
        "results/labels/{attribute}/aligned/{encoder}.parquet",
    log:
        "logs/align_labels/{attribute}/{encoder}.log",
    benchmark:
        "benchmarks/align_labels/{attribute}/{encoder}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(joining),
        runtime=minutes(joining),
    params:
        module=attribute_option("module"),
        options=attribute_option("measure_options"),
        geometry=encoder_geometry,
    script:
        "../workflow_scripts/align_labels.py"


rule check_labels:
    """Score the pitch labels against the truth that some recordings come with."""
    input:
        code=code("check_labels.py"),
        labels=pitch_labels,
        manifests=manifests(),
    output:
        "results/labels/check.json",
    log:
        "logs/check_labels.log",
    benchmark:
        "benchmarks/check_labels.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(checking),
        runtime=minutes(checking),
    params:
        seed=SEED,
    script:
        "../workflow_scripts/check_labels.py"
