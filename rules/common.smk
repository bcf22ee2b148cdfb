"""
What all files of rules share: the checked config, wildcard constraints, code as input, lists of paths, sizes of jobs.

The only file with `def`. Every job on a cluster parses this, so nothing heavy is imported, and long lists are made by
input functions: by the one job that reads them.
"""

import sys
from functools import cache
from itertools import product
from pathlib import Path

from snakemake.iocontainers import Wildcards

SCRIPTS = Path(workflow.basedir) / "workflow_scripts"
sys.path.insert(0, str(SCRIPTS))

from sonolens import experiment, plugins, sizing, staleness
from sonolens.datasets import listing
from sonolens.downloads import sources
from sonolens.encoders import own_class
from sonolens.jobs import finishing
from sonolens.steering import methods

try:
    experiment.refuse_unwritable(["results", "resources", "logs", "benchmarks", "checkpoints"])
    EXPERIMENT = experiment.resolve(config, Path(workflow.basedir) / "rules" / "config.schema.yaml")
except experiment.ConfigError as error:
    raise WorkflowError(str(error)) from None

SEED = EXPERIMENT["seed"]
DATASETS = experiment.names(EXPERIMENT, "datasets")
ENCODERS = experiment.names(EXPERIMENT, "encoders")
ATTRIBUTES = experiment.names(EXPERIMENT, "attributes")
# Released ones are fetched where snakemake was started, or lie where the config says; the others are made or listed
RELEASED_DATASETS = [
    entry["name"] for entry in EXPERIMENT["datasets"] if {"files", "gated"} & entry["card"].keys()
]
MADE_DATASETS = [name for name in DATASETS if name not in RELEASED_DATASETS]
LAMS = EXPERIMENT["sae"]["lams"]
TRAINED_ENCODERS = [entry["name"] for entry in EXPERIMENT["encoders"] if entry["card"]["trained"]]
GPU_ATTRIBUTES = [entry["name"] for entry in EXPERIMENT["attributes"] if entry["card"]["gpu"]]
CPU_ATTRIBUTES = [name for name in ATTRIBUTES if name not in GPU_ATTRIBUTES]
OBJECTIVE = EXPERIMENT["objective"]
PROMPTS = [EXPERIMENT["prompts"]["name"]] if EXPERIMENT["prompts"] else []
EMBEDDINGS = experiment.names(EXPERIMENT, "embeddings")
STEERING = EXPERIMENT["steering"]
# (encoder, name of a steered cell) of all that are steered
STEERED = [
    (encoder, cell["name"])
    for encoder in ENCODERS
    for cell in STEERING["cells"]
    if encoder in cell["encoders"]
]
GENERATORS = experiment.names(EXPERIMENT, "generators")
TRAINED_GENERATORS = [
    entry["name"] for entry in EXPERIMENT["generators"] if entry["card"]["trained"]
]
GENERATION = EXPERIMENT["generation"]
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
    steered=any_of([cell["name"] for cell in STEERING["cells"]]),
    embedding=any_of(EMBEDDINGS),
    generator=any_of(GENERATORS),


@cache
def _reached(*named):
    """Scripts ("train_sae.py"), plugin modules ("encoders/minivae"), files by path, and all of ours that they import."""
    start = [
        (
            path
            if isinstance(path, Path)
            else SCRIPTS / (path if path.endswith(".py") else f"sonolens/{path}.py")
        )
        for path in named
    ]
    root = Path(workflow.basedir)
    files = staleness.reached(SCRIPTS, start)
    # relative paths, so that results moved to another clone are not stale there
    if root.samefile(Path.cwd()):
        files = [path.relative_to(root) if path.is_relative_to(root) else path for path in files]
    return [str(path) for path in files]


def code(script):
    """Input function: code of a script. A function, so that a cluster's job looks into its own script only."""

    def files(wildcards):
        return _reached(script)

    return files


def _plugin_code(key, folder, wildcard, script):
    def files(wildcards):
        entry = experiment.entry(EXPERIMENT, key, wildcards[wildcard])
        return _reached(script, f"{folder}/{entry['module']}")

    return files


def dataset_code(script):
    """Input function: code of a script that loads the dataset of wildcard `dataset`."""
    return _plugin_code("datasets", "datasets", "dataset", script)


def dataset_choice_code(wildcards):
    """Input function: code that says what of the dataset of wildcard `dataset` is fetched, without what fetches it."""
    return _reached(
        f"datasets/{experiment.entry(EXPERIMENT, 'datasets', wildcards.dataset)['module']}"
    )


def _encoder_modules(wildcards):
    named = experiment.entry(EXPERIMENT, "encoders", wildcards.encoder)["module"]
    return own_class.code_files(named) if own_class.is_own(named) else [f"encoders/{named}"]


def encoder_code(script):
    """Input function: code of a script that loads the encoder of wildcard `encoder`, a user's own file included."""

    def files(wildcards):
        return _reached(script, *_encoder_modules(wildcards))

    return files


def hearing_code(script, *, embeddings=False):
    """Input function: the same of one that also measures every attribute, and maybe embeds, what it decodes."""
    modules = [f"labels/{entry['module']}" for entry in EXPERIMENT["attributes"]]
    if embeddings:
        modules += [f"embeddings/{entry['module']}" for entry in EXPERIMENT["embeddings"]]

    def files(wildcards):
        return _reached(script, *_encoder_modules(wildcards), *modules)

    return files


def embedding_code(script):
    """Input function: code of a script that loads the embedding of wildcard `embedding`."""
    return _plugin_code("embeddings", "embeddings", "embedding", script)


def generator_code(script, *, hearing=False, embeddings=False):
    """Input function: code of a script that loads the generator of wildcard `generator`; of one that also measures what
    its encoder decodes, as hearing_code.
    """
    heard = of_generator(hearing_code(script, embeddings=embeddings))

    def files(wildcards):
        own = _reached(script, f"generators/{_generator(wildcards)['module']}")
        return sorted({*own, *heard(wildcards)}) if hearing else own

    return files


def attribute_code(script):
    """Input function: code of a script that loads the attribute of wildcard `attribute`."""
    return _plugin_code("attributes", "labels", "attribute", script)


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


def _files_of_weights(entry):
    """Files behind an embedding's `weights`: of a folder, all that lie in it."""
    paths = [Path(path) for path in entry.get("weights", [])]
    return [
        str(file)
        for path in paths
        for file in (sorted(path.iterdir()) if path.is_dir() else [path])
    ]


def embedding_weights(wildcards):
    """Input function: files of weights of the embedding of wildcard `embedding`; most have none, they come inside a package."""
    return _files_of_weights(experiment.entry(EXPERIMENT, "embeddings", wildcards.embedding))


EMBEDDERS = {
    entry["name"]: {
        "module": entry["module"],
        "options": entry["options"],
        "weights": entry.get("weights", []),
    }
    for entry in EXPERIMENT["embeddings"]
}


def all_embedding_weights():
    """The same of all embeddings."""
    return [path for entry in EXPERIMENT["embeddings"] for path in _files_of_weights(entry)]


def embedder(wildcards):
    """Params function: module, options and weights of the embedding of wildcard `embedding`."""
    return EMBEDDERS[wildcards.embedding]


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


@cache
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


def shard_summaries():
    """How much audio the shards and splits of all datasets hold."""
    return dataset_files("results/datasets/{dataset}/shards.json")


def codec_training_files(pattern):
    """Input function: `pattern` for every dataset that wildcard `encoder` is trained on."""

    def files(wildcards):
        entry = experiment.entry(EXPERIMENT, "encoders", wildcards.encoder)
        return expand(pattern, dataset=entry["trained_on"] if "trained_on" in entry else DATASETS)

    return files


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
    """Weights of wildcard `encoder`: trained by the workflow, released files, or those of a user's own encoder."""
    entry = experiment.entry(EXPERIMENT, "encoders", wildcards.encoder)
    if entry["card"]["trained"]:
        return [f"results/codecs/{wildcards.encoder}/weights.safetensors"]
    if "weights" in entry:
        return entry["weights"]
    return [
        f"resources/encoders/{entry['module']}/{file['name']}" for file in entry["card"]["files"]
    ]


def _released_files(key):
    return {
        (entry["module"], file["name"]): sources.wanted(file, EXPERIMENT["downloads"])
        for entry in EXPERIMENT[key]
        if not entry["card"]["trained"]
        for file in entry["card"]["files"]
    }


ENCODER_FILES, GENERATOR_FILES = _released_files("encoders"), _released_files("generators")
RELEASED_FILES = ENCODER_FILES | GENERATOR_FILES


def _identity(wanted):
    return {
        key: value
        for key, value in wanted.items()
        if key != "source" or not sources.has_sum(wanted)
    }


def _unverified_local(wanted):
    local = sources.local_source(wanted)
    return [] if local is None or sources.has_sum(wanted) else [local]


def released_file(wildcards):
    """Params function: what file wildcards `module` and `file` have to be. Where it comes from is no part of that, if
    its sum is known: another mirror makes nothing stale.
    """
    return _identity(RELEASED_FILES[wildcards.module, wildcards.file])


def unverified_local_file(wildcards):
    """Input function: the local file that stands in for one whose sum nobody has stated; others are known by it."""
    return _unverified_local(RELEASED_FILES[wildcards.module, wildcards.file])


def source_of_released_file(wildcards):
    """Resource function: the link or path that it is fetched from."""
    return RELEASED_FILES[wildcards.module, wildcards.file]["source"]


def _captions(wildcards):
    (file,) = EXPERIMENT["prompts"]["card"]["files"]
    return sources.wanted(file, EXPERIMENT["downloads"])


def released_captions(wildcards):
    """Params function: as released_file, of the file of captions."""
    return _identity(_captions(wildcards))


def unverified_local_captions(wildcards):
    """Input function: as unverified_local_file."""
    return _unverified_local(_captions(wildcards))


def source_of_captions(wildcards):
    """Resource function: as source_of_released_file."""
    return _captions(wildcards)["source"]


def prompts_code(script):
    """Input function: code of a script that loads the module of the configured prompts."""

    def files(wildcards):
        return _reached(script, f"prompts/{EXPERIMENT['prompts']['module']}")

    return files


def prompts_entry(what):
    """Params function: "module" or "n" of the configured prompts."""

    def value(wildcards):
        return EXPERIMENT["prompts"][what]

    return value


def prompt_files():
    """The chosen prompts; none if the config has none."""
    return expand("results/prompts/{prompts}.parquet", prompts=PROMPTS)


def origin_of_dataset(wildcards):
    """Resource function: where the files of wildcard `dataset` are fetched from, which is no part of what they are."""
    card = experiment.entry(EXPERIMENT, "datasets", wildcards.dataset)["card"]
    return sources.origin(card, EXPERIMENT["downloads"])


def own_sums_of_dataset(wildcards):
    """Params function: the sums of a user's own files that stand in for some of the dataset's."""
    card = experiment.entry(EXPERIMENT, "datasets", wildcards.dataset)["card"]
    return sources.own_sums_of(card, EXPERIMENT["downloads"])


def _generator(wildcards):
    return experiment.entry(EXPERIMENT, "generators", wildcards.generator)


def of_generator(value):
    """What a function of wildcards `encoder` and `steered` gives for those that wildcard `generator` works on."""

    def of_its_encoder(wildcards, *rest):
        entry = _generator(wildcards)
        known = {"encoder": entry["encoder"], "steered": entry["cell"]} | dict(wildcards.items())
        return value(Wildcards(fromdict=known), *rest)

    return of_its_encoder


def generator_cell_file(pattern):
    """Input function: `pattern` of the encoder and the cell that wildcard `generator` works on."""

    def file(wildcards):
        return pattern.format(**dict(wildcards.items()))

    return of_generator(file)


def generator_cell_files(pattern):
    """Input function: the same for every attribute."""

    def files(wildcards):
        return expand(pattern, attribute=ATTRIBUTES, **dict(wildcards.items()))

    return of_generator(files)


def generator_own_files(pattern):
    """Input function: `pattern` of wildcard `generator`, for every attribute and shard of prompts if it has one."""

    def files(wildcards):
        shards = range(GENERATION["shards"])
        return expand(pattern, generator=wildcards.generator, attribute=ATTRIBUTES, shard=shards)

    return files


def generator_files(pattern):
    """The same of all generators."""
    shards = range(GENERATION["shards"])
    return expand(pattern, generator=GENERATORS, attribute=ATTRIBUTES, shard=shards)


def generator_option(what):
    """Params function: "module", "options", "train_options" or "generate_options" of wildcard `generator`."""

    def value(wildcards):
        entry = _generator(wildcards)
        if not what.endswith("_options"):
            return entry[what]
        later = entry["card"]["generate_only"] if entry["card"]["trained"] else entry["options"]
        return {
            name: option
            for name, option in entry["options"].items()
            if (name in later) == (what == "generate_options")
        }

    return value


def generator_weights(wildcards):
    """Input function: weights that wildcard `generator` generates with: trained by the workflow, or released files."""
    return _generator_weights(wildcards, for_prompts=False)


def prompt_weights(wildcards):
    """Input function: files that the prompts of wildcard `generator` are embedded with."""
    return _generator_weights(wildcards, for_prompts=True)


def _generator_weights(wildcards, for_prompts):
    entry = _generator(wildcards)
    if entry["card"]["trained"]:
        return [f"results/generators/{wildcards.generator}/weights.safetensors"]
    embedding = entry["card"]["prompt_files"]
    return [
        f"resources/generators/{entry['module']}/{file['name']}"
        for file in entry["card"]["files"]
        if (file["name"] in embedding) == for_prompts
    ]


def generator_prompts(wildcards):
    """Input function: the configured prompts, if wildcard `generator` is told what to generate by them."""
    return prompt_files() if _generator(wildcards)["card"]["prompts"] == "configured" else []


def given_vectors(wildcards):
    """Input function: the user's own file of vectors for the prompts of wildcard `generator`, if there is one."""
    entry = _generator(wildcards)
    key = entry["card"]["prompts_given_by"] if "prompts_given_by" in entry["card"] else None
    return [entry["options"][key]] if key and entry["options"][key] else []


def strip_sounds(pattern):
    """What the page plays of `pattern`, the folder of a generator's strip.json."""
    return expand(
        f"{pattern}/prompt~{{prompt}}/{{view}}/step~{{step}}.{{form}}",
        prompt=range(GENERATION["strip_prompts"]),
        view=["x_t", "end_estimate"],
        step=GENERATION["strip_steps"],
        form=["wav", "png"],
        allow_missing=True,
    )


def encoder_files(pattern):
    """`pattern` for every encoder, and for every attribute if the pattern has one."""
    return expand(pattern, encoder=ENCODERS, attribute=ATTRIBUTES, allow_missing=True)


def trained_encoder_files(pattern):
    """`pattern` for every encoder that the workflow trains."""
    return expand(pattern, encoder=TRAINED_ENCODERS, attribute=ATTRIBUTES, allow_missing=True)


def _cells_of(encoder, pattern):
    return expand(
        pattern,
        encoder=encoder,
        dim=experiment.dims(EXPERIMENT, encoder),
        lam=LAMS,
        attribute=ATTRIBUTES,
    )


def cell_files(pattern):
    """Input function: `pattern` for every cell of the grid, and for every attribute if the pattern has one."""

    def files(wildcards):
        return [path for encoder in ENCODERS for path in _cells_of(encoder, pattern)]

    return files


def encoder_cell_files(pattern):
    """Input function: the same for the cells of wildcard `encoder`."""

    def files(wildcards):
        return _cells_of(wildcards.encoder, pattern)

    return files


def _steered_cell(wildcards):
    return next(cell for cell in STEERING["cells"] if cell["name"] == wildcards.steered)


def _steered_dims(wildcards):
    """n_features that the cell of wildcard `steered` may turn out to have: one if the config names it."""
    cell = _steered_cell(wildcards)
    if "expansion" not in cell:
        return experiment.dims(EXPERIMENT, wildcards.encoder)
    return [cell["expansion"] * _encoder_card(wildcards)["d_latent"]]


def steered_candidates(pattern):
    """Input function: `pattern` for the cells that wildcard `steered` may turn out to be."""

    def files(wildcards):
        cell = _steered_cell(wildcards)
        return expand(
            pattern,
            encoder=wildcards.encoder,
            dim=_steered_dims(wildcards),
            lam=cell["lam"] if "lam" in cell else LAMS,
            attribute=ATTRIBUTES,
        )

    return files


def steering_criterion(wildcards):
    """Params function: what the cell of wildcard `steered` is chosen by; None if the config names it."""
    cell = _steered_cell(wildcards)
    return (
        None
        if "expansion" in cell
        else {"criterion": cell["criterion"], "attribute": cell["attribute"]}
    )


def steered_files(pattern):
    """`pattern` for every steered cell, and for every attribute if the pattern has one."""
    return [
        path
        for encoder, steered in STEERED
        for path in expand(pattern, encoder=encoder, steered=steered, attribute=ATTRIBUTES)
    ]


def classes_to_steer_to(wildcards):
    """Params function: classes of wildcard `attribute` by name, or how many."""
    named = STEERING["classes"]
    return named[wildcards.attribute] if wildcards.attribute in named else STEERING["n_classes"]


def steered_sounds(pattern):
    """What the page plays of `pattern`, a folder by attribute: steered to each class with each α, and unsteered."""
    named, paths = STEERING["classes"], []
    for attribute in ATTRIBUTES:
        n_classes = len(named[attribute]) if attribute in named else STEERING["n_classes"]
        sounds = [
            f"class~{position}/alpha~{alpha:g}"
            for position in range(n_classes)
            for alpha in STEERING["alphas"]
        ]
        paths += expand(
            f"{pattern}/{{sound}}.{{form}}",
            attribute=attribute,
            sound=["original", "sae", *sounds],
            form=["wav", "png"],
            allow_missing=True,
        )
    return paths


def steered_cell_sounds(pattern):
    """The same for every steered cell."""
    return [
        path
        for encoder, steered in STEERED
        for path in expand(steered_sounds(pattern), encoder=encoder, steered=steered)
    ]


def _measure_options(entry):
    """Options of an attribute that decide what is measured, without those of its classes."""
    bin_options = entry["card"]["bin_options"]
    return {name: value for name, value in entry["options"].items() if name not in bin_options}


LABELLERS = {
    entry["name"]: {"module": entry["module"], "options": _measure_options(entry)}
    for entry in EXPERIMENT["attributes"]
}


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
    if "pattern" not in options:
        return None
    return listing.digest(options["path"], options["pattern"], options["table"])


def aligned_labels_of_encoder(wildcards):
    """Aligned labels of every attribute for wildcard `encoder`, in the config's order."""
    return expand(
        "results/labels/{attribute}/aligned/{encoder}.parquet",
        attribute=ATTRIBUTES,
        encoder=wildcards.encoder,
    )


def of_attributes(pattern):
    """`pattern` for every attribute, in the config's order; its other wildcards stay."""
    return expand(pattern, attribute=ATTRIBUTES, allow_missing=True)


def cell_identity(wildcards):
    """Params function: which cell it is, as the metrics of its probes say it."""
    known = dict(wildcards.items())
    return {
        "encoder": known["encoder"],
        "dim": int(known["dim"]) if "dim" in known else None,
        "lam": float(known["lam"]) if "lam" in known else None,
    }


SAE_TRAINING = {
    key: EXPERIMENT["sae"][key]
    for key in (
        "steps",
        "batch_frames",
        "learning_rate",
        "warmup_share",
        "decay_share",
        "lam_warmup_share",
        "max_gradient_norm",
        "unit_norm_decoder",
        "resample_steps",
        "precision",
        "history_rows",
    )
} | {"seed": SEED}


PROBE_FITTING = {
    key: EXPERIMENT["probes"][key]
    for key in ("max_epochs", "patience", "batch_frames", "learning_rate")
} | {"seed": SEED}


PITCH_ATTRIBUTES = [entry for entry in EXPERIMENT["attributes"] if entry["module"] == "pitch"]


def pitch_labels(wildcards):
    """Input function: fine labels of the first pitch attribute, which is what is checked against the truth; none without one."""
    return fine_labels(PITCH_ATTRIBUTES[0]["name"]) if PITCH_ATTRIBUTES else []


def encoder_geometry(wildcards):
    """Params function: where the frames of wildcard `encoder` begin; its frame_time.json says what they stand for."""
    card = _encoder_card(wildcards)
    keys = ("sample_rate_hz", "hop_samples", "segment_samples", "segment_stride_samples")
    return {key: card[key] for key in keys if key in card}


def declared_offset_frames(wildcards):
    """Params function: the middle of its hop, what the config or the card says, or None if that is to be measured."""
    card = _encoder_card(wildcards)
    if "frame_offset_frames" in card:
        return card["frame_offset_frames"]
    return None if "causal" in card and card["causal"] else 0.5


def _tracker_options():
    """Options of the pitch tracker that judges sound: the config's own, or the card's defaults without one."""
    if PITCH_ATTRIBUTES:
        return _measure_options(PITCH_ATTRIBUTES[0])
    options, card = {}, plugins.card("labels", "pitch")
    experiment.check(options, card["options"])
    return _measure_options({"options": options, "card": card})


TRACKER_OPTIONS = _tracker_options()


def memory(need):
    """Resource function: megabytes of a job that grow with `attempt`; `need` is their number at the first attempt, or a
    function of wildcards and input that gives a sizing.Need.
    """

    def mem_mb(wildcards, input, attempt):
        megabytes = need(wildcards, input).megabytes if callable(need) else need
        return sizing.memory_mb(megabytes, attempt)

    return mem_mb


def minutes(need):
    """Resource function: minutes of a job that grow with `attempt`; `need` as for memory()."""

    def runtime(wildcards, input, attempt):
        seconds = need(wildcards, input).seconds if callable(need) else 60 * need
        return sizing.runtime_minutes(seconds, attempt, EXPERIMENT["jobs"]["longest_minutes"])

    return runtime


def _encoder_card(wildcards):
    return experiment.entry(EXPERIMENT, "encoders", wildcards.encoder)["card"]


def _scaled_frames(wildcards, input):
    n_frames = sizing.n_scaled_frames(input.scaling, EXPERIMENT["splits"]["train"])
    return n_frames, _encoder_card(wildcards)["d_latent"]


def codec_training(wildcards, input):
    """What a job of train_codec needs."""
    rate_hz = _encoder_card(wildcards)["sample_rate_hz"]
    train = sizing.audio_of(input.shards, "splits", "train")
    return sizing.codec_training(train, rate_hz, EXPERIMENT["device"])


def _network(card):
    """What a card says of the cost of its encoder's network."""
    return sizing.Network(**{key: card[key] for key in sizing.Network._fields if key in card})


def extraction(wildcards, input):
    """What a job of extract_latents needs."""
    card = _encoder_card(wildcards)
    rate_hz = card["sample_rate_hz"]
    shard = sizing.audio_of([input.shards], "shards", wildcards.shard)
    return sizing.extraction(
        shard,
        rate_hz / card["hop_samples"],
        card["d_latent"],
        rate_hz * card["n_channels"],
        _network(card),
        EXPERIMENT["device"],
    )


def measuring_frame_time(wildcards, input):
    """What a job of measure_frame_time needs."""
    return hearing(wildcards, sizing.Audio(0.05, 180, 0), 180, 0)


def scaling(wildcards, input):
    """What a job of measure_scaling needs."""
    d_latent = _encoder_card(wildcards)["d_latent"]
    dtype = EXPERIMENT["latents"]["dtype"]
    return sizing.scaling(sizing.n_latent_frames(input.latents, d_latent, dtype), d_latent)


def labelling(wildcards, input):
    """What a job of label_frames or label_frames_on_gpu needs."""
    shard = sizing.audio_of([input.shards], "shards", wildcards.shard)
    return sizing.labelling(shard, wildcards.attribute in GPU_ATTRIBUTES, EXPERIMENT["device"])


def joining(wildcards, input):
    """What a job of fit_bins or align_labels needs."""
    return sizing.joining(input.labels, with_truth=False)


def joining_one(wildcards, input):
    """What a job of shuffle_labels needs."""
    return sizing.joining([input.labels], with_truth=False)


def checking(wildcards, input):
    """What a job of check_labels needs."""
    return sizing.joining(input.labels, with_truth=True)


def training(wildcards, input):
    """What a job of train_sae or train_objective_sae needs."""
    return sizing.training(
        *_scaled_frames(wildcards, input),
        int(wildcards.dim),
        steps=EXPERIMENT["sae"]["steps"],
        batch_frames=EXPERIMENT["sae"]["batch_frames"],
        history_rows=EXPERIMENT["sae"]["history_rows"],
        validation_share=EXPERIMENT["splits"]["validation"],
        device=EXPERIMENT["device"],
    )


def probing(wildcards, input):
    """What a job of fit_probes, fit_raw_probes or fit_objective_probe needs."""
    return sizing.probing(
        *_scaled_frames(wildcards, input),
        cell_identity(wildcards)["dim"],
        n_attributes=len(ATTRIBUTES),
        max_epochs=EXPERIMENT["probes"]["max_epochs"],
        batch_frames=EXPERIMENT["probes"]["batch_frames"],
        device=EXPERIMENT["device"],
    )


def hearing(wildcards, audio, seconds, n_features):
    """What a job needs that decodes `seconds` of sound from recordings `audio`, through a cell of n_features if any."""
    card = _encoder_card(wildcards)
    return sizing.hearing(
        audio,
        seconds,
        card["sample_rate_hz"] * card["n_channels"],
        _network(card),
        EXPERIMENT["device"],
        n_features=n_features,
        d_latent=card["d_latent"],
    )


def hearing_test_split(wildcards, input):
    """What a job of evaluate_codec needs."""
    test = sizing.audio_of(input.shards, "splits", "test")
    return hearing(wildcards, test, 3600 * test.hours, 0)


def hearing_excerpts(wildcards, input):
    """What a job of decode_excerpts needs."""
    test = sizing.audio_of(input.shards, "splits", "test")
    seconds = EXPERIMENT["sae"]["audio_clips"] * EXPERIMENT["sae"]["audio_seconds"]
    return hearing(wildcards, test, 2 * seconds, 0)


def hearing_cell(wildcards, input):
    """What a job of evaluate_sae_audio needs."""
    seconds = EXPERIMENT["sae"]["audio_clips"] * EXPERIMENT["sae"]["audio_seconds"]
    heard = sizing.Audio(seconds / 3600, EXPERIMENT["sae"]["audio_seconds"], 0)
    return hearing(wildcards, heard, seconds, int(wildcards.dim))


def hearing_clips(wildcards, input):
    """What a job of trace_clips needs."""
    test = sizing.audio_of(input.shards, "splits", "test")
    seconds = EXPERIMENT["report"]["clips"] * EXPERIMENT["report"]["clip_seconds"]
    return hearing(wildcards, test, seconds, max(experiment.dims(EXPERIMENT, wildcards.encoder)))


def hearing_steering_excerpts(wildcards, input):
    """What a job of encode_steering_excerpts needs."""
    heard = STEERING["clips"] * STEERING["seconds"]
    return hearing(wildcards, sizing.audio_of(input.shards, "splits", "test"), heard, 0)


def embedding_originals(wildcards, input):
    """What a job of embed_originals needs."""
    return sizing.labelling(
        sizing.audio_of(input.shards, "splits", "test"), True, EXPERIMENT["device"]
    )


def finding_directions(wildcards, input):
    """What a job of find_directions needs: two passes over the codes."""
    return sizing.probing(
        *_scaled_frames(wildcards, input),
        max(_steered_dims(wildcards)),
        n_attributes=1,
        max_epochs=1,
        batch_frames=EXPERIMENT["probes"]["batch_frames"],
        device=EXPERIMENT["device"],
    )


def _hearing_steered(wildcards, n_sounds):
    card, seconds, dim = (
        _encoder_card(wildcards),
        STEERING["seconds"],
        max(_steered_dims(wildcards)),
    )
    excerpt = sizing.Audio(seconds / 3600, seconds, 0)
    n_frames = seconds * card["sample_rate_hz"] / card["hop_samples"]
    return sizing.steering(hearing(wildcards, excerpt, n_sounds * seconds, dim), n_frames, dim)


def steering(wildcards, input):
    """What a job of steer needs: every method, class and α on every clip."""
    wanted = classes_to_steer_to(wildcards)
    n_classes = wanted if isinstance(wanted, int) else len(wanted)
    n_conditions = 3 + n_classes * len(STEERING["alphas"]) * len(methods.METHODS)
    return _hearing_steered(wildcards, (n_conditions + 2) * STEERING["clips"])


def rendering(wildcards, input):
    """What a job of render_steered needs."""
    n_sounds = len(steered_sounds("{attribute}")) / 2  # each with its spectrogram
    return _hearing_steered(wildcards, n_sounds)


def training_flow(wildcards, input):
    """What a job of train_generator needs."""
    return sizing.training_flow(_scaled_frames(wildcards, input)[0], EXPERIMENT["device"])


def embedding_prompts(wildcards, input):
    """What a job of embed_prompts needs."""
    card = _generator(wildcards)["card"]
    has_model = "prompt_files" in card and bool(card["prompt_files"])
    return sizing.embedding_prompts(has_model, EXPERIMENT["device"])


def probing_shuffled(wildcards, input):
    """What a job of fit_shuffled_probes needs: the cell may turn out to be any."""
    return sizing.probing(
        *_scaled_frames(wildcards, input),
        max(_steered_dims(wildcards)),
        n_attributes=len(ATTRIBUTES),
        max_epochs=EXPERIMENT["probes"]["max_epochs"],
        batch_frames=EXPERIMENT["probes"]["batch_frames"],
        device=EXPERIMENT["device"],
    )


def _generating(wildcards, n_prompts):
    """What generating and reading so many prompts needs, and the seconds of sound that they are."""
    card = _generator(wildcards)["card"]
    flow = sizing.Flow(**{key: card[key] for key in sizing.Flow._fields if key in card})
    encoder = _encoder_card(wildcards)
    need = sizing.generating(
        flow,
        n_prompts,
        GENERATION["batch_prompts"],
        GENERATION["steps"],
        max(_steered_dims(wildcards)),
        EXPERIMENT["device"],
    )
    return need, n_prompts * flow.n_frames * encoder["hop_samples"] / encoder["sample_rate_hz"]


def _n_prompts(wildcards):
    entry = _generator(wildcards)
    if entry["card"]["prompts"] == "configured":
        return EXPERIMENT["prompts"]["n"]
    return entry["options"]["prompts"]


def tracing(wildcards, input):
    """What a job of trace_generation needs."""
    return _generating(wildcards, -(-_n_prompts(wildcards) // GENERATION["shards"]))[0]


def _hearing_generated(wildcards, n_generated, n_heard):
    need, seconds = _generating(wildcards, n_generated)
    each = seconds / max(n_generated, 1)
    sound = sizing.Audio(each / 3600, each, 0)
    return sizing.together(need, hearing(wildcards, sound, each * n_heard, 0))


def rendering_generation(wildcards, input):
    """What a job of render_generation needs."""
    n = GENERATION["strip_prompts"]
    return _hearing_generated(wildcards, n, 2 * n * len(GENERATION["strip_steps"]))


def measuring_samples(wildcards, input):
    """What a job of measure_samples needs: what was generated, its noise, and excerpts."""
    n = min(GENERATION["measured_prompts"], _n_prompts(wildcards))
    return _hearing_generated(wildcards, n, 2 * n + STEERING["clips"])


def steering_generation(wildcards, input):
    """What a job of steer_generation needs: two modes, every class and step."""
    wanted = classes_to_steer_to(wildcards)
    n_classes = wanted if isinstance(wanted, int) else len(wanted)
    n = min(GENERATION["steering"]["prompts"], _n_prompts(wildcards))
    n *= 1 + 2 * n_classes * len(GENERATION["steering"]["steps"])
    return _hearing_generated(wildcards, n, n)


# The page shows the experiment; how its jobs run, and where its files come from, is no part of it.
SHOWN_EXPERIMENT = {key: value for key, value in EXPERIMENT.items() if key != "jobs"} | {
    "downloads": {
        "accepted_licences": EXPERIMENT["downloads"]["accepted_licences"],
        "files": sources.own_sums(EXPERIMENT["downloads"]),
    }
}
