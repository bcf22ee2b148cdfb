"""Files of a generator that never ran, laid out as its jobs write them, with plausible numbers in them.

On the path itself class probabilities go from those of noise to those of the end as early as in the paper: pitch is
there at step 21, timbre at 25, amplitude not before the end. The end estimate runs ahead, the two straight lines do
not hurry, and probes of shuffled labels read little. A control vector moves the end the less, the later it is added.
"""

import numpy as np
import pandas as pd

from sonolens import tables
from sonolens.labels import bins
from sonolens.tracing import schemas
from synthetic_results import N_CLASSES, SyntheticResults
from synthetic_results import _bins as bins_of
from synthetic_steering import EMBEDDING, MEANS, SPREADS

GENERATORS = ("miniflow",)
N_STEPS, N_PROMPTS, N_SHARDS = 32, 12, 2
N_CLIPS, N_FRAMES = 6, 400
# Step at which a ramp reaches its end; a curve is within 5 % of it a little before
THERE_AT = {"pitch": 22, "timbre": 26, "amplitude": 34}
BENT = {"pitch": 1.5, "timbre": 1.5, "amplitude": 2.5}
CLASSES = {"pitch": (19, 31, 43), "amplitude": (6, 14), "timbre": (3, 12)}  # steered to: pitch D3, D4 and D5
STEERED_STEPS, ALPHA = (0, 8, 16, 24), 10.0
TEXTS = ("a slow cello over soft pads", "fast drums and a distorted guitar", "a choir of three voices, calm")
DISTANCE_OF = {"generated": 3.1, "noise": 9.4, "codec": 1.2}


def attributes_of(results: SyntheticResults) -> list[str]:
    """Those that are traced and steered."""
    return [attribute for attribute in results.attributes if attribute in CLASSES]


def inputs(results: SyntheticResults, generators: tuple[str, ...] = GENERATORS) -> dict[str, dict]:
    """What write_generation reads."""

    def of_each(name: str) -> dict[str, str]:
        return {generator: _path(results, generator, name) for generator in generators}

    return {
        "traces": {g: [_path(results, g, f"traces/shard~{k}") for k in range(N_SHARDS)] for g in generators},
        "prompts": of_each("prompts"),
        "counts": of_each("counts"),
        "distances": of_each("distances"),
        "effects": {g: [_path(results, g, f"{a}/effects") for a in attributes_of(results)] for g in generators},
        "bins": {a: results.path(f"results/labels/{a}/bins.json") for a in attributes_of(results)},
    }


def _path(results: SyntheticResults, generator: str, name: str) -> str:
    return results.path(f"results/generation/{generator}/{name}.parquet")


def write(results: SyntheticResults, generators: tuple[str, ...] = GENERATORS) -> SyntheticResults:
    """Write all files, the attributes' bins included; returns its argument."""
    paths = inputs(results, generators)
    for attribute, path in paths["bins"].items():
        bins.write(_classes(attribute), attribute, path)
    for position, generator in enumerate(generators):
        prompts = _prompts(position)
        write_rows(prompts, paths["prompts"][generator], schemas.PROMPT_VECTORS)
        ids = [prompt["prompt_id"] for prompt in prompts]
        for part, path in zip(np.array_split(ids, N_SHARDS), paths["traces"][generator], strict=True):
            rows = [row for prompt_id in part for row in _traces(str(prompt_id), attributes_of(results), position)]
            write_rows(rows, path, schemas.TRACES)
        write_rows(_counts(attributes_of(results), position), paths["counts"][generator], schemas.LABEL_COUNTS)
        write_rows(_distances(position), paths["distances"][generator], schemas.SAMPLE_DISTANCES)
        for attribute, path in zip(attributes_of(results), paths["effects"][generator], strict=True):
            write_rows(_effects(ids, attribute, attributes_of(results), position), path, schemas.GENERATION_EFFECTS)
    return results


def write_rows(rows: list[dict], path: str, schema) -> None:
    """Rows as a table of `schema`; a column that none of them has is an error."""
    tables.write(pd.DataFrame(rows), path, schema)


def _classes(attribute: str) -> bins.Bins:
    """The attribute's classes as synthetic_results has them; pitch has one of unvoiced frames."""
    stored = bins_of(attribute)
    centres = np.array([np.nan if centre is None else centre for centre in stored["centres"]])
    undefined = len(centres) - 1 if attribute == "pitch" else bins.LEFT_OUT
    names, edges = stored["class_names"], np.array(stored["edges"])
    return bins.Bins(stored["unit"], edges, names, centres, undefined, attribute != "pitch")


def _prompts(position: int) -> list[dict]:
    rng = np.random.default_rng([31, position])
    return [
        {"prompt_id": f"prompt_{number:03d}", "text": TEXTS[number % len(TEXTS)], "seed": number,
         "vector": rng.normal(size=8).astype(np.float32)}
        for number in range(N_PROMPTS)
    ]  # fmt: skip


def progress(attribute: str, view: str, probe: str) -> np.ndarray:
    """How far the probabilities are from noise to end, (N_STEPS,) from 0 to 1."""
    step = np.arange(N_STEPS)
    if probe == "shuffled" or view in ("straight", "data"):
        share = (step / (N_STEPS - 1)) ** (1.3 if view == "data" else 1.0)
    else:
        share = np.minimum(step / THERE_AT[attribute] * (2 if view == "end_estimate" else 1), 1) ** BENT[attribute]
    return share / share[-1]


def _traces(prompt_id: str, attributes: list[str], position: int) -> list[dict]:
    """Rows of one prompt."""
    rng = np.random.default_rng([37, position, int(prompt_id[-3:])])
    rows = []
    for attribute in attributes:
        classes = np.arange(N_CLASSES[attribute])
        noise = _softmax(-((classes - 0.3 * len(classes)) ** 2) / len(classes))
        target = rng.uniform(0.4, 0.8) * len(classes)
        for view in schemas.VIEWS:
            end = _softmax(-((classes - target - rng.normal() * (view == "data")) ** 2) / 8)
            for probe in schemas.PROBES:
                read = 1.0 if probe == "fitted" else 0.15
                share = progress(attribute, view, probe) + rng.normal(0, 0.01, N_STEPS) * (np.arange(N_STEPS) > 0)
                share[-1] = 1
                for step, at in enumerate(share):
                    p = np.maximum(noise + read * at * (end - noise), 0)
                    rows.append(
                        {"prompt_id": prompt_id, "view": view, "probe": probe, "attribute": attribute,
                         "step": step, "probabilities": (p / p.sum()).astype(np.float32)}
                    )  # fmt: skip
    return rows


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def _counts(attributes: list[str], position: int) -> list[dict]:
    """A tenth of the frames has no class, a third of what comes from noise."""
    rng = np.random.default_rng([41, position])
    centre = {"generated": 0.55, "noise": 0.2, "codec": 0.52, "test": 0.5}
    rows = []
    for source in schemas.SOURCES:
        for number in range(N_CLIPS):
            for attribute in attributes:
                classes = np.arange(N_CLASSES[attribute])
                middle = (centre[source] + rng.normal(0, 0.05)) * len(classes)
                shares = _softmax(-((classes - middle) ** 2) / (3 * len(classes)))
                n_without = int(N_FRAMES * (0.33 if source == "noise" else 0.1))
                counts = rng.multinomial(N_FRAMES - n_without, shares)
                of_clip = {"source": source, "clip_id": f"{source}/clip_{number:03d}", "attribute": attribute}
                rows += [
                    of_clip | {"class_index": index, "n_frames": int(n)}
                    for index, n in [(-1, n_without), *enumerate(counts)]
                    if n > 0
                ]
    return rows


def _distances(position: int) -> list[dict]:
    return [
        {"source": source, "embedding": EMBEDDING, "distance": distance + position, "n_windows": 160,
         "distance_as_is": 1.2 * distance + position}
        for source, distance in DISTANCE_OF.items()
    ]  # fmt: skip


def _effects(ids: list[str], target: str, attributes: list[str], position: int) -> list[dict]:
    rng = np.random.default_rng([43, position, len(target)])
    rows = []
    for prompt_id in ids:
        before = {attribute: MEANS[attribute] + SPREADS[attribute] * rng.normal(0, 0.6) for attribute in attributes}
        for index in CLASSES[target]:
            centre = _classes(target).centres[index]
            for mode in schemas.MODES:
                for step in STEERED_STEPS:
                    reach = (0.6 if mode == "on" else 0.35) * (1 - step / N_STEPS) ** 1.5
                    condition = {"prompt_id": prompt_id, "attribute": target, "class_index": index, "mode": mode}
                    condition |= {"step": step, "alpha": ALPHA}
                    rows += [condition | _measured(name, target, before[name], centre, reach, rng) for name in before]
    return rows


def _measured(name: str, target: str, before: float, centre: float, reach: float, rng) -> dict:
    """What was measured of one sound and attribute."""
    spread = SPREADS[name]
    n_lost, n_gained = int(reach * rng.integers(0, 40)), int(reach * rng.integers(0, 20))
    row = {"measured": name, "n_frames": N_FRAMES, "n_defined": 360 - n_lost, "n_lost": n_lost, "n_gained": n_gained}
    row |= {"spread": spread, "n_hits": 0, "n_hits_before": 0, "towards": np.nan}
    row |= {"probability": np.nan, "probability_before": np.nan}
    if name != target:
        change = spread * reach * rng.normal(0, 0.3)
        return row | {"change": change, "abs_change": abs(change) + spread * 0.2 * reach}
    change = reach * (centre - before) + 0.03 * spread * rng.normal()
    row |= {"n_hits": int(rng.integers(2, 22) + 280 * reach**2), "n_hits_before": 12}
    row |= {"probability": 0.05 + 0.5 * reach, "probability_before": 0.05, "change": change}
    return row | {"abs_change": abs(change) + 0.08 * spread, "towards": np.sign(centre - before) * change}
