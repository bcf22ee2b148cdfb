"""
Datasets: what recordings there are, which of them are used, and on which side of the splits they lie.

Needs   nothing, or recordings of the user's own (module: folder; a gated dataset)
Makes   resources/datasets/{dataset}/files.parquet       what is there; what was fetched or rendered lies beside it
        results/datasets/{dataset}/manifest.parquet      the recordings used: split, shard, length, truth
        results/datasets/{dataset}/rejected.parquet      the files that are not used, each with the reason
        results/datasets/{dataset}/shards.json           hours and longest recording of each shard and split
"""


rule fetch_dataset:
    """Render a corpus under resources/, or list the files of a user's folder."""
    input:
        code=dataset_code("fetch_dataset.py"),
    output:
        files="resources/datasets/{dataset}/files.parquet",
    log:
        "logs/fetch_dataset/{dataset}.log",
    benchmark:
        "benchmarks/fetch_dataset/{dataset}.tsv"
    wildcard_constraints:
        dataset=any_of(MADE_DATASETS),
    conda:
        "../envs/sonolens.yaml"
    threads: 2
    resources:
        mem_mb=memory(4000),
        runtime=minutes(120),
    params:
        module=dataset_option("module"),
        options=dataset_option("options"),
        listing=dataset_listing,
        seed=SEED,
    script:
        "../workflow_scripts/fetch_dataset.py"


# How files are fetched is no input, only which: an edit to a download makes no data stale, and what has arrived stays
rule download_dataset:
    """The recordings of a released dataset, on the machine where snakemake was started, and their truth as tables."""
    input:
        code=dataset_choice_code,
    output:
        files="resources/datasets/{dataset}/files.parquet",
    log:
        "logs/download_dataset/{dataset}.log",
    benchmark:
        "benchmarks/download_dataset/{dataset}.tsv"
    wildcard_constraints:
        dataset=any_of(RELEASED_DATASETS),
    # It tries again by itself; a set that is gated or gone should say so once
    retries: 0
    localrule: True
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(1440),
        origin=origin_of_dataset,
    params:
        module=dataset_option("module"),
        options=dataset_option("options"),
        own_sums=own_sums_of_dataset,
        seed=SEED,
        splits=EXPERIMENT["splits"],
    script:
        "../workflow_scripts/download_dataset.py"


rule index_dataset:
    """Check every recording, draw the splits by group, and assign the shards."""
    input:
        code=dataset_code("index_dataset.py"),
        files="resources/datasets/{dataset}/files.parquet",
    output:
        manifest="results/datasets/{dataset}/manifest.parquet",
        rejected="results/datasets/{dataset}/rejected.parquet",
        shards="results/datasets/{dataset}/shards.json",
    log:
        "logs/index_dataset/{dataset}.log",
    benchmark:
        "benchmarks/index_dataset/{dataset}.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(120),
    params:
        module=dataset_option("module"),
        options=dataset_option("options"),
        shards=dataset_option("shards"),
        listing=dataset_listing,
        seed=SEED,
        splits=EXPERIMENT["splits"],
        max_rejected_share=EXPERIMENT["max_rejected_share"],
        min_clip_seconds=EXPERIMENT["min_clip_seconds"],
    script:
        "../workflow_scripts/index_dataset.py"
