"""
Codecs: the released weights of encoders, those that the workflow itself trains, and what they keep of the test split.

Needs   results/datasets/{dataset}/manifest.parquet, shards.json
        results/labels/pitch/frames/{dataset}/    the originals' pitch, so that only decoded sound is tracked
Makes   resources/encoders/{module}/              released files, verified
        results/codecs/{encoder}/                 weights.safetensors, config.json, history.parquet, quality.json
"""


# Its code is no input: what is fetched is known by its sum, and gigabytes are not fetched again for an edit
rule fetch_weights:
    """One file of released weights, on the machine where snakemake was started: compute nodes may have no internet."""
    input:
        local=unverified_local_file,
    output:
        "resources/encoders/{module}/{file}",
    log:
        "logs/fetch_weights/{module}/{file}.log",
    benchmark:
        "benchmarks/fetch_weights/{module}/{file}.tsv"
    wildcard_constraints:
        module=any_of({module for module, _ in RELEASED_FILES}),
        file=any_of({file for _, file in RELEASED_FILES}),
    localrule: True
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(600),
        source=source_of_released_file,
    params:
        released=released_file,
    script:
        "../workflow_scripts/fetch_weights.py"


rule train_codec:
    """One mini codec, trained on the train split of all datasets, or of those that the config names for it."""
    input:
        code=encoder_code("train_codec.py"),
        manifests=codec_training_files("results/datasets/{dataset}/manifest.parquet"),
        shards=codec_training_files("results/datasets/{dataset}/shards.json"),
    output:
        weights="results/codecs/{encoder}/weights.safetensors",
        config="results/codecs/{encoder}/config.json",
        history="results/codecs/{encoder}/history.parquet",
    log:
        "logs/train_codec/{encoder}.log",
    benchmark:
        "benchmarks/train_codec/{encoder}.tsv"
    wildcard_constraints:
        encoder=any_of(TRAINED_ENCODERS),
    conda:
        "../envs/sonolens.yaml"
    # Two codecs side by side on two cores: threads that wait for each other are many times slower beside any other load
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory(codec_training),
        runtime=minutes(codec_training),
        checkpoint_s=EXPERIMENT["jobs"]["checkpoint_seconds"],
    params:
        module=encoder_option("module"),
        options=encoder_option("train_options"),
        seed=SEED,
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/train_codec.py"


rule evaluate_codec:
    """Spectrum and pitch of the test split after encoding and decoding."""
    input:
        code=encoder_code("evaluate_codec.py"),
        manifests=manifests(),
        shards=shard_summaries(),
        weights=encoder_weights,
        pitch=pitch_labels,
    output:
        "results/codecs/{encoder}/quality.json",
    log:
        "logs/evaluate_codec/{encoder}.log",
    benchmark:
        "benchmarks/evaluate_codec/{encoder}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory(hearing_test_split),
        runtime=minutes(hearing_test_split),
    params:
        module=encoder_option("module"),
        options=encoder_option("encode_options"),
        pitch=TRACKER_OPTIONS,
        seed=SEED,
        device=EXPERIMENT["device"],
    script:
        "../workflow_scripts/evaluate_codec.py"
