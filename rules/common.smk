"""
What all files of rules share: the checked config, wildcard constraints, code as input, lists of paths.

The only file with `def`. Nothing heavy is imported: every remote job parses this.
"""

import sys
from itertools import product
from pathlib import Path

SCRIPTS = Path(workflow.basedir) / "workflow_scripts"
sys.path.insert(0, str(SCRIPTS))

from sonolens import experiment, plugins, staleness
from sonolens.datasets import listing

try:
    experiment.refuse_unwritable(["results", "resources", "logs", "benchmarks"])
    EXPERIMENT = experiment.resolve(config, Path(workflow.basedir) / "rules" / "config.schema.yaml")
except experiment.ConfigError as error:
    raise WorkflowError(str(error)) from None

SEED = EXPERIMENT["seed"]
DATASETS = experiment.names(EXPERIMENT, "datasets")
ENCODERS = experiment.names(EXPERIMENT, "encoders")
ATTRIBUTES = experiment.names(EXPERIMENT, "attributes")
LAMS = EXPERIMENT["sae"]["lams"]
TRAINED_ENCODERS = [entry["name"] for entry in EXPERIMENT["encoders"] if entry["card"]["trained"]]
OBJECTIVE = EXPERIMENT["objective"]
CELL = "results/saes/{encoder}/dim~{dim}/lam~{lam}"


def any_of(values):
    """A regular expression that matches these values only; one that matches nothing if there are none."""
    return "|".join(re.escape(str(value)) for value in values) or "(?!)"


# Only configured cells exist: lam~1e-3 cannot duplicate lam~0.001.
wildcard_constraints:
    dataset=any_of(DATASETS),
    encoder=any_of(ENCODERS),
    attribute=any_of(ATTRIBUTES),
    shard=r"\d+",
    dim=r"\d+",
    lam=any_of(sorted({*LAMS, *OBJECTIVE["lams"]})),
    l1_on="normalised|hidden",


def code(script, *modules):
    """A script, the named plugin modules ("encoders/minivae"), and all of ours that they import, as input paths."""
    start = [
        SCRIPTS / script,
        *(SCRIPTS / "sonolens" / f"{module}.py" for module in modules),
    ]
    root = Path(workflow.basedir)
    files = staleness.reached(SCRIPTS, start)
    # relative paths, so that results moved to another clone are not stale there
    if root.samefile(Path.cwd()):
        files = [path.relative_to(root) for path in files]
    return [str(path) for path in files]


def _plugin_code(key, folder, wildcard, script, *modules):
    def files(wildcards):
        entry = experiment.entry(EXPERIMENT, key, wildcards[wildcard])
        return code(script, f"{folder}/{entry['module']}", *modules)

    return files


def dataset_code(script, *modules):
    """Input function: code of a script that loads the dataset of wildcard `dataset`."""
    return _plugin_code("datasets", "datasets", "dataset", script, *modules)


def encoder_code(script, *modules):
    """Input function: code of a script that loads the encoder of wildcard `encoder`."""
    return _plugin_code("encoders", "encoders", "encoder", script, *modules)


def attribute_code(script, *modules):
    """Input function: code of a script that loads the attribute of wildcard `attribute`."""
    return _plugin_code("attributes", "labels", "attribute", script, *modules)


def _plugin_option(key, wildcard, split_off, what):
    """`what` of an entry; "options" are all of a plugin's options, and those that its card lists under a key of
    `split_off` ({what: (card key, whether those listed are meant)}) can be had alone or left out.
    """

    def value(wildcards):
        entry = experiment.entry(EXPERIMENT, key, wildcards[wildcard])
        if what not in split_off:
            return entry[what]
        card_key, is_listed = split_off[what]
        return {
            name: option
            for name, option in entry["options"].items()
            if (name in entry["card"][card_key]) == is_listed
        }

    return value


def dataset_option(what):
    """Params function: "module", "shards" or "options" of the dataset of wildcard `dataset`."""
    return _plugin_option("datasets", "dataset", {}, what)


def encoder_option(what):
    """Params function: "module", "options", "train_options" or "encode_options" of the encoder."""
    return _plugin_option(
        "encoders",
        "encoder",
        {
            "encode_options": ("encode_only", True),
            "train_options": ("encode_only", False),
        },
        what,
    )


def attribute_option(what):
    """Params function: "module", "options", "measure_options" or "bin_options" of the attribute."""
    return _plugin_option(
        "attributes",
        "attribute",
        {
            "bin_options": ("bin_options", True),
            "measure_options": ("bin_options", False),
        },
        what,
    )


def dataset_files(pattern):
    """`pattern` for every dataset, and for every shard of it if the pattern has one."""
    return [
        path
        for dataset in EXPERIMENT["datasets"]
        for path in expand(
            pattern,
            dataset=dataset["name"],
            shard=range(dataset["shards"]),
            allow_missing=True,
        )
    ]


def manifests():
    """The manifests of all datasets."""
    return dataset_files("results/datasets/{dataset}/manifest.parquet")


def fine_labels(attribute):
    """Labels of one attribute on the 10 ms grid, all shards of all datasets."""
    return dataset_files(f"results/labels/{attribute}/frames/{{dataset}}/shard~{{shard}}.parquet")


def fine_labels_of(wildcards):
    """The same for wildcard `attribute`."""
    return fine_labels(wildcards.attribute)


def encoder_latents(wildcards):
    """Latents of wildcard `encoder`, all shards of all datasets, in the order of every table of frames."""
    return dataset_files(
        f"results/latents/{wildcards.encoder}/{{dataset}}/shard~{{shard}}/latents.npy"
    )


def encoder_frames(wildcards):
    """Which clip and frame each row of those latents is."""
    return dataset_files(
        f"results/latents/{wildcards.encoder}/{{dataset}}/shard~{{shard}}/frames.parquet"
    )


def encoder_weights(wildcards):
    """Weights of wildcard `encoder`: trained by the workflow, or none if the encoder has none."""
    return (
        [f"results/codecs/{wildcards.encoder}/weights.safetensors"]
        if wildcards.encoder in TRAINED_ENCODERS
        else []
    )


def encoder_files(pattern):
    """`pattern` for every encoder, and for every attribute if the pattern has one."""
    return expand(pattern, encoder=ENCODERS, attribute=ATTRIBUTES, allow_missing=True)


def trained_encoder_files(pattern):
    """`pattern` for every encoder that the workflow trains."""
    return expand(pattern, encoder=TRAINED_ENCODERS, attribute=ATTRIBUTES, allow_missing=True)


def cell_files(pattern):
    """`pattern` for every cell of the grid, and for every attribute if the pattern has one."""
    return [
        path
        for encoder in ENCODERS
        for path in expand(
            pattern,
            encoder=encoder,
            dim=experiment.dims(EXPERIMENT, encoder),
            lam=LAMS,
            attribute=ATTRIBUTES,
        )
    ]


def encoder_cell_files(pattern):
    """Input function: `pattern` for every cell of wildcard `encoder`."""

    def files(wildcards):
        return expand(
            pattern,
            encoder=wildcards.encoder,
            dim=experiment.dims(EXPERIMENT, wildcards.encoder),
            lam=LAMS,
            attribute=ATTRIBUTES,
        )

    return files


def objective_files(of_sae=None, of_probe=None):
    """A file of every cell that is compared under both readings of the L1 term: one beside its model (`of_sae`), or
    one beside its probe of the first attribute (`of_probe`).

    With the reading that the grid itself uses, a cell of the grid is not trained twice: its own file is taken.
    """
    paths = []
    for l1_on, encoder, expansion, lam in product(
        ["normalised", "hidden"],
        OBJECTIVE["encoders"],
        OBJECTIVE["expansions"],
        OBJECTIVE["lams"],
    ):
        dim = expansion * experiment.entry(EXPERIMENT, "encoders", encoder)["card"]["d_latent"]
        is_in_grid = (
            l1_on == EXPERIMENT["sae"]["l1_on"]
            and dim in experiment.dims(EXPERIMENT, encoder)
            and lam in LAMS
        )
        cell = f"{encoder}/dim~{dim}/lam~{lam}"
        if not is_in_grid:
            name = of_sae or f"probe_{of_probe}"
            paths.append(f"results/objective/{l1_on}/{cell}/{name}")
        elif of_sae:
            paths.append(f"results/saes/{cell}/{of_sae}")
        else:
            paths.append(f"results/probes/{cell}/{ATTRIBUTES[0]}/{of_probe}")
    return paths


def dataset_listing(wildcards):
    """Params function: a digest of a user's folder, so that a new file there is noticed; None for other datasets."""
    options = experiment.entry(EXPERIMENT, "datasets", wildcards.dataset)["options"]
    if "path" not in options:
        return None
    return listing.digest(options["path"], options["pattern"], options["table"])


def aligned_labels_of_encoder(wildcards):
    """Aligned labels of every attribute for wildcard `encoder`, in the config's order."""
    return expand(
        "results/labels/{attribute}/aligned/{encoder}.parquet",
        attribute=ATTRIBUTES,
        encoder=wildcards.encoder,
    )


def cell_identity(wildcards):
    """Params function: which probe it is, as its metrics say it."""
    known = dict(wildcards.items())
    return {
        "encoder": known["encoder"],
        "attribute": known["attribute"] if "attribute" in known else ATTRIBUTES[0],
        "dim": int(known["dim"]) if "dim" in known else None,
        "lam": float(known["lam"]) if "lam" in known else None,
    }


PROBE_FITTING = {
    key: EXPERIMENT["probes"][key]
    for key in ("max_epochs", "patience", "batch_frames", "learning_rate")
} | {"seed": SEED}


PITCH_ATTRIBUTES = [entry for entry in EXPERIMENT["attributes"] if entry["module"] == "pitch"]


def pitch_labels():
    """Fine labels of the first pitch attribute, which is what is checked against the truth; none without one."""
    return fine_labels(PITCH_ATTRIBUTES[0]["name"]) if PITCH_ATTRIBUTES else []


def encoder_geometry(wildcards):
    """Params function: when the frames of wildcard `encoder` are."""
    card = experiment.entry(EXPERIMENT, "encoders", wildcards.encoder)["card"]
    keys = ("sample_rate_hz", "hop_samples", "frame_offset_frames")
    return {key: card[key] for key in keys if key in card}


def _tracker_options():
    """Options of the pitch tracker that judges sound: the config's own, or the card's defaults without one."""
    if PITCH_ATTRIBUTES:
        options, card = PITCH_ATTRIBUTES[0]["options"], PITCH_ATTRIBUTES[0]["card"]
    else:
        options, card = {}, plugins.card("labels", "pitch")
        experiment.check(options, card["options"])
    return {name: value for name, value in options.items() if name not in card["bin_options"]}


TRACKER_OPTIONS = _tracker_options()
