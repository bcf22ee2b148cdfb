"""
Prompts: captions that music is described by, for models that generate it (generation.smk).

Needs   nothing
Makes   resources/prompts/{prompts}/captions.csv   as released
        results/prompts/{prompts}.parquet          those that the seed chose
"""


# Its code is no input: what is fetched is known by what is expected of it
rule fetch_prompts:
    """The released captions, on the machine where snakemake was started."""
    input:
        local=unverified_local_captions,
    output:
        "resources/prompts/{prompts}/captions.csv",
    log:
        "logs/fetch_prompts/{prompts}.log",
    benchmark:
        "benchmarks/fetch_prompts/{prompts}.tsv"
    wildcard_constraints:
        prompts=any_of(PROMPTS),
    localrule: True
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(60),
        source=source_of_captions,
    params:
        released=released_captions,
    script:
        "../workflow_scripts/fetch_prompts.py"


rule choose_prompts:
    """A seeded choice of the captions."""
    input:
        code=prompts_code("choose_prompts.py"),
        captions="resources/prompts/{prompts}/captions.csv",
    output:
        "results/prompts/{prompts}.parquet",
    log:
        "logs/choose_prompts/{prompts}.log",
    benchmark:
        "benchmarks/choose_prompts/{prompts}.tsv"
    wildcard_constraints:
        prompts=any_of(PROMPTS),
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        module=prompts_entry("module"),
        n=prompts_entry("n"),
        seed=SEED,
    script:
        "../workflow_scripts/choose_prompts.py"
