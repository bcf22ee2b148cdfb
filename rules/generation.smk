"""
Generation: models that make latents from noise, their paths read by the probes, heard, measured and steered.

Needs   results/latents/, results/steering/{encoder}/{steered}/, results/labels/, results/prompts/
Makes   resources/generators/{module}/                  released files, verified
        results/generators/{generator}/                 weights.safetensors, history.parquet of those trained here
        results/generation/{generator}/prompts.parquet  what is asked for, as vectors, with the seed of each noise
        results/generation/{generator}/shuffled/        probes of shuffled labels
        results/generation/{generator}/traces/          class probabilities at every step, and the ends of the paths
        results/generation/{generator}/strip/           what the page plays
        results/generation/{generator}/samples/         labels and distances of what was generated
        results/generation/{generator}/steered/         what control vectors on the way did to the ends
        results/tables/generation*.parquet              what the figures and the claims read
        results/report/tables/generation*.csv
"""

GENERATION_FOLDER = "results/generation/{generator}"
STEERED_OF_GENERATOR = "results/steering/{encoder}/{steered}"


use rule fetch_weights as fetch_generator_weights with:
    output:
        "resources/generators/{module}/{file}",
    log:
        "logs/fetch_generator_weights/{module}/{file}.log",
    benchmark:
        "benchmarks/fetch_generator_weights/{module}/{file}.tsv"
    wildcard_constraints:
        module=any_of({module for module, _ in GENERATOR_FILES}),
        file=any_of({file for _, file in GENERATOR_FILES}),


rule train_generator:
    """One generator, trained on the latents of the train split."""
    input:
        code=generator_code("train_generator.py"),
        latents=of_generator(encoder_latents),
        frames=of_generator(encoder_frames),
        manifests=manifests(),
        scaling=generator_cell_file("results/latents/{encoder}/scaling.json"),
    output:
        weights="results/generators/{generator}/weights.safetensors",
        history="results/generators/{generator}/history.parquet",
    log:
        "logs/train_generator/{generator}.log",
    benchmark:
        "benchmarks/train_generator/{generator}.tsv"
    wildcard_constraints:
        generator=any_of(TRAINED_GENERATORS),
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory(of_generator(training_flow)),
        runtime=minutes(of_generator(training_flow)),
        checkpoint_s=EXPERIMENT["jobs"]["checkpoint_seconds"],
    params:
        module=generator_option("module"),
        options=generator_option("train_options"),
        seed=SEED,
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/train_generator.py"


rule embed_prompts:
    """What a generator is asked for, as vectors."""
    input:
        code=generator_code("embed_prompts.py"),
        prompts=generator_prompts,
        weights=prompt_weights,
        vectors=given_vectors,
    output:
        f"{GENERATION_FOLDER}/prompts.parquet",
    log:
        "logs/embed_prompts/{generator}.log",
    benchmark:
        "benchmarks/embed_prompts/{generator}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory(embedding_prompts),
        runtime=minutes(embedding_prompts),
    params:
        module=generator_option("module"),
        options=generator_option("generate_options"),
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/embed_prompts.py"


rule shuffle_labels:
    """Labels of other frames, for a probe that can know nothing."""
    input:
        code=code("shuffle_labels.py"),
        frames=of_generator(encoder_frames),
        manifests=manifests(),
        labels=generator_cell_file("results/labels/{attribute}/aligned/{encoder}.parquet"),
    output:
        f"{GENERATION_FOLDER}/shuffled/{{attribute}}/labels.parquet",
    log:
        "logs/shuffle_labels/{generator}/{attribute}.log",
    benchmark:
        "benchmarks/shuffle_labels/{generator}/{attribute}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(joining_one),
        runtime=minutes(joining_one),
    params:
        seed=SEED,
    script:
        "../workflow_scripts/shuffle_labels.py"


use rule fit_probes as fit_shuffled_probes with:
    input:
        code=code("fit_probes.py"),
        latents=of_generator(encoder_latents),
        frames=of_generator(encoder_frames),
        manifests=manifests(),
        scaling=generator_cell_file("results/latents/{encoder}/scaling.json"),
        labels=of_attributes(f"{GENERATION_FOLDER}/shuffled/{{attribute}}/labels.parquet"),
        bins=of_attributes("results/labels/{attribute}/bins.json"),
        model=generator_cell_file(f"{STEERED_OF_GENERATOR}/model.safetensors"),
    output:
        probe=of_attributes(f"{GENERATION_FOLDER}/shuffled/{{attribute}}/probe.safetensors"),
        metrics=of_attributes(f"{GENERATION_FOLDER}/shuffled/{{attribute}}/metrics.json"),
        confusion=of_attributes(f"{GENERATION_FOLDER}/shuffled/{{attribute}}/confusion.npy"),
    log:
        "logs/fit_shuffled_probes/{generator}.log",
    benchmark:
        "benchmarks/fit_shuffled_probes/{generator}.tsv"
    resources:
        gpu=1,
        mem_mb=memory(of_generator(probing_shuffled)),
        runtime=minutes(of_generator(probing_shuffled)),
    params:
        attributes=ATTRIBUTES,
        identity=of_generator(cell_identity),
        fitting=PROBE_FITTING,
        contribution_rows=EXPERIMENT["probes"]["contribution_rows"],
        device=EXPERIMENT["device"],


rule trace_generation:
    """Prompts of one shard generated, and what the probes say at every step."""
    input:
        code=generator_code("trace_generation.py"),
        prompts=f"{GENERATION_FOLDER}/prompts.parquet",
        weights=generator_weights,
        latents=of_generator(encoder_latents),
        frames=of_generator(encoder_frames),
        manifests=manifests(),
        model=generator_cell_file(f"{STEERED_OF_GENERATOR}/model.safetensors"),
        probes=generator_cell_files(f"{STEERED_OF_GENERATOR}/probes/{{attribute}}.safetensors"),
        shuffled=generator_own_files(
            f"{GENERATION_FOLDER}/shuffled/{{attribute}}/probe.safetensors"
        ),
        bins=expand("results/labels/{attribute}/bins.json", attribute=ATTRIBUTES),
    output:
        trace=f"{GENERATION_FOLDER}/traces/shard~{{shard}}.parquet",
        ends=f"{GENERATION_FOLDER}/traces/shard~{{shard}}.npy",
    log:
        "logs/trace_generation/{generator}/shard~{shard}.log",
    benchmark:
        "benchmarks/trace_generation/{generator}/shard~{shard}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory(of_generator(tracing)),
        runtime=minutes(of_generator(tracing)),
        checkpoint_s=EXPERIMENT["jobs"]["checkpoint_seconds"],
    params:
        module=generator_option("module"),
        options=generator_option("generate_options"),
        attributes=ATTRIBUTES,
        n_points=GENERATION["steps"],
        n_shards=GENERATION["shards"],
        batch_prompts=GENERATION["batch_prompts"],
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/trace_generation.py"


rule render_generation:
    """Some prompts on the way, as sound and spectrogram."""
    input:
        code=generator_code("render_generation.py", hearing=True),
        prompts=f"{GENERATION_FOLDER}/prompts.parquet",
        weights=generator_weights,
        encoder_weights=of_generator(encoder_weights),
        cell=generator_cell_file(f"{STEERED_OF_GENERATOR}/cell.json"),
        model=generator_cell_file(f"{STEERED_OF_GENERATOR}/model.safetensors"),
        probes=generator_cell_files(f"{STEERED_OF_GENERATOR}/probes/{{attribute}}.safetensors"),
        bins=expand("results/labels/{attribute}/bins.json", attribute=ATTRIBUTES),
    output:
        strip=f"{GENERATION_FOLDER}/strip/strip.json",
        sounds=strip_sounds(f"{GENERATION_FOLDER}/strip"),
    log:
        "logs/render_generation/{generator}.log",
    benchmark:
        "benchmarks/render_generation/{generator}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory(of_generator(rendering_generation)),
        runtime=minutes(of_generator(rendering_generation)),
    params:
        generator=generator_option("module"),
        generator_options=generator_option("generate_options"),
        module=of_generator(encoder_option("module")),
        options=of_generator(encoder_option("encode_options")),
        attributes=ATTRIBUTES,
        n_points=GENERATION["steps"],
        n_prompts=GENERATION["strip_prompts"],
        steps=GENERATION["strip_steps"],
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/render_generation.py"


rule measure_samples:
    """What was generated beside the test split: labels, and distances of embeddings."""
    input:
        **{f"labels_{attribute}": fine_labels(attribute) for attribute in ATTRIBUTES},
        code=generator_code("measure_samples.py", hearing=True, embeddings=True),
        prompts=f"{GENERATION_FOLDER}/prompts.parquet",
        weights=generator_weights,
        encoder_weights=of_generator(encoder_weights),
        ends=generator_own_files(f"{GENERATION_FOLDER}/traces/shard~{{shard}}.npy"),
        excerpts=generator_cell_file("results/steering/excerpts/{encoder}.npz"),
        originals=expand("results/steering/originals/{embedding}.npz", embedding=EMBEDDINGS),
        embedding_weights=all_embedding_weights(),
        manifests=manifests(),
        bins=expand("results/labels/{attribute}/bins.json", attribute=ATTRIBUTES),
    output:
        counts=f"{GENERATION_FOLDER}/samples/counts.parquet",
        distances=f"{GENERATION_FOLDER}/samples/distances.parquet",
    log:
        "logs/measure_samples/{generator}.log",
    benchmark:
        "benchmarks/measure_samples/{generator}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory(of_generator(measuring_samples)),
        runtime=minutes(of_generator(measuring_samples)),
        checkpoint_s=EXPERIMENT["jobs"]["checkpoint_seconds"],
    params:
        generator=generator_option("module"),
        generator_options=generator_option("generate_options"),
        module=of_generator(encoder_option("module")),
        options=of_generator(encoder_option("encode_options")),
        attributes=LABELLERS,
        embeddings=EMBEDDERS,
        n_prompts=GENERATION["measured_prompts"],
        seed=SEED,
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/measure_samples.py"


rule steer_generation:
    """A control vector added on the way, at and from several steps, and what the ends became."""
    input:
        code=generator_code("steer_generation.py", hearing=True),
        prompts=f"{GENERATION_FOLDER}/prompts.parquet",
        weights=generator_weights,
        encoder_weights=of_generator(encoder_weights),
        model=generator_cell_file(f"{STEERED_OF_GENERATOR}/model.safetensors"),
        probe=generator_cell_file(f"{STEERED_OF_GENERATOR}/probes/{{attribute}}.safetensors"),
        bins="results/labels/{attribute}/bins.json",
        classes=generator_cell_file(f"{STEERED_OF_GENERATOR}/{{attribute}}/classes.json"),
    output:
        f"{GENERATION_FOLDER}/steered/{{attribute}}.parquet",
    log:
        "logs/steer_generation/{generator}/{attribute}.log",
    benchmark:
        "benchmarks/steer_generation/{generator}/{attribute}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory(of_generator(steering_generation)),
        runtime=minutes(of_generator(steering_generation)),
        checkpoint_s=EXPERIMENT["jobs"]["checkpoint_seconds"],
    params:
        generator=generator_option("module"),
        generator_options=generator_option("generate_options"),
        module=of_generator(encoder_option("module")),
        options=of_generator(encoder_option("encode_options")),
        attributes=LABELLERS,
        alpha=GENERATION["steering"]["alpha"],
        steps=GENERATION["steering"]["steps"],
        n_prompts=GENERATION["steering"]["prompts"],
        n_points=GENERATION["steps"],
        batch_prompts=GENERATION["batch_prompts"],
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/steer_generation.py"


rule aggregate_generation:
    """What was traced, measured and steered of all generators, with intervals over prompts."""
    input:
        code=code("aggregate_generation.py"),
        traces=generator_files(f"{GENERATION_FOLDER}/traces/shard~{{shard}}.parquet"),
        prompts=generator_files(f"{GENERATION_FOLDER}/prompts.parquet"),
        counts=generator_files(f"{GENERATION_FOLDER}/samples/counts.parquet"),
        distances=generator_files(f"{GENERATION_FOLDER}/samples/distances.parquet"),
        effects=generator_files(f"{GENERATION_FOLDER}/steered/{{attribute}}.parquet"),
        bins=expand("results/labels/{attribute}/bins.json", attribute=ATTRIBUTES),
    output:
        generation="results/report/tables/generation.csv",
        convergence="results/report/tables/generation_convergence.csv",
        samples="results/report/tables/generation_samples.csv",
        distances="results/report/tables/generation_distances.csv",
        steering="results/report/tables/generation_steering.csv",
        generation_table="results/tables/generation.parquet",
        convergence_table="results/tables/generation_convergence.parquet",
        differences_table="results/tables/generation_differences.parquet",
        example_table="results/tables/generation_example.parquet",
        samples_table="results/tables/generation_samples.parquet",
        distances_table="results/tables/generation_distances.parquet",
        steering_table="results/tables/generation_steering.parquet",
    log:
        "logs/aggregate_generation.log",
    benchmark:
        "benchmarks/aggregate_generation.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(60),
    params:
        generators=GENERATORS,
        attributes=ATTRIBUTES,
        n_shards=GENERATION["shards"],
        floor=GENERATION["floor"],
        tolerance=GENERATION["tolerance"],
        seed=SEED,
    script:
        "../workflow_scripts/aggregate_generation.py"
