"""
Sparse autoencoders: one training job per (encoder, dim, lam), each measured on latents and as sound.

Needs   results/latents/{encoder}/                     shards, scaling.json
Makes   results/saes/{encoder}/dim~{dim}/lam~{lam}/    model.safetensors, config.json, metrics.json, history.parquet,
                                                       audio_metrics.json
        results/objective/{l1_on}/{encoder}/…          a few cells with each reading of the L1 term
        results/excerpts/{encoder}.npz                 excerpts of test clips, original and through the codec alone
"""


rule train_sae:
    """One sparse autoencoder, one cell of the grid."""
    input:
        code=code("train_sae.py"),
        latents=encoder_latents,
        frames=encoder_frames,
        manifests=manifests(),
        scaling="results/latents/{encoder}/scaling.json",
    output:
        model=f"{CELL}/model.safetensors",
        config=f"{CELL}/config.json",
        metrics=f"{CELL}/metrics.json",
        history=f"{CELL}/history.parquet",
    log:
        "logs/train_sae/{encoder}/dim~{dim}/lam~{lam}.log",
    benchmark:
        "benchmarks/train_sae/{encoder}/dim~{dim}/lam~{lam}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory(training),
        runtime=minutes(training),
        checkpoint_s=EXPERIMENT["jobs"]["checkpoint_seconds"],
    params:
        **SAE_TRAINING,
        l1_on=EXPERIMENT["sae"]["l1_on"],
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/train_sae.py"


use rule train_sae as train_objective_sae with:
    output:
        model="results/objective/{l1_on}/{encoder}/dim~{dim}/lam~{lam}/model.safetensors",
        config="results/objective/{l1_on}/{encoder}/dim~{dim}/lam~{lam}/config.json",
        metrics="results/objective/{l1_on}/{encoder}/dim~{dim}/lam~{lam}/metrics.json",
        history="results/objective/{l1_on}/{encoder}/dim~{dim}/lam~{lam}/history.parquet",
    log:
        "logs/train_objective_sae/{l1_on}/{encoder}/dim~{dim}/lam~{lam}.log",
    benchmark:
        "benchmarks/train_objective_sae/{l1_on}/{encoder}/dim~{dim}/lam~{lam}.tsv"
    params:
        **SAE_TRAINING,
        l1_on="{l1_on}",
        device=EXPERIMENT["device"],


rule decode_excerpts:
    """Excerpts of test clips: the original, its latents, what the codec alone makes of them, and both pitch tracks."""
    input:
        code=encoder_code("decode_excerpts.py"),
        manifests=manifests(),
        shards=shard_summaries(),
        weights=encoder_weights,
    output:
        "results/excerpts/{encoder}.npz",
    log:
        "logs/decode_excerpts/{encoder}.log",
    benchmark:
        "benchmarks/decode_excerpts/{encoder}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory(hearing_excerpts),
        runtime=minutes(hearing_excerpts),
    params:
        module=encoder_option("module"),
        options=encoder_option("encode_options"),
        clips=EXPERIMENT["sae"]["audio_clips"],
        seconds=EXPERIMENT["sae"]["audio_seconds"],
        pitch=TRACKER_OPTIONS,
        seed=SEED,
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/decode_excerpts.py"


rule evaluate_sae_audio:
    """Reconstruction of one cell as sound: the decoder's output from x̂ beside its output from x."""
    input:
        code=encoder_code("evaluate_sae_audio.py"),
        excerpts="results/excerpts/{encoder}.npz",
        weights=encoder_weights,
        model=f"{CELL}/model.safetensors",
    output:
        f"{CELL}/audio_metrics.json",
    log:
        "logs/evaluate_sae_audio/{encoder}/dim~{dim}/lam~{lam}.log",
    benchmark:
        "benchmarks/evaluate_sae_audio/{encoder}/dim~{dim}/lam~{lam}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory(hearing_cell),
        runtime=minutes(hearing_cell),
    params:
        module=encoder_option("module"),
        options=encoder_option("encode_options"),
        pitch=TRACKER_OPTIONS,
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/evaluate_sae_audio.py"
