"""The page: figures, tables, verdicts and sound, readable from disk with no network."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import jinja2
import pandas as pd
import yaml

from sonolens.downloads.licences import licence
from sonolens.files import read_json, replacing
from sonolens.jobs.provenance import git_commit
from sonolens.report import data_overview, findings
from sonolens.report.captions import read_caption
from sonolens.report.csv_tables import CELL_FIRST
from sonolens.report.origin import origin


class Section(NamedTuple):
    """A part of the page: figures by name, then tables by name with what they are."""

    anchor: str
    short: str
    title: str
    figures: list[str]
    tables: dict[str, str]


SECTIONS = [
    Section(
        "grid",
        "Grid",
        "The grid: how sparse, how faithful",
        ["reconstruction", "dimension", "activations", "training"],
        {"cells": "Every cell"},
    ),
    Section("probes", "Probes", "What the features tell", ["accuracy", "accuracy_by_kind"], {"probes": "Every probe"}),
    Section("features", "Features", "Inside the selected cells", ["confusion", "contributions", "clip"], {}),
    Section(
        "steering",
        "Steering",
        "Control vectors",
        ["steering", "steering_methods", "steering_example"],
        {"steering_methods": "Methods at matched target shift"},
    ),
    Section(
        "generation",
        "Generation",
        "On the way from noise to music",
        [
            "generation",
            "generation_controls",
            "generation_classes",
            "generation_samples",
            "generation_steering",
        ],
        {
            "generation_convergence": "First step from which each curve stays near its end",
            "generation_distances": "Distances to the test recordings",
        },
    ),
    Section("sound", "Sound", "What is left of the sound", ["audio_quality"], {"codecs": "Codecs alone"}),
    Section("objective", "Objective", "L1 of f or of h", ["objective"], {"objective": "Both readings, cell by cell"}),
    Section(
        "data",
        "Data",
        "What went in",
        ["labels"],
        {
            "recordings": "Recordings",
            "frame_times": "The moment that a latent frame stands for, in frames after the start of its hop",
            "labels": "Labels against the truth",
        },
    ),
]
TITLES = {
    "reconstruction": "Reconstruction and sparsity over the grid",
    "dimension": "The effect of the dictionary's size",
    "activations": "How often features are active",
    "training": "Training curves",
    "accuracy": "Accuracy against sparsity",
    "accuracy_by_kind": "Accuracy by kind of recording",
    "confusion": "Confusion matrices",
    "contributions": "Which features speak for which classes",
    "clip": "One clip seen whole",
    "steering": "What control vectors move, and what else",
    "steering_methods": "Ways to steer, at matched target shift",
    "steering_example": "One excerpt, steered in every attribute",
    "generation": "What is settled when",
    "generation_controls": "The same of paths that nobody took",
    "generation_classes": "One prompt, class by class",
    "generation_samples": "What was generated, beside the recordings",
    "generation_steering": "Control vectors on the way",
    "audio_quality": "Codecs and autoencoders, heard by a ruler",
    "objective": "Sparsity, reconstruction and accuracy under both readings",
    "labels": "What the label check found",
}
LISTS = ("datasets", "encoders", "attributes", "embeddings", "generators")
# Of the strip: what is heard in each row
HEARD = {"x_t": "The state X_t as it is", "end_estimate": "Where it would end: X_t + (1 − t)·v"}
PAPER_RANGES = ["paper", "measured"]


def write_page(inputs: dict, outputs: dict, experiment: dict) -> None:
    """Write index.html, and copy the clips' sound, and what the player and the strip play and show, beside it.

    inputs: template (html.j2, css, js), tables and audit (CSVs), captions, figures (present beside the page), clips (a
    clips.json per encoder), audio (wavs), steering (a tracks.json per steered cell and attribute; without any the page
    has no part on steering), steering_sounds (wavs and pngs), generation (a strip.json per generator; without any the
    page has no part on generation), generation_sounds (wavs and pngs); outputs: page, and audio, steering_sounds and
    generation_sounds (one path per file of inputs, in the same order)
    experiment: the resolved config with the plugins' cards
    """
    for files in ("audio", "steering_sounds", "generation_sounds"):
        for source, target in zip(inputs[files], outputs[files], strict=True):
            with replacing(target) as temporary:
                shutil.copyfile(source, temporary)
    template, css, js = (Path(path) for path in inputs["template"])
    csv_paths = [*inputs["tables"], *inputs["audit"]]
    text = {Path(path).stem: pd.read_csv(path, dtype=str, keep_default_na=False) for path in csv_paths}
    numbers = {Path(path).stem: pd.read_csv(path) for path in inputs["tables"]}
    for name in ("cells", "probes", "objective", "codecs"):
        numbers[name] = findings.in_order(numbers[name], experiment)
    listings = [read_json(path) for path in inputs["clips"]]
    players = [read_json(path) for path in inputs["steering"]]
    strips = [read_json(path) for path in inputs["generation"]]
    without = {name for name, shown in (("steering", players), ("generation", strips)) if not shown}
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["short"] = short_number
    environment.filters["span"] = span
    environment.filters["inlined"] = inlined
    environment.tests["numeric"] = is_number
    page = environment.from_string(template.read_text()).render(
        css=css.read_text(),
        js=js.read_text(),
        sections=[section for section in SECTIONS if section.anchor not in without],
        titles=TITLES,
        captions={Path(path).stem: read_caption(path) for path in inputs["captions"]},
        tables=text | {"cells": text["cells"][[*CELL_FIRST, *_accuracy_columns(text["cells"])]]},
        paper=paper_rows(text["paper_comparison"]),
        verdicts=findings.verdicts(text["claims"]),
        key_figures=findings.key_figures(numbers["cells"], numbers["probes"], [entry["cell"] for entry in listings]),
        readings=findings.readings(*(numbers[name] for name in ("cells", "probes", "objective", "codecs"))),
        datasets=data_overview.overview(numbers["recordings"], numbers["labels"], experiment),
        not_used=data_overview.not_used(text["rejected"]),
        listings=listings,
        players=players,
        strips=strips,
        heard=HEARD,
        config=config_yaml(experiment),
        seed=experiment["seed"],
        licences=licences(experiment),
        origin=origin(text["audit"], text["versions"]),
        commit=git_commit(),
    )
    with replacing(outputs["page"]) as temporary:
        temporary.write_text(page)


def inlined(content: list | dict) -> str:
    """Content as JSON that may stand inside a script element, whatever text it holds."""
    return json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", r"\u003c")


def is_number(text: str) -> bool:
    """Whether a CSV's value is a number; a time or the name of a class that begins with a digit is not."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def short_number(text: str) -> str:
    """A number of a CSV in four significant digits with a true minus sign; other text as it is."""
    if not is_number(text):
        return text
    number = float(text)
    return (text if number.is_integer() and abs(number) < 1e7 else f"{number:.4g}").replace("-", "−")


def span(hours: str) -> str:
    """Hours of a CSV in hours, minutes or seconds, whichever reads well: "3.2 h", "12 min", "0.4 s"."""
    seconds = float(hours) * 3600
    if seconds >= 7200:
        number, unit = seconds / 3600, "h"
    else:
        number, unit = (seconds / 60, "min") if seconds >= 120 else (seconds, "s")
    return f"{number:.{0 if number >= 10 or not number else 1}f} {unit}"


def _accuracy_columns(cells: pd.DataFrame) -> list[str]:
    return [name for name in cells if name.endswith(("_accuracy", "_majority_share")) and "_validation_" not in name]


def paper_rows(comparison: pd.DataFrame) -> list[dict]:
    """paper_comparison.csv (text) as the paper prints it: an encoder per row, ranges by quantity and source."""
    rows = []
    for encoder, own in comparison.groupby("encoder", sort=False):
        ranges = {
            row["quantity"].removesuffix("_accuracy"): {
                source: _range(row[f"{source}_low"], row[f"{source}_high"]) for source in PAPER_RANGES
            }
            | {"raw": _range(row["raw_latent_accuracy"], row["raw_latent_accuracy"])}
            | {"majority": _range(row["majority_share"], row["majority_share"])}
            for row in own.to_dict("records")
        }
        rows.append({"encoder": encoder, "ranges": ranges, "n_cells": own["n_cells"].iloc[0]})
    return rows


def _range(low: str, high: str) -> str:
    """ "0.65–0.98": three decimals where two would not tell the ends apart from 1."""
    if not low:
        return ""
    digits = 3 if float(high) > 0.99 or float(low) > 0.985 else 2
    ends = [f"{float(end):.{digits}f}" for end in (low, high)]
    return "–".join(dict.fromkeys(ends)).replace("-", "−")


def config_yaml(experiment: dict) -> str:
    """The config as it was run, defaults filled in, without the cards."""
    shown = experiment | {key: [_without_card(entry) for entry in experiment[key]] for key in LISTS}
    if experiment["prompts"]:
        shown["prompts"] = _without_card(experiment["prompts"])
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100)


def _without_card(entry: dict) -> dict:
    """The name first."""
    return {"name": entry["name"]} | {key: value for key, value in entry.items() if key not in ("name", "card")}


def licences(experiment: dict) -> list[dict]:
    """Title, licence and citation of all plugins of the run and of the prompts, from their cards.

    `licence` is that of the card as a whole, {title, url} each; `terms` are the licences of the files that were fetched
    for it, {file, title, url, restricts, summary} each.
    """
    rows = []
    prompts = [experiment["prompts"]] if experiment["prompts"] else []
    for key, entries in [*((key, experiment[key]) for key in LISTS), ("prompts", prompts)]:
        for entry in entries:
            card = entry["card"]
            files = card["files"] if "files" in card else []
            rows.append(
                {
                    "kind": key.removesuffix("s"),
                    "name": entry["name"],
                    "title": card["title"],
                    "licence": "" if files else ", ".join(each["title"] for each in data_overview.licences_of(card)),
                    "terms": [{"file": file["name"]} | licence(file["licence"])._asdict() for file in files],
                    "citation": card["citation"],
                }
            )
    return rows
