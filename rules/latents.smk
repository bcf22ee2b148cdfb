"""
Latents: every recording through every encoder, in shards, and the constants that scale them.

Needs   results/datasets/{dataset}/manifest.parquet, shards.json
Makes   results/latents/{encoder}/{dataset}/shard~{shard}/   latents.npy (n_frames, d_latent), frames.parquet
        results/latents/{encoder}/scaling.json               mean and scale of the train split
        results/latents/{encoder}/frame_time.json            which moment frame i speaks of, declared and measured
"""


rule extract_latents:
    """Encode the clips of one shard of a dataset."""
    input:
        code=encoder_code("extract_latents.py"),
        manifest="results/datasets/{dataset}/manifest.parquet",
        shards="results/datasets/{dataset}/shards.json",
        weights=encoder_weights,
    output:
        latents="results/latents/{encoder}/{dataset}/shard~{shard}/latents.npy",
        frames="results/latents/{encoder}/{dataset}/shard~{shard}/frames.parquet",
    log:
        "logs/extract_latents/{encoder}/{dataset}/shard~{shard}.log",
    benchmark:
        "benchmarks/extract_latents/{encoder}/{dataset}/shard~{shard}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory(extraction),
        runtime=minutes(extraction),
        checkpoint_s=EXPERIMENT["jobs"]["checkpoint_seconds"],
    params:
        module=encoder_option("module"),
        options=encoder_option("encode_options"),
        dtype=EXPERIMENT["latents"]["dtype"],
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/extract_latents.py"


rule measure_scaling:
    """Mean and scale of an encoder's latents over the train split."""
    input:
        code=code("measure_scaling.py"),
        latents=encoder_latents,
        frames=encoder_frames,
        manifests=manifests(),
    output:
        "results/latents/{encoder}/scaling.json",
    log:
        "logs/measure_scaling/{encoder}.log",
    benchmark:
        "benchmarks/measure_scaling/{encoder}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(scaling),
        runtime=minutes(scaling),
    script:
        "../workflow_scripts/measure_scaling.py"


rule measure_frame_time:
    """Clicks through an encoder, and which frames move: labels are aligned by it where nothing else is declared."""
    input:
        code=encoder_code("measure_frame_time.py"),
        weights=encoder_weights,
    output:
        "results/latents/{encoder}/frame_time.json",
    log:
        "logs/measure_frame_time/{encoder}.log",
    benchmark:
        "benchmarks/measure_frame_time/{encoder}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory(measuring_frame_time),
        runtime=minutes(measuring_frame_time),
    params:
        module=encoder_option("module"),
        options=encoder_option("encode_options"),
        declared_offset_frames=declared_offset_frames,
        seed=SEED,
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/measure_frame_time.py"
