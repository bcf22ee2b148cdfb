"""
Control vectors: chosen cells steered on test recordings, measured on the sound, beside simpler ways to steer.

Needs   results/saes/, results/probes/, results/latents/, results/labels/, results/datasets/
Makes   results/steering/excerpts/{encoder}.npz             test excerpts, their latents and tracks
        results/steering/originals/{embedding}.npz          moments of the test split's embeddings
        results/steering/{encoder}/{steered}/               the chosen cell: cell.json, model.safetensors, probes/
        results/steering/{encoder}/{steered}/{attribute}/   classes.json, directions.safetensors, effects.parquet,
                                                            sounds.parquet, distances.parquet, sounds/
        results/tables/steering*.parquet                    what the figures and the claims read
        results/report/tables/steering.csv, steering_methods.csv
"""

STEERED_CELL = "results/steering/{encoder}/{steered}"


rule choose_steered_cell:
    """One cell of an encoder, by name or by a criterion on the validation split, in a folder of its own."""
    input:
        code=code("choose_steered_cell.py"),
        frame_time="results/latents/{encoder}/frame_time.json",
        sae_metrics=steered_candidates(f"{CELL}/metrics.json"),
        probe_metrics=steered_candidates(
            "results/probes/{encoder}/dim~{dim}/lam~{lam}/{attribute}/metrics.json"
        ),
        models=steered_candidates(f"{CELL}/model.safetensors"),
        probes=steered_candidates(f"{PROBE}/probe.safetensors"),
    output:
        cell=f"{STEERED_CELL}/cell.json",
        model=f"{STEERED_CELL}/model.safetensors",
        probes=expand(
            f"{STEERED_CELL}/probes/{{attribute}}.safetensors",
            attribute=ATTRIBUTES,
            allow_missing=True,
        ),
    log:
        "logs/choose_steered_cell/{encoder}/{steered}.log",
    benchmark:
        "benchmarks/choose_steered_cell/{encoder}/{steered}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        criterion=steering_criterion,
        module=encoder_option("module"),
        options=encoder_option("encode_options"),
        weights=encoder_weights,
        geometry=encoder_geometry,
        attributes=LABELLERS,
    script:
        "../workflow_scripts/choose_steered_cell.py"


rule encode_steering_excerpts:
    """Excerpts of test recordings, their latents, and every attribute measured on them."""
    input:
        code=hearing_code("encode_steering_excerpts.py"),
        manifests=manifests(),
        shards=shard_summaries(),
        weights=encoder_weights,
    output:
        "results/steering/excerpts/{encoder}.npz",
    log:
        "logs/encode_steering_excerpts/{encoder}.log",
    benchmark:
        "benchmarks/encode_steering_excerpts/{encoder}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory(hearing_steering_excerpts),
        runtime=minutes(hearing_steering_excerpts),
    params:
        module=encoder_option("module"),
        options=encoder_option("encode_options"),
        attributes=LABELLERS,
        clips=STEERING["clips"],
        seconds=STEERING["seconds"],
        seed=SEED,
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/encode_steering_excerpts.py"


rule embed_originals:
    """Mean and covariance of the test split's embeddings, which Fréchet distances are taken to."""
    input:
        code=embedding_code("embed_originals.py"),
        manifests=manifests(),
        shards=shard_summaries(),
        weights=embedding_weights,
    output:
        "results/steering/originals/{embedding}.npz",
    log:
        "logs/embed_originals/{embedding}.log",
    benchmark:
        "benchmarks/embed_originals/{embedding}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory(embedding_originals),
        runtime=minutes(embedding_originals),
    params:
        embedder=embedder,
        attributes=LABELLERS,
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/embed_originals.py"


rule find_directions:
    """The classes of one attribute that are steered to, and the difference of class means for each."""
    input:
        code=code("find_directions.py"),
        latents=encoder_latents,
        frames=encoder_frames,
        manifests=manifests(),
        scaling="results/latents/{encoder}/scaling.json",
        labels="results/labels/{attribute}/aligned/{encoder}.parquet",
        bins="results/labels/{attribute}/bins.json",
        model=f"{STEERED_CELL}/model.safetensors",
    output:
        classes=f"{STEERED_CELL}/{{attribute}}/classes.json",
        directions=f"{STEERED_CELL}/{{attribute}}/directions.safetensors",
    log:
        "logs/find_directions/{encoder}/{steered}/{attribute}.log",
    benchmark:
        "benchmarks/find_directions/{encoder}/{steered}/{attribute}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory(finding_directions),
        runtime=minutes(finding_directions),
    params:
        classes=classes_to_steer_to,
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/find_directions.py"


rule steer_cell:
    """One attribute of one cell: every class, α and method on every excerpt, measured on the sound."""
    input:
        code=hearing_code("steer_cell.py", embeddings=True),
        excerpts="results/steering/excerpts/{encoder}.npz",
        originals=expand("results/steering/originals/{embedding}.npz", embedding=EMBEDDINGS),
        embedding_weights=all_embedding_weights(),
        weights=encoder_weights,
        model=f"{STEERED_CELL}/model.safetensors",
        probe=f"{STEERED_CELL}/probes/{{attribute}}.safetensors",
        raw_probe="results/probes/{encoder}/raw/{attribute}/probe.safetensors",
        bins="results/labels/{attribute}/bins.json",
        classes=rules.find_directions.output.classes,
        directions=rules.find_directions.output.directions,
    output:
        effects=f"{STEERED_CELL}/{{attribute}}/effects.parquet",
        sounds=f"{STEERED_CELL}/{{attribute}}/sounds.parquet",
        distances=f"{STEERED_CELL}/{{attribute}}/distances.parquet",
    log:
        "logs/steer_cell/{encoder}/{steered}/{attribute}.log",
    benchmark:
        "benchmarks/steer_cell/{encoder}/{steered}/{attribute}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory(steering),
        runtime=minutes(steering),
        checkpoint_s=EXPERIMENT["jobs"]["checkpoint_seconds"],
    params:
        module=encoder_option("module"),
        options=encoder_option("encode_options"),
        attributes=LABELLERS,
        embeddings=EMBEDDERS,
        alphas=STEERING["alphas"],
        seed=SEED,
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/steer_cell.py"


rule render_steered:
    """What the page plays of one cell: an excerpt steered to each class with each α, its spectrograms and tracks."""
    input:
        code=hearing_code("render_steered.py"),
        cell=f"{STEERED_CELL}/cell.json",
        excerpts="results/steering/excerpts/{encoder}.npz",
        weights=encoder_weights,
        model=f"{STEERED_CELL}/model.safetensors",
        probes=rules.choose_steered_cell.output.probes,
        bins=expand("results/labels/{attribute}/bins.json", attribute=ATTRIBUTES),
        classes=expand(
            f"{STEERED_CELL}/{{attribute}}/classes.json", attribute=ATTRIBUTES, allow_missing=True
        ),
    output:
        tracks=expand(
            f"{STEERED_CELL}/{{attribute}}/sounds/tracks.json",
            attribute=ATTRIBUTES,
            allow_missing=True,
        ),
        sounds=steered_sounds(f"{STEERED_CELL}/{{attribute}}/sounds"),
    log:
        "logs/render_steered/{encoder}/{steered}.log",
    benchmark:
        "benchmarks/render_steered/{encoder}/{steered}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory(rendering),
        runtime=minutes(rendering),
    params:
        module=encoder_option("module"),
        options=encoder_option("encode_options"),
        attributes=LABELLERS,
        alphas=STEERING["alphas"],
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/render_steered.py"


rule aggregate_steering:
    """What was measured of all steered cells, with intervals over clips, and the methods at matched shift."""
    input:
        code=code("aggregate_steering.py"),
        cells=steered_files(f"{STEERED_CELL}/cell.json"),
        classes=steered_files(f"{STEERED_CELL}/{{attribute}}/classes.json"),
        effects=steered_files(f"{STEERED_CELL}/{{attribute}}/effects.parquet"),
        sounds=steered_files(f"{STEERED_CELL}/{{attribute}}/sounds.parquet"),
        distances=steered_files(f"{STEERED_CELL}/{{attribute}}/distances.parquet"),
    output:
        steering="results/report/tables/steering.csv",
        methods="results/report/tables/steering_methods.csv",
        steering_table="results/tables/steering.parquet",
        methods_table="results/tables/steering_methods.parquet",
    log:
        "logs/aggregate_steering.log",
    benchmark:
        "benchmarks/aggregate_steering.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        seed=SEED,
    script:
        "../workflow_scripts/aggregate_steering.py"
