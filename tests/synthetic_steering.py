"""Files of steering that was never run, laid out as its jobs write them, with plausible numbers in them.

Each method moves the target a share of the way to the class that grows with α, and drags the other attributes along
as much as SIDE_EFFECTS says.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from sonolens import tables
from sonolens.files import write_json
from sonolens.steering.methods import METHODS, Method
from sonolens.steering.schemas import DISTANCES, EFFECTS, SOUNDS
from synthetic_results import D_LATENT, UNITS, SyntheticResults

CELL = "selected"
ALPHAS = [1.0, 10.0, 20.0, 30.0]
N_CLIPS = 8
EMBEDDING = "log_mel"
MEANS = {"pitch": 62.0, "amplitude": -24.0, "timbre": 1500.0}
SPREADS = {"pitch": 6.0, "amplitude": 8.0, "timbre": 550.0}
CLASSES = {
    "pitch": [(50, "D3", 50.0), (62, "D4", 62.0), (74, "D5", 74.0)],
    "amplitude": [(6, "-43.8 to -41.1 dBFS", -42.5), (14, "-22.2 to -19.5 dBFS", -20.9)],
    "timbre": [(3, "900 to 1100 Hz", 1000.0), (12, "2700 to 2900 Hz", 2800.0)],
}
REACH = {"probe": 0.8, "probe_without_norm": 0.75, "class_mean": 0.6, "latent_probe": 0.5, "latent_class_mean": 0.65}
SIDE_EFFECTS = {
    "probe": 0.25, "probe_without_norm": 0.4, "class_mean": 0.35, "random": 0.45, "latent_probe": 0.7,
    "latent_class_mean": 0.5, "latent_random": 0.6,
}  # fmt: skip
SOUND_RATE_HZ, SOUND_S, TIME_STEP_S = 16_000, 2.0, 0.01


def attributes_of(results: SyntheticResults) -> list[str]:
    """Those that are steered."""
    return [attribute for attribute in results.attributes if attribute in CLASSES]


def cell_files(results: SyntheticResults) -> list[str]:
    """cell.json of every steered cell: one per encoder."""
    return [results.path(f"results/steering/{encoder}/{CELL}/cell.json") for encoder in results.encoders]


def files(results: SyntheticResults, name: str) -> list[str]:
    """A file of every steered cell and attribute."""
    return [
        results.path(f"results/steering/{encoder}/{CELL}/{attribute}/{name}")
        for encoder in results.encoders
        for attribute in attributes_of(results)
    ]


def inputs(results: SyntheticResults) -> dict[str, list[str]]:
    """What aggregate_steering reads."""
    of_attributes = {name: files(results, f"{name}.parquet") for name in ("effects", "sounds", "distances")}
    return {"cells": cell_files(results), "classes": files(results, "classes.json")} | of_attributes


def write(results: SyntheticResults) -> SyntheticResults:
    """Write all files; returns its argument."""
    for position, encoder in enumerate(results.encoders):
        cells = [(dim, lam) for e, dim, lam in results.cells() if e == encoder]
        dim, lam = cells[len(cells) // 2]
        folder = Path(results.path(f"results/steering/{encoder}/{CELL}"))
        write_json(
            folder / "cell.json",
            {"name": CELL, "encoder": encoder, "dim": dim, "d_latent": D_LATENT, "lam": lam},
        )
        for attribute in attributes_of(results):
            _write_attribute(folder / attribute, attribute, attributes_of(results), position)
            _write_sounds(folder / attribute / "sounds", encoder, attribute)
    return results


def write_classes(path: Path, attribute: str, classes: list[tuple[int, str, float]]) -> None:
    """classes.json, as steering writes it."""
    listed = [{"index": index, "name": name, "centre": centre} for index, name, centre in classes]
    write_json(path, {"attribute": attribute, "unit": UNITS[attribute], "classes": listed})


def _write_attribute(folder: Path, attribute: str, attributes: list[str], position: int) -> None:
    rng = np.random.default_rng([23, position, len(attribute)])
    write_classes(folder / "classes.json", attribute, CLASSES[attribute])
    effects, sounds, distances = [], [_reference_sounds(name, rng) for name in ("codec", "sae")], []
    distances += [_distance(name, -1, 0.0, quality) for name, quality in (("codec", 1.0), ("sae", 1.8))]
    for method in METHODS:
        for index, _, centre in CLASSES[attribute]:
            for alpha in ALPHAS:
                condition = {"method": method.name, "class_index": index, "alpha": alpha}
                effects += _effects(condition, method, attribute, attributes, centre, rng)
                sounds.append(_sounds(condition, method, rng))
                worse = 1.3 if method.name == "probe_without_norm" else 1.0
                start = 1.8 if method.space == "code" else 1.0
                distances.append(_distance(method.name, index, alpha, start + worse * alpha / 7))
    write_effects(folder / "effects.parquet", effects)
    write_sounds(folder / "sounds.parquet", [row for rows in sounds for row in rows])
    write_distances(folder / "distances.parquet", distances)


def _share(method: Method, alpha: float) -> float:
    """How much of the way to the class a method goes."""
    return REACH[method.name] * (1 - np.exp(-alpha / 10)) if method.name in REACH else 0.0


def _clip_ids() -> list[str]:
    return [f"chorales/clip_{number:03d}" for number in range(N_CLIPS)]


def _effects(condition: dict, method: Method, target: str, attributes: list[str], centre: float, rng) -> list[dict]:
    """A row per clip and measured attribute; the last clip has no pitch, as drums have none."""
    rows = []
    moves = 1 - np.exp(-condition["alpha"] / 10)
    for number, clip_id in enumerate(_clip_ids()):
        for attribute in attributes:
            has_frames = not (attribute == "pitch" and number == N_CLIPS - 1)
            spread = SPREADS[attribute]
            row = condition | {"clip_id": clip_id, "measured": attribute, "n_frames": 400 * has_frames}
            row |= {"spread": spread, "towards": np.nan, "n_hits": 0, "n_hits_before": 0, "n_lost": 0, "n_gained": 0}
            if attribute == target:
                before = MEANS[attribute] + spread * rng.normal(0, 0.6)
                change = _share(method, condition["alpha"]) * (centre - before) + 0.03 * spread * rng.normal()
                towards = np.sign(centre - before) * change
                row |= {"towards": towards, "n_hits_before": int(12 * has_frames)}
                row["n_hits"] = int(has_frames * (rng.integers(2, 22) + 280 * _share(method, condition["alpha"]) ** 2))
            else:
                change = spread * rng.normal(0, 0.3) * SIDE_EFFECTS[method.name] * moves
            wobble = 0.02 + SIDE_EFFECTS[method.name] * 0.5 * moves * rng.uniform(0.7, 1.3)
            row["abs_change"] = abs(change) + spread * (0.08 if attribute == target else wobble)
            row["n_lost"] = int(has_frames * moves * rng.integers(0, 40))
            row["n_gained"] = int(has_frames * moves * rng.integers(0, 20))
            row["n_defined"] = (360 - row["n_lost"]) * has_frames
            rows.append(row | {"change": change} if has_frames else row | _nothing())
    return rows


def _nothing() -> dict:
    return {"change": np.nan, "abs_change": np.nan, "towards": np.nan, "n_lost": 0, "n_gained": 0}


def sound_row(condition: dict, clip_id: str, **figures) -> dict:
    """A row of SOUNDS, with nothing unusual in it unless `figures` say so."""
    usual = {
        "kind": "solo", "magnitude": condition["alpha"], "displacement": 0.0, "latent_rms": 1.0,
        "lsd_original_db": 10.0, "lsd_reference_db": 0.0, "n_samples": 64_000, "n_clipped": 0, "silent_share": 0.02,
    }  # fmt: skip
    return condition | {"clip_id": clip_id} | usual | figures


def _reference_sounds(name: str, rng) -> list[dict]:
    condition = {"method": name, "class_index": -1, "alpha": 0.0}
    level = 9.0 if name == "codec" else 12.5
    return [sound_row(condition, clip_id, lsd_original_db=level + rng.normal(0, 0.5)) for clip_id in _clip_ids()]


def _sounds(condition: dict, method: Method, rng) -> list[dict]:
    moves = 1 - np.exp(-condition["alpha"] / 10)
    start = 12.5 if method.space == "code" else 9.0
    added = (7.5 if method.name == "probe_without_norm" else 5.0) * moves
    return [
        sound_row(
            condition, clip_id, displacement=0.8 * moves, latent_rms=1 + 0.2 * moves,
            lsd_original_db=start + added + rng.normal(0, 0.4), lsd_reference_db=1.4 * added + rng.normal(0, 0.3),
            n_clipped=int(100 * moves),
        )
        for clip_id in _clip_ids()
    ]  # fmt: skip


def _distance(method: str, class_index: int, alpha: float, distance: float) -> dict:
    row = {"method": method, "class_index": class_index, "alpha": alpha, "embedding": EMBEDDING}
    return row | {"distance": distance, "distance_as_is": distance * 1.2, "n_windows": 160}


def write_effects(path: Path, rows: list[dict]) -> None:
    _write(rows, path, EFFECTS)


def write_sounds(path: Path, rows: list[dict]) -> None:
    _write(rows, path, SOUNDS)


def write_distances(path: Path, rows: list[dict]) -> None:
    _write(rows, path, DISTANCES)


def _write(rows: list[dict], path: Path, schema) -> None:
    """Rows as a table of `schema`; columns that a row lacks are an error, not a default."""
    frame = pd.DataFrame(rows, columns=schema.names)
    if "clip_id" in frame:
        frame["clip_id"] = pd.Categorical(frame["clip_id"])
    tables.write(frame, path, schema)


def _write_sounds(folder: Path, encoder: str, attribute: str) -> None:
    """A tune, once as it was, once through the autoencoder, and steered to each class with each α."""
    folder.mkdir(parents=True, exist_ok=True)
    classes = CLASSES[attribute]
    sounds = {"original": _sound(folder, "original", attribute, 0.0, 0.0)}
    sounds["sae"] = _sound(folder, "sae", attribute, CLASSES[attribute][0][2], 0.04, noise=6e-4)
    for position, (_, _, centre) in enumerate(classes):
        for alpha in ALPHAS[1:]:
            share = 0.8 * (1 - np.exp(-alpha / 10))
            name = f"class~{position}/alpha~{alpha:g}"
            sounds[name] = _sound(folder, name, attribute, centre, share, noise=0.001)
    write_json(
        folder / "tracks.json",
        {
            "encoder": encoder, "cell": {"name": CELL, "dim": 1024, "lam": 0.02}, "attribute": attribute,
            "clip": {"clip_id": "chorales/clip_000", "kind": "solo", "instrument": "cello", "start_s": 2.0,
                     "duration_s": SOUND_S},
            "classes": [{"index": index, "name": name, "centre": centre} for index, name, centre in classes],
            "alphas": ALPHAS[1:], "first_time_s": 0.005, "time_step_s": TIME_STEP_S, "sounds": sounds,
        },
    )  # fmt: skip


def _sound(folder: Path, name: str, attribute: str, centre: float, share: float, noise: float = 1e-4) -> dict:
    """Write one wav; returns its entry in tracks.json."""
    midi = np.repeat([57.0, 60.0, 64.0, 62.0], int(SOUND_S / TIME_STEP_S / 4))
    level = -20 - 10 * (np.arange(len(midi)) % 50) / 50
    centroid = 1300 - 300 * (np.arange(len(midi)) % 50) / 50
    steered = {"pitch": midi, "amplitude": level, "timbre": centroid}
    steered[attribute] = steered[attribute] + share * (centre - steered[attribute])
    samples = _tune(steered["pitch"], steered["amplitude"], steered["timbre"])
    path = folder / f"{name}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(29)
    soundfile.write(path, np.clip(samples + noise * rng.normal(size=len(samples)), -1, 1), SOUND_RATE_HZ)
    tracks = {key: [*map(float, values)] for key, values in steered.items()}
    tracks["pitch"][::50] = [None] * 4
    return {"wav": f"{name}.wav", "png": f"{name}.png", "tracks": tracks}


def _tune(midi: np.ndarray, level_dbfs: np.ndarray, centroid_hz: np.ndarray) -> np.ndarray:
    """Harmonic sound (n_samples,) with these tracks, (n_frames,) each."""
    hop = int(SOUND_RATE_HZ * TIME_STEP_S)
    f0, gain, centroid = (
        np.repeat(values, hop) for values in (440 * 2 ** ((midi - 69) / 12), 10 ** (level_dbfs / 20), centroid_hz)
    )
    phase = 2 * np.pi * np.cumsum(f0) / SOUND_RATE_HZ
    return gain * sum(np.exp(-k * f0 / centroid) * (k * f0 < 7800) * np.sin(k * phase) for k in range(1, 25))
