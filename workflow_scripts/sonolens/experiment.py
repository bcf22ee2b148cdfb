"""The experiment: a config checked against the schema and the cards, with defaults filled in.

Read by every Snakemake process, the remote ones included, so nothing heavy is imported here.
"""

import difflib
import math
import os
from collections.abc import Iterable
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator, ValidationError, validators

from sonolens import plugins
from sonolens.downloads import sources
from sonolens.encoders import own_class

# (key in the config, folder of the plugins, keys of an entry that are not options of its module)
PLUGIN_LISTS = (
    ("datasets", "datasets", {"name", "module", "shards"}),
    ("encoders", "encoders", {"name", "module", "weights", "frame_offset_frames", "trained_on"}),
    ("attributes", "labels", {"name", "module"}),
    ("embeddings", "embeddings", {"name", "module", "weights"}),
    ("generators", "generators", {"name", "module", "encoder", "cell"}),
)


class ConfigError(ValueError):
    """A config that cannot be run; the message names the key and says what is allowed."""


def _filling_defaults(validator_class: type) -> type:
    """A validator that sets absent properties to their default before it checks them."""
    check_properties = validator_class.VALIDATORS["properties"]

    def fill_then_check(validator, properties, instance, schema):
        if isinstance(instance, dict):
            for name, subschema in properties.items():
                if "default" in subschema and name not in instance:
                    # a copy: defaults that are mappings are filled further
                    instance[name] = yaml.safe_load(yaml.safe_dump(subschema["default"]))
        yield from check_properties(validator, properties, instance, schema)

    return validators.extend(validator_class, {"properties": fill_then_check})


_Validator = _filling_defaults(Draft202012Validator)


def _explain(error: ValidationError, schema: dict, prefix: str) -> str:
    """One line that names the key, what was found there and what is allowed."""
    place = prefix
    for step in error.absolute_path:
        place += f"[{step}]" if isinstance(step, int) else f".{step}" if place else str(step)
    if error.validator == "additionalProperties":
        allowed = sorted(error.schema["properties"])
        unknown = sorted(set(error.instance) - set(allowed))
        near = [match for name in unknown for match in difflib.get_close_matches(name, allowed, n=1)]
        hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
        names = ", ".join(map(repr, unknown))
        return f"{place or 'the top level'}: no such key: {names}; allowed are {', '.join(allowed)}{hint}"
    text = f"{place or 'the top level'}: {error.message}"
    if isinstance(error.instance, str) and error.validator == "type":
        text += " (YAML reads 1e-3 as text: write 1.0e-3)" if "number" in str(error.validator_value) else ""
    return f"{text}. {_nearest_description(error, schema)}"


def _nearest_description(error: ValidationError, schema: dict) -> str:
    """What the schema says of the key at fault, or of the list that the faulty item is in."""
    described = ""
    for step in error.absolute_schema_path:
        schema = schema[step]
        if isinstance(schema, dict) and isinstance(schema.get("description"), str):
            described = schema["description"]
    return described


def check(instance: object, schema: dict, prefix: str = "") -> None:
    """Fill the schema's defaults into `instance`, in place. Raises ConfigError listing every fault."""
    faults = sorted({_explain(error, schema, prefix) for error in _Validator(schema).iter_errors(instance)})
    if faults:
        raise ConfigError("the config cannot be used:\n  " + "\n  ".join(faults))


def _resolve_plugins(config: dict) -> None:
    """Split each entry of the plugin lists into its own keys and `options`, the latter checked against the card."""
    for key, folder, own in PLUGIN_LISTS:
        names = [entry["name"] for entry in config[key]]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"{key}: the names {twice} stand there twice; give each entry a name of its own")
        for position, entry in enumerate(config[key]):
            if "module" not in entry:
                entry["module"] = entry["name"]
            is_own = key == "encoders" and own_class.is_own(entry["module"])
            try:
                card = own_class.card(entry["module"]) if is_own else plugins.card(folder, entry["module"])
            except ValueError as error:
                raise ConfigError(f"{key}[{position}].module: {error}") from error
            options = {name: entry.pop(name) for name in list(entry) if name not in own}
            place = f"{key}[{position}] ({entry['name']})"
            check(options, card["options"], place)
            for narrower in plugins.options_of_variant(card, options):
                check(options, narrower, place)
            entry["options"] = options
            entry["card"] = plugins.with_variant(card, options)
            if key == "encoders":
                _resolve_encoder(entry, is_own, place)
            if key == "generators":
                _resolve_generator(entry)


def _resolve_prompts(config: dict) -> None:
    """Put the card of the set of prompts beside its name; there is at most one, and its modules have no options."""
    entry = config["prompts"]
    if entry is None:
        return
    if "module" not in entry:
        entry["module"] = entry["name"]
    try:
        entry["card"] = plugins.card("prompts", entry["module"])
    except ValueError as error:
        raise ConfigError(f"prompts.module: {error}") from error


def _resolve_encoder(entry: dict, is_own: bool, place: str) -> None:
    """What an entry of `encoders` may say beside its module's options."""
    card = entry["card"]
    if "weights" in entry and not (is_own and card["takes_weights"]):
        raise ConfigError(
            f"{place}.weights: only a class of your own with a parameter `weights` takes paths here; what stands in "
            "for a released file is said under `downloads.files`"
        )
    if "trained_on" in entry and not card["trained"]:
        raise ConfigError(
            f"{place}.trained_on: {entry['module']} comes with released weights; only minivae and its like are trained"
        )
    if "frame_offset_frames" in entry:
        card["frame_offset_frames"] = entry["frame_offset_frames"]
    if not card["trained"]:
        # of one that is not trained here, all options are read when encoding
        card["encode_only"] = list(card["options"]["properties"])


def _resolve_generator(entry: dict) -> None:
    """Without what prompts are embedded by, if they are given as they should become."""
    card = entry["card"]
    if "prompts_given_by" in card and entry["options"][card["prompts_given_by"]] is not None:
        card["files"] = [file for file in card["files"] if file["name"] not in card["prompt_files"]]
        card["prompt_files"] = []


def _check_generation(config: dict) -> None:
    """What `generators` and `generation` speak of exists, and fits."""
    steered = config["steering"]["cells"]
    for generator in config["generators"]:
        place = f"generators ({generator['name']})"
        encoders = names(config, "encoders")
        if generator["encoder"] not in encoders:
            known = ", ".join(encoders)
            raise ConfigError(
                f"{place}.encoder: {generator['encoder']} is none of {known}; `generators: []` generates nothing"
            )
        cells = [cell["name"] for cell in steered if generator["encoder"] in cell["encoders"]]
        generator.setdefault("cell", cells[0] if cells else "best")
        if generator["cell"] not in cells:
            raise ConfigError(
                f"{place}.cell: {generator['cell']} is none of steering.cells that are of {generator['encoder']} "
                f"({', '.join(cells) or 'there are none'}); `generators: []` generates nothing"
            )
        card, d_latent = generator["card"], entry(config, "encoders", generator["encoder"])["card"]["d_latent"]
        if "d_latent" in card and card["d_latent"] != d_latent:
            raise ConfigError(
                f"{place}.encoder: {generator['module']} generates {card['d_latent']} numbers a frame, and "
                f"{generator['encoder']} has {d_latent}"
            )
        if card["prompts"] == "configured" and config["prompts"] is None:
            raise ConfigError(
                f"{place}: {generator['module']} is told what to generate by `prompts`, and there are none"
            )
    last = config["generation"]["steps"] - 1
    for key, steps in (("strip_steps", config["generation"]), ("steering.steps", config["generation"]["steering"])):
        beyond = [step for step in steps[key.rpartition(".")[2]] if step > last]
        if beyond:
            raise ConfigError(f"generation.{key}: {beyond} lie beyond the last step, which is {last}")


def _check_embeddings(config: dict) -> None:
    for entry in config["embeddings"]:
        needs = entry["card"]["needs_weights"]
        if needs != ("weights" in entry):
            wanted = "needs the paths of files that you have" if needs else "comes with its weights and takes none"
            raise ConfigError(f"embeddings ({entry['name']}).weights: {entry['module']} {wanted}")


def _check_steering(config: dict) -> None:
    """Names and cells that `steering` speaks of exist; absent choices are filled in."""
    cells = config["steering"]["cells"]
    names_of_cells = [cell["name"] for cell in cells]
    if len(set(names_of_cells)) < len(names_of_cells):
        raise ConfigError(f"steering.cells: the names {names_of_cells} are not all different")
    attributes, encoders = names(config, "attributes"), names(config, "encoders")
    for cell in cells:
        place = f"steering.cells ({cell['name']})"
        cell.setdefault("attribute", attributes[0])
        cell.setdefault("encoders", encoders)
        _refuse_unknown(f"{place}.attribute", [cell["attribute"]], attributes)
        _refuse_unknown(f"{place}.encoders", cell["encoders"], encoders)
        if ("expansion" in cell) != ("lam" in cell):
            raise ConfigError(f"{place}: `expansion` and `lam` name a cell together, or neither is given")
        if "expansion" in cell:
            _refuse_unknown(f"{place}.expansion", [cell["expansion"]], config["sae"]["expansions"])
            _refuse_unknown(f"{place}.lam", [cell["lam"]], config["sae"]["lams"])
    _refuse_unknown("steering.classes", config["steering"]["classes"], attributes)


def _refuse_unknown(place: str, wanted: Iterable, known: list) -> None:
    unknown = [one for one in wanted if one not in known]
    if unknown:
        raise ConfigError(f"{place}: {', '.join(map(str, unknown))} is none of {', '.join(map(str, known))}")


def _check_meaning(config: dict) -> None:
    """What a schema cannot say."""
    _check_embeddings(config)
    _check_steering(config)
    _check_generation(config)
    total = sum(config["splits"].values())
    if not math.isclose(total, 1.0, abs_tol=1e-9):
        raise ConfigError(f"splits: train, validation and test add up to {total:g}, not to 1")
    encoders = {entry["name"] for entry in config["encoders"]}
    datasets = {entry["name"] for entry in config["datasets"]}
    for entry in config["encoders"]:
        unknown = sorted(set(entry["trained_on"]) - datasets) if "trained_on" in entry else []
        if unknown:
            raise ConfigError(
                f"encoders ({entry['name']}).trained_on: {unknown} are not among the datasets {sorted(datasets)}"
            )
    unknown = sorted(set(config["objective"]["encoders"]) - encoders)
    if unknown:
        raise ConfigError(f"objective.encoders: {unknown} are not among the encoders {sorted(encoders)}")
    if config["sae"]["warmup_share"] + config["sae"]["decay_share"] > 1:
        raise ConfigError("sae: warmup_share and decay_share add up to more than 1")


def resolve(config: dict, schema_path: str | Path) -> dict:
    """The config with defaults filled in and each plugin entry split into own keys, `options` and `card`.

    Raises ConfigError, naming each faulty key and what is allowed there.
    """
    resolved = yaml.safe_load(yaml.safe_dump(config))  # a deep copy of plain types; Snakemake passes its own
    check(resolved, yaml.safe_load(Path(schema_path).read_text()))
    _resolve_plugins(resolved)
    _resolve_prompts(resolved)
    _check_meaning(resolved)
    try:
        prompts = [resolved["prompts"]] if resolved["prompts"] else []
        fetched = [*resolved["datasets"], *resolved["encoders"], *resolved["generators"], *prompts]
        sources.refuse_unaccepted(fetched, resolved["downloads"])
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return resolved


def refuse_unwritable(folders: list[str]) -> None:
    """Raise ConfigError, naming the folder, if one of those that the workflow writes to is there and cannot be written.

    One that is not there yet is judged by the folder that it would be made in.
    """
    for name in folders:
        folder = Path(name) if os.path.lexists(name) else Path(name).absolute().parent
        if not folder.is_dir():
            raise ConfigError(f"'{name}' is not a folder, and results have to go there: move it away")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(f"'{folder}' cannot be written: change its permissions, or run in a copy of the project")


def dims(config: dict, encoder: str) -> list[int]:
    """n_features of the grid for one encoder, ascending: its d_latent times each expansion."""
    d_latent = entry(config, "encoders", encoder)["card"]["d_latent"]
    return sorted(d_latent * expansion for expansion in config["sae"]["expansions"])


def entry(config: dict, key: str, name: str) -> dict:
    """The entry called `name` of one of the plugin lists."""
    return next(entry for entry in config[key] if entry["name"] == name)


def names(config: dict, key: str) -> list[str]:
    """Names of the entries of a plugin list, in the config's order."""
    return [entry["name"] for entry in config[key]]
