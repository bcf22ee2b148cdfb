"""
The figures of the report: one job each, so that an edit to one redraws that one and the page.

Needs   results/tables/, results/codecs/, results/selected/, results/probes/, results/clips/, results/labels/,
        results/steering/
Makes   results/report/figures/<name>.png, <name>.svg
"""


rule figure_reconstruction:
    """Reconstruction and sparsity over the grid."""
    input:
        code=code("figure_reconstruction.py"),
        cells="results/tables/cells.parquet",
    output:
        png=report(
            "results/report/figures/reconstruction.png",
            caption="captions/reconstruction.rst",
            category="Grid",
            labels={"figure": "Reconstruction and sparsity"},
        ),
        svg="results/report/figures/reconstruction.svg",
    log:
        "logs/figure_reconstruction.log",
    benchmark:
        "benchmarks/figure_reconstruction.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    script:
        "../workflow_scripts/figure_reconstruction.py"


rule figure_dimension:
    """The effect of the dictionary's size, at fixed λ and at matched L0."""
    input:
        code=code("figure_dimension.py"),
        cells="results/tables/cells.parquet",
    output:
        png=report(
            "results/report/figures/dimension.png",
            caption="captions/dimension.rst",
            category="Grid",
            labels={"figure": "Dictionary size"},
        ),
        svg="results/report/figures/dimension.svg",
    log:
        "logs/figure_dimension.log",
    benchmark:
        "benchmarks/figure_dimension.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    script:
        "../workflow_scripts/figure_dimension.py"


rule figure_training:
    """Training curves of the autoencoders and of the codecs."""
    input:
        code=code("figure_training.py"),
        histories="results/tables/histories.parquet",
        codec_histories="results/tables/codec_histories.parquet",
    output:
        png=report(
            "results/report/figures/training.png",
            caption="captions/training.rst",
            category="Grid",
            labels={"figure": "Training curves"},
        ),
        svg="results/report/figures/training.svg",
    log:
        "logs/figure_training.log",
    benchmark:
        "benchmarks/figure_training.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    script:
        "../workflow_scripts/figure_training.py"


rule figure_activations:
    """How often features are active."""
    input:
        code=code("figure_activations.py"),
        cells="results/tables/cells.parquet",
        activations="results/tables/activations.parquet",
    output:
        png=report(
            "results/report/figures/activations.png",
            caption="captions/activations.rst",
            category="Grid",
            labels={"figure": "Activation frequency"},
        ),
        svg="results/report/figures/activations.svg",
    log:
        "logs/figure_activations.log",
    benchmark:
        "benchmarks/figure_activations.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    script:
        "../workflow_scripts/figure_activations.py"


rule figure_objective:
    """The two readings of the L1 term side by side."""
    input:
        code=code("figure_objective.py"),
        objective="results/tables/objective.parquet",
        histories="results/tables/objective_histories.parquet",
    output:
        png=report(
            "results/report/figures/objective.png",
            caption="captions/objective.rst",
            category="Grid",
            labels={"figure": "L1 of f or of h"},
        ),
        svg="results/report/figures/objective.svg",
    log:
        "logs/figure_objective.log",
    benchmark:
        "benchmarks/figure_objective.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    script:
        "../workflow_scripts/figure_objective.py"


rule figure_accuracy:
    """Probe accuracy against sparsity, with both baselines."""
    input:
        code=code("figure_accuracy.py"),
        cells="results/tables/cells.parquet",
        probes="results/tables/probes.parquet",
    output:
        png=report(
            "results/report/figures/accuracy.png",
            caption="captions/accuracy.rst",
            category="Probes",
            labels={"figure": "Accuracy against sparsity"},
        ),
        svg="results/report/figures/accuracy.svg",
    log:
        "logs/figure_accuracy.log",
    benchmark:
        "benchmarks/figure_accuracy.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    script:
        "../workflow_scripts/figure_accuracy.py"


rule figure_accuracy_by_kind:
    """The selected cells' accuracy by kind of recording."""
    input:
        code=code("figure_accuracy_by_kind.py"),
        selected=encoder_files("results/selected/{encoder}.json"),
        subsets="results/tables/subsets.parquet",
    output:
        png=report(
            "results/report/figures/accuracy_by_kind.png",
            caption="captions/accuracy_by_kind.rst",
            category="Probes",
            labels={"figure": "Accuracy by kind of recording"},
        ),
        svg="results/report/figures/accuracy_by_kind.svg",
    log:
        "logs/figure_accuracy_by_kind.log",
    benchmark:
        "benchmarks/figure_accuracy_by_kind.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    script:
        "../workflow_scripts/figure_accuracy_by_kind.py"


rule figure_confusion:
    """The selected cells' confusion matrices."""
    input:
        code=code("figure_confusion.py"),
        selected=encoder_files("results/selected/{encoder}.json"),
        bins=expand("results/labels/{attribute}/bins.json", attribute=ATTRIBUTES),
        confusions=cell_files(
            "results/probes/{encoder}/dim~{dim}/lam~{lam}/{attribute}/confusion.npy"
        ),
    output:
        png=report(
            "results/report/figures/confusion.png",
            caption="captions/confusion.rst",
            category="Probes",
            labels={"figure": "Confusion matrices"},
        ),
        svg="results/report/figures/confusion.svg",
    log:
        "logs/figure_confusion.log",
    benchmark:
        "benchmarks/figure_confusion.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    script:
        "../workflow_scripts/figure_confusion.py"


rule figure_contributions:
    """Which features speak for which classes in the selected cells."""
    input:
        code=code("figure_contributions.py"),
        selected=encoder_files("results/selected/{encoder}.json"),
        bins=expand("results/labels/{attribute}/bins.json", attribute=ATTRIBUTES),
        contributions=cell_files(
            "results/probes/{encoder}/dim~{dim}/lam~{lam}/{attribute}/contributions.parquet"
        ),
    output:
        png=report(
            "results/report/figures/contributions.png",
            caption="captions/contributions.rst",
            category="Probes",
            labels={"figure": "Contributions"},
        ),
        svg="results/report/figures/contributions.svg",
    log:
        "logs/figure_contributions.log",
    benchmark:
        "benchmarks/figure_contributions.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    script:
        "../workflow_scripts/figure_contributions.py"


rule figure_clip:
    """One clip seen whole, with every attribute over time."""
    input:
        code=code("figure_clip.py"),
        clips=encoder_files("results/clips/{encoder}/clips.json"),
        tracks=encoder_files("results/clips/{encoder}/tracks.parquet"),
        audio=encoder_files("results/clips/{encoder}/clip~0/original.wav"),
    output:
        png=report(
            "results/report/figures/clip.png",
            caption="captions/clip.rst",
            category="Sound",
            labels={"figure": "One clip seen whole"},
        ),
        svg="results/report/figures/clip.svg",
    log:
        "logs/figure_clip.log",
    benchmark:
        "benchmarks/figure_clip.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    script:
        "../workflow_scripts/figure_clip.py"


rule figure_audio_quality:
    """What codecs and autoencoders do to sound."""
    input:
        code=code("figure_audio_quality.py"),
        cells="results/tables/cells.parquet",
        codecs=encoder_files("results/codecs/{encoder}/quality.json"),
    output:
        png=report(
            "results/report/figures/audio_quality.png",
            caption="captions/audio_quality.rst",
            category="Sound",
            labels={"figure": "Audio quality"},
        ),
        svg="results/report/figures/audio_quality.svg",
    log:
        "logs/figure_audio_quality.log",
    benchmark:
        "benchmarks/figure_audio_quality.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    script:
        "../workflow_scripts/figure_audio_quality.py"


rule figure_labels:
    """What the label check found."""
    input:
        code=code("figure_labels.py"),
        check="results/labels/check.json",
    output:
        png=report(
            "results/report/figures/labels.png",
            caption="captions/labels.rst",
            category="Labels",
            labels={"figure": "Label check"},
        ),
        svg="results/report/figures/labels.svg",
    log:
        "logs/figure_labels.log",
    benchmark:
        "benchmarks/figure_labels.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    script:
        "../workflow_scripts/figure_labels.py"


rule figure_steering:
    """How far control vectors move their own attribute, and how far the others."""
    input:
        code=code("figure_steering.py"),
        steering="results/tables/steering.parquet",
    output:
        png=report(
            "results/report/figures/steering.png",
            caption="captions/steering.rst",
            category="Steering",
            labels={"figure": "Control vectors"},
        ),
        svg="results/report/figures/steering.svg",
    log:
        "logs/figure_steering.log",
    benchmark:
        "benchmarks/figure_steering.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    script:
        "../workflow_scripts/figure_steering.py"


rule figure_steering_methods:
    """What a shift of the target costs, by the way of steering."""
    input:
        code=code("figure_steering_methods.py"),
        steering="results/tables/steering.parquet",
    output:
        png=report(
            "results/report/figures/steering_methods.png",
            caption="captions/steering_methods.rst",
            category="Steering",
            labels={"figure": "Ways to steer"},
        ),
        svg="results/report/figures/steering_methods.svg",
    log:
        "logs/figure_steering_methods.log",
    benchmark:
        "benchmarks/figure_steering_methods.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    script:
        "../workflow_scripts/figure_steering_methods.py"


rule figure_steering_example:
    """One excerpt steered, seen before and after."""
    input:
        code=code("figure_steering_example.py"),
        steering="results/tables/steering.parquet",
        classes=steered_files("results/steering/{encoder}/{steered}/{attribute}/classes.json"),
        tracks=steered_files("results/steering/{encoder}/{steered}/{attribute}/sounds/tracks.json"),
        audio=[
            path
            for path in steered_cell_sounds(
                "results/steering/{encoder}/{steered}/{attribute}/sounds"
            )
            if path.endswith(".wav")
        ],
    output:
        png=report(
            "results/report/figures/steering_example.png",
            caption="captions/steering_example.rst",
            category="Steering",
            labels={"figure": "One excerpt steered"},
        ),
        svg="results/report/figures/steering_example.svg",
    log:
        "logs/figure_steering_example.log",
    benchmark:
        "benchmarks/figure_steering_example.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    script:
        "../workflow_scripts/figure_steering_example.py"


rule figure_generation:
    """When each attribute settles on the way from noise to music."""
    input:
        code=code("figure_generation.py"),
        generation="results/tables/generation.parquet",
        convergence="results/tables/generation_convergence.parquet",
    output:
        png=report(
            "results/report/figures/generation.png",
            caption="captions/generation.rst",
            category="Generation",
            labels={"figure": "What is settled when"},
        ),
        svg="results/report/figures/generation.svg",
    log:
        "logs/figure_generation.log",
    benchmark:
        "benchmarks/figure_generation.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        tolerance=GENERATION["tolerance"],
    script:
        "../workflow_scripts/figure_generation.py"


rule figure_generation_controls:
    """The same of paths that nobody took, and of probes that know nothing."""
    input:
        code=code("figure_generation_controls.py"),
        generation="results/tables/generation.parquet",
    output:
        png=report(
            "results/report/figures/generation_controls.png",
            caption="captions/generation_controls.rst",
            category="Generation",
            labels={"figure": "Controls"},
        ),
        svg="results/report/figures/generation_controls.svg",
    log:
        "logs/figure_generation_controls.log",
    benchmark:
        "benchmarks/figure_generation_controls.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    script:
        "../workflow_scripts/figure_generation_controls.py"


rule figure_generation_classes:
    """Class probabilities of one prompt over the steps."""
    input:
        code=code("figure_generation_classes.py"),
        example="results/tables/generation_example.parquet",
    output:
        png=report(
            "results/report/figures/generation_classes.png",
            caption="captions/generation_classes.rst",
            category="Generation",
            labels={"figure": "One prompt"},
        ),
        svg="results/report/figures/generation_classes.svg",
    log:
        "logs/figure_generation_classes.log",
    benchmark:
        "benchmarks/figure_generation_classes.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    script:
        "../workflow_scripts/figure_generation_classes.py"


rule figure_generation_samples:
    """Labels and distances of what was generated."""
    input:
        code=code("figure_generation_samples.py"),
        samples="results/tables/generation_samples.parquet",
        distances="results/tables/generation_distances.parquet",
    output:
        png=report(
            "results/report/figures/generation_samples.png",
            caption="captions/generation_samples.rst",
            category="Generation",
            labels={"figure": "What was generated"},
        ),
        svg="results/report/figures/generation_samples.svg",
    log:
        "logs/figure_generation_samples.log",
    benchmark:
        "benchmarks/figure_generation_samples.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    script:
        "../workflow_scripts/figure_generation_samples.py"


rule figure_generation_steering:
    """What a control vector on the way does to the end."""
    input:
        code=code("figure_generation_steering.py"),
        steering="results/tables/generation_steering.parquet",
    output:
        png=report(
            "results/report/figures/generation_steering.png",
            caption="captions/generation_steering.rst",
            category="Generation",
            labels={"figure": "Control vectors on the way"},
        ),
        svg="results/report/figures/generation_steering.svg",
    log:
        "logs/figure_generation_steering.log",
    benchmark:
        "benchmarks/figure_generation_steering.tsv"
    conda:
        "../envs/sonolens.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    script:
        "../workflow_scripts/figure_generation_steering.py"
