"""Results of an experiment that was never run: the files that the report reads, with plausible numbers in them.

The numbers follow simple laws with seeded noise, so that the figures look as they will and the claims can be tested.
They are written under the paths of the workflow, relative to a folder.
"""

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

import synthetic_data
from sonolens import tables
from sonolens.files import write_json
from sonolens.overview.audit import Audit, Judgement, Reason, StrayFile, Verdict, versions_used
from sonolens.overview.planned import PlannedJob

D_LATENT = 64
KINDS = ["drums", "mix", "solo"]
N_CLASSES = {"pitch": 66, "amplitude": 20, "timbre": 20}
UNITS = {"pitch": "semitone (MIDI)", "amplitude": "dBFS", "timbre": "Hz"}
CEILING = {"pitch": 0.82, "amplitude": 0.42, "timbre": 0.36}
MAJORITY = {"pitch": 0.21, "amplitude": 0.09, "timbre": 0.11}
NOTES = ["C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B"]


@dataclass
class SyntheticResults:
    """An experiment's choices, and the paths of what was written for it."""

    root: Path
    encoders: list[str] = field(default_factory=lambda: ["minivae", "minirvq"])
    expansions: list[int] = field(default_factory=lambda: [4, 16, 64])
    lams: list[float] = field(default_factory=lambda: [0.005, 0.02, 0.05])
    attributes: list[str] = field(default_factory=lambda: ["pitch", "amplitude", "timbre"])
    objective_encoders: list[str] = field(default_factory=lambda: ["minivae"])
    datasets: list[synthetic_data.Dataset] = field(default_factory=lambda: [synthetic_data.CHORALES])
    n_clips: int = 3
    n_stale: int = 0
    old_versions: dict[str, str] = field(default_factory=dict)

    def path(self, text: str) -> str:
        return str(self.root / text)

    def cells(self) -> list[tuple[str, int, float]]:
        """(encoder, dim, lam) in the workflow's order."""
        return [(e, D_LATENT * x, lam) for e in self.encoders for x in self.expansions for lam in self.lams]

    def cell_files(self, name: str) -> list[str]:
        return [self.path(f"results/saes/{e}/dim~{dim}/lam~{lam}/{name}") for e, dim, lam in self.cells()]

    def probe_files(self, name: str) -> list[str]:
        return [
            self.path(f"results/probes/{e}/dim~{dim}/lam~{lam}/{a}/{name}")
            for e, dim, lam in self.cells()
            for a in self.attributes
        ]

    def raw_probe_files(self, name: str) -> list[str]:
        return [self.path(f"results/probes/{e}/raw/{a}/{name}") for e in self.encoders for a in self.attributes]

    def encoder_files(self, pattern: str) -> list[str]:
        return [self.path(pattern.format(encoder=e)) for e in self.encoders]

    def dataset_files(self, name: str) -> list[str]:
        return [self.path(f"results/datasets/{dataset.name}/{name}") for dataset in self.datasets]

    def bins_files(self) -> list[str]:
        return [self.path(f"results/labels/{a}/bins.json") for a in self.attributes]

    def objective_cells(self) -> list[tuple[str, str, int, float]]:
        return [
            (l1_on, e, D_LATENT * x, lam)
            for e in self.objective_encoders
            for l1_on in ("normalised", "hidden")
            for x in self.expansions[:2]
            for lam in (self.lams[0], self.lams[-1])
        ]

    def objective_files(self, name: str) -> list[str]:
        return [
            self.path(f"results/objective/{l1_on}/{e}/dim~{dim}/lam~{lam}/{name}")
            for l1_on, e, dim, lam in self.objective_cells()
        ]

    def audit(self) -> tuple[Audit, dict[str, float], dict[str, str]]:
        """What an audit found, peak memory of each job, and the versions that are installed.

        The first `n_stale` cells were trained with other parameters, and a figure then has no record; the last cell was
        trained with `old_versions`.
        """
        installed = {"python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6"}
        judgements = []
        for number, (encoder, dim, lam) in enumerate(self.cells()):
            cell = f"{encoder}/dim~{dim}/lam~{lam}"
            record = {
                "finished": "2026-11-22T15:00:00+00:00", "host": f"gpu0{number % 3}", "device": "cuda: NVIDIA H100",
                "wall_seconds": 40.0 * dim, "gpus": 1, "n_interruptions": number % 4 // 3, "commit": "de639ee",
                "versions": installed | (self.old_versions if number == len(self.cells()) - 1 else {}),
            }  # fmt: skip
            why = [Reason(Verdict.STALE, "params steps 1000 → 1500")] if number < self.n_stale else []
            judgements.append(Judgement(_planned("train_sae", cell), record, why))
            for attribute in self.attributes:
                follows = [Reason(Verdict.STALE, "made from 1 stale train_sae", is_own=False)] if why else []
                job = _planned("fit_probe", f"{cell}/{attribute}")
                judgements.append(Judgement(job, record | {"wall_seconds": 300.0, "gpus": 0}, follows))
        if self.n_stale:
            why = [Reason(Verdict.UNRECORDED, "no record says how it was made")]
            judgements.append(Judgement(_planned("figure_clip", ""), None, why))
        memory_mb = {judgement.job.name: 812.5 for judgement in judgements}
        strays = [StrayFile("results/saes/minivae/dim~64/lam~9/model.safetensors", 123456, 1.7e9, "of no job")]
        return Audit(judgements, strays[: self.n_stale], versions_used(judgements)), memory_mb, installed

    def experiment(self) -> dict:
        """The experiment as rules hand it to the page, cards included."""
        card = {"title": "A card", "licence": "MIT", "citation": "Somebody 2024", "links": [], "d_latent": D_LATENT}
        return {
            "seed": 0,
            "datasets": [
                {"name": d.name, "module": d.name, "shards": 4, "options": {}, "card": card | _licence(d)}
                for d in self.datasets
            ],
            "encoders": [{"name": e, "module": e, "options": {}, "card": card} for e in self.encoders],
            "attributes": [{"name": a, "module": a, "options": {}, "card": card} for a in self.attributes],
            "embeddings": [{"name": "crepe", "module": "crepe", "options": {}, "card": card}],
            "generators": [],
            "prompts": None,
            "sae": {"expansions": self.expansions, "lams": self.lams, "l1_on": "normalised", "steps": 1500},
        }


def _licence(dataset: synthetic_data.Dataset) -> dict:
    """What a card says of the licence of files that were fetched."""
    return {"licence": dataset.licence} if dataset.licence else {}


def _planned(rule: str, cell: str) -> PlannedJob:
    """A job of which only the name counts."""
    return PlannedJob(f"{rule}/{cell}".rstrip("/"), rule, {}, [], [], [])


def write(results: SyntheticResults) -> SyntheticResults:
    """Write all files; returns its argument."""
    for position, (encoder, dim, lam) in enumerate(results.cells()):
        folder = f"results/saes/{encoder}/dim~{dim}/lam~{lam}"
        _write_cell(results, folder, encoder, dim, lam, "normalised", position)
        _write_audio(results, folder, dim, lam)
        for attribute in results.attributes:
            _write_probe(
                results, f"results/probes/{encoder}/dim~{dim}/lam~{lam}/{attribute}", encoder, attribute, dim, lam
            )
    for position, (l1_on, encoder, dim, lam) in enumerate(results.objective_cells()):
        folder = f"results/objective/{l1_on}/{encoder}/dim~{dim}/lam~{lam}"
        _write_cell(results, folder, encoder, dim, lam, l1_on, 1000 + position)
        probe = probe_metrics(encoder, results.attributes[0], dim, lam)
        write_json(results.path(f"{folder}/probe_metrics.json"), probe)
    for position, encoder in enumerate(results.encoders):
        for attribute in results.attributes:
            _write_probe(results, f"results/probes/{encoder}/raw/{attribute}", encoder, attribute, None, None)
        _write_codec(results, encoder, position)
        _write_clips(results, encoder)
    for attribute in results.attributes:
        write_json(results.path(f"results/labels/{attribute}/bins.json"), _bins(attribute))
    synthetic_data.write(results.datasets, results.path)
    return results


def laws(dim: int, lam: float, l1_on: str = "normalised") -> tuple[float, float]:
    """Sparsity and explained variance of a cell."""
    expansion = dim / D_LATENT
    active = dim * 0.45 / (1 + (lam if l1_on == "normalised" else 0.002) * 60 * expansion**0.5)
    sparsity = 1 - active / dim
    return sparsity, float(1 - 0.55 * (active / D_LATENT) ** -0.45 * expansion**-0.12)


def _write_cell(results, folder: str, encoder: str, dim: int, lam: float, l1_on: str, position: int) -> None:
    rng = np.random.default_rng([7, position])
    sparsity, explained = laws(dim, lam, l1_on)
    explained += rng.normal(0, 0.006) - 0.08 * (encoder == "minirvq")
    dead = min(0.9, 0.02 * dim / D_LATENT * lam * 40)
    edges = np.linspace(-5, 0, 21)
    counts = rng.multinomial(int(dim * (1 - dead)), _bell(edges[:-1], np.log10(1 - sparsity) - 0.3, 0.55))
    write_json(
        results.path(f"{folder}/metrics.json"),
        {
            "encoder": encoder, "dim": dim, "d_latent": D_LATENT, "expansion": dim / D_LATENT, "lam": lam,
            "l1_on": l1_on, "seed": 0, "n_steps": 1500, "n_train_frames": 55000, "n_test_frames": 7000,
            "sparsity": sparsity, "l0": (1 - sparsity) * dim, "explained_variance": explained,
            "explained_variance_low": explained - 0.012, "explained_variance_high": explained + 0.01,
            "mse": D_LATENT * (1 - explained), "dead_share": dead, "n_dead": int(dead * dim),
            "hidden_norm": 12.0 if l1_on == "normalised" else 0.01,
            "activation_frequency": {"log10_edges": edges.tolist(), "counts": counts.tolist()},
            "validation": {"sparsity": sparsity, "l0": 9.0, "explained_variance": explained, "mse": 1.0},
            "frames_per_s": 1e5 / dim * 64 * rng.uniform(0.9, 1.1), "train_seconds": dim / 64 * rng.uniform(1.8, 2.2),
        },
    )  # fmt: skip
    step = np.linspace(0, 1500, 40).astype(np.int32)[1:]
    rise = 1 - np.exp(-step / 250)
    norm = 12 * np.ones(len(step)) if l1_on == "normalised" else 12 * np.exp(-step / 220 * lam / 0.02)
    history = pd.DataFrame(
        {
            "step": step, "loss": D_LATENT * (1 - explained * rise) * (1 + rng.normal(0, 0.02, len(step))),
            "mse": D_LATENT * (1 - explained * rise), "l1": 20 * rise, "learning_rate": 1e-3,
            "validation_explained_variance": explained * rise, "validation_sparsity": 0.5 + (sparsity - 0.5) * rise,
            "validation_l0": dim * (1 - sparsity), "validation_hidden_norm": norm, "dead_share": dead * rise,
            "lam_at_step": lam, "train_l0": dim * (1 - sparsity), "train_dead_share": dead * rise,
        }
    )  # fmt: skip
    tables.write(history, results.path(f"{folder}/history.parquet"), tables.SAE_HISTORY)


def _bell(at: np.ndarray, centre: float, width: float) -> np.ndarray:
    weights = np.exp(-0.5 * ((at - centre) / width) ** 2)
    return weights / weights.sum()


def _write_audio(results, folder: str, dim: int, lam: float) -> None:
    _, explained = laws(dim, lam)
    write_json(
        results.path(f"{folder}/audio_metrics.json"),
        {
            "codec": {"log_spectral_distance_db": 11.2, "pitch_kept_share": 0.88},
            "sae": {"log_spectral_distance_db": 25.2 - 14 * explained, "pitch_kept_share": max(explained, 0) ** 0.5},
            "sae_vs_codec_log_spectral_distance_db": 12 * (1 - explained), "n_clips": 8, "seconds": 64.0,
        },
    )  # fmt: skip


def probe_metrics(encoder: str, attribute: str, dim: int | None, lam: float | None) -> dict:
    """Metrics of one probe; dim None is the one on raw latents."""
    rng = np.random.default_rng([11, dim or 0, len(attribute), len(encoder)])
    ceiling = CEILING[attribute] if attribute in CEILING else 0.6
    accuracy = ceiling - 0.06
    if dim is not None:
        sparsity, explained = laws(dim, lam)
        accuracy = ceiling * (0.75 + 0.25 * explained) - 0.05 * sparsity**8 + rng.normal(0, 0.005)
    majority = MAJORITY[attribute] if attribute in MAJORITY else 0.2
    n_classes = N_CLASSES[attribute] if attribute in N_CLASSES else 5
    metrics = {
        "encoder": encoder, "dim": dim, "lam": lam, "attribute": attribute,
        "unit": UNITS[attribute] if attribute in UNITS else "", "class_names": _bins(attribute)["class_names"],
        "n_classes": n_classes,
        "accuracy": accuracy, "accuracy_low": accuracy - 0.018, "accuracy_high": accuracy + 0.017,
        "majority_share": majority, "macro_f1": accuracy * 0.8, "within_one_accuracy": min(1, accuracy * 1.3),
        "subsets": {}, "n_train_frames": 55000, "n_test_frames": 7000, "n_epochs": 12, "best_epoch": 9,
        "validation_loss": 1 - accuracy, "validation_accuracy": accuracy + rng.normal(0, 0.004),
    }  # fmt: skip
    shift = {"drums": 0.1, "mix": -0.14, "solo": 0.08}
    for kind in KINDS:
        if attribute == "pitch" and kind == "drums":  # left out of pitch
            continue
        subset = {"accuracy": accuracy + shift[kind], "majority_share": majority + 0.02, "n_frames": 2300}
        if attribute == "pitch":
            subset |= {
                "voiced_accuracy": accuracy + shift[kind] - 0.05,
                "voiced_majority_share": 0.07,
                "n_voiced_frames": 1500,
            }
        metrics["subsets"][kind] = subset
    if attribute == "pitch":
        metrics |= {"octave_error_share": 0.05, "voiced_accuracy": accuracy - 0.06, "voiced_majority_share": 0.06}
        metrics |= {"voiced_accuracy_low": accuracy - 0.09, "voiced_accuracy_high": accuracy - 0.03}
        metrics |= {"n_voiced_frames": 5500}
    return metrics


def _write_probe(results, folder: str, encoder: str, attribute: str, dim: int | None, lam: float | None) -> None:
    metrics = probe_metrics(encoder, attribute, dim, lam)
    write_json(results.path(f"{folder}/metrics.json"), metrics)
    n = metrics["n_classes"]
    rng = np.random.default_rng([13, n, dim or 0])
    distance = np.abs(np.arange(n)[:, None] - np.arange(n)[None])
    rates = metrics["accuracy"] * (distance == 0) + 0.1 * np.exp(-distance / 1.5) + 0.03 * (distance == 12) + 1e-3
    frames = 400 * _bell(np.arange(n), n / 2, n / 5)[:, None] * n
    confusion = rng.poisson(rates / rates.sum(axis=1, keepdims=True) * frames)
    confusion[:2] = 0
    np.save(results.path(f"{folder}/confusion.npy"), confusion.astype(np.int64))
    if dim is None:
        return
    tables.write(_contributions(n, dim, rng), results.path(f"{folder}/contributions.parquet"), tables.CONTRIBUTIONS)


def _contributions(n_classes: int, dim: int, rng) -> pd.DataFrame:
    centres = rng.uniform(0, n_classes, min(dim, 400))
    values = rng.gamma(2, 1, len(centres)) * np.exp(-0.5 * ((np.arange(n_classes)[:, None] - centres) / 2) ** 2)
    values += rng.normal(0, 0.05, values.shape)
    order = np.argsort(-values, axis=1)
    rank = np.argsort(order, axis=1) + 1
    in_feature = np.argsort(np.argsort(-values, axis=0), axis=0) + 1
    k, j = np.nonzero((rank <= 20) | (in_feature <= 5))
    return pd.DataFrame(
        {
            "class_index": k, "feature": j, "contribution": values[k, j],
            "rank_in_class": np.where(rank[k, j] <= 20, rank[k, j], 0),
            "rank_in_feature": np.where(in_feature[k, j] <= 5, in_feature[k, j], 0),
        }
    ).astype({"class_index": np.int16, "feature": np.int32, "contribution": np.float32,
              "rank_in_class": np.int32, "rank_in_feature": np.int32})  # fmt: skip


def _write_codec(results, encoder: str, position: int) -> None:
    def part(distance: float, kept: float | None, n_clips: int) -> dict:
        pitch = None if kept is None else {"mean": kept, "low": kept - 0.05, "high": kept + 0.03}
        spectral = {"mean": distance, "low": distance - 0.8, "high": distance + 0.9}
        return {"log_spectral_distance_db": spectral, "pitch_kept_share": pitch, "n_clips": n_clips}

    by_kind = {
        "drums": part(13 + position, None, 4),
        "mix": part(10.5 + position, 0.81, 6),
        "solo": part(9 + position, 0.93, 7),
    }
    content = {"encoder": encoder, "clips": [], "by_kind": by_kind, "all": part(10.8 + position, 0.87, 17)}
    write_json(results.path(f"results/codecs/{encoder}/quality.json"), content)
    frame_time = {"declared": 0.5, "measured": 0.531, "standard_error": 0.042, "used": 0.5, "hop_ms": 20.0}
    write_json(results.path(f"results/latents/{encoder}/frame_time.json"), frame_time)
    step = np.arange(20, 1401, 20, dtype=np.int32)
    loss = 3 * np.exp(-step / 200) + 0.9 + 0.2 * position
    history = pd.DataFrame(
        {"step": step, "loss": loss, "reconstruction": loss * 0.9, "bottleneck": loss * 0.1 + step / 1e4}
    )
    tables.write(history, results.path(f"results/codecs/{encoder}/history.parquet"), tables.CODEC_HISTORY)


def _write_clips(results, encoder: str) -> None:
    cells = [(dim, lam) for e, dim, lam in results.cells() if e == encoder]
    dim, lam = cells[len(cells) // 2]
    first = results.attributes[0]
    selected = {
        "encoder": encoder,
        "dim": dim,
        "lam": lam,
        "attribute": first,
        "criterion": "validation_accuracy",
        "value": 0.8,
    }
    write_json(results.path(f"results/selected/{encoder}.json"), selected)
    clips, tracks = [], []
    for position in range(results.n_clips):
        clip_id = f"chorales/clip_{position:03d}"
        entry = {"clip_id": clip_id, "kind": KINDS[-1 - position % 3], "instrument": "cello" if position == 0 else ""}
        entry |= {"start_s": 2.0, "duration_s": 4.0, "sample_rate_hz": 16000}
        midi = _write_sound(results, encoder, position, entry)
        clips.append(entry)
        tracks += [_track(clip_id, attribute, midi) for attribute in results.attributes]
    write_json(results.path(f"results/clips/{encoder}/clips.json"), {"cell": selected, "clips": clips})
    tables.write(pd.concat(tracks), results.path(f"results/clips/{encoder}/tracks.parquet"), tables.TRACKS)


def _write_sound(results, encoder: str, position: int, entry: dict) -> np.ndarray:
    """Three wavs of a small melody; returns its pitch (n_frames,) at 50 Hz."""
    notes = np.array([55, 57, 59, 60, 62, 64, 66, 67]) + 5 * position
    midi = np.repeat(notes, 25).astype(float)
    f0 = np.repeat(440 * 2 ** ((midi - 69) / 12), 320)
    phase = 2 * np.pi * np.cumsum(f0) / 16000
    decay = np.tile(np.exp(-np.arange(8000) / 4000), 8)
    sound = sum(np.sin(k * phase) / k for k in range(1, 7)) * decay * 0.3
    rng = np.random.default_rng([17, position])
    for stage, noise in (("original", 0.0003), ("codec", 0.004), ("sae", 0.01)):
        entry[stage] = f"clip~{position}/{stage}.wav"
        path = Path(results.path(f"results/clips/{encoder}/{entry[stage]}"))
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound + noise * rng.normal(size=len(sound)), 16000)
    return midi


def _track(clip_id: str, attribute: str, midi: np.ndarray) -> pd.DataFrame:
    rng = np.random.default_rng([19, len(attribute)])
    time = np.arange(len(midi)) / 50 + 0.01 + 2.0
    value = {
        "pitch": midi,
        "amplitude": -18 - 12 * ((time * 2) % 1),
        "timbre": 1400 - 500 * ((time * 2) % 1) + 20 * rng.normal(size=len(midi)),
    }
    value = value[attribute] if attribute in value else np.ones(len(midi))
    centre = (
        np.round(value)
        if attribute == "pitch"
        else np.round(value / 20) * 20
        if attribute == "timbre"
        else np.round(value)
    )
    predicted = np.where(rng.uniform(size=len(midi)) < 0.85, centre, centre + rng.choice([-2, 1, 2], len(midi)))
    return pd.DataFrame(
        {
            "clip_id": pd.Categorical([clip_id] * len(midi)), "attribute": attribute,
            "unit": UNITS[attribute] if attribute in UNITS else "", "time_s": time, "value": value.astype(np.float32),
            "class_index": np.int16(1), "predicted_class": np.int16(1), "predicted_value": predicted.astype(np.float32),
        }
    ).astype({"class_index": np.int16, "predicted_class": np.int16})  # fmt: skip


def _bins(attribute: str) -> dict:
    n = N_CLASSES[attribute] if attribute in N_CLASSES else 5
    unit = UNITS[attribute] if attribute in UNITS else ""
    if attribute == "pitch":
        names = [f"{NOTES[m % 12]}{m // 12 - 1}" for m in range(31, 96)] + ["unvoiced"]
        return {"attribute": attribute, "unit": unit, "n_classes": n, "class_names": names,
                "centres": [*map(float, range(31, 96)), None], "edges": [m - 0.5 for m in range(31, 97)]}  # fmt: skip
    low, high = (-60, -6) if attribute == "amplitude" else (300, 4300)
    edges = np.linspace(low, high, n + 1)
    names = [f"{a:.1f} to {b:.1f} {unit}" for a, b in itertools.pairwise(edges)]
    centres = ((edges[:-1] + edges[1:]) / 2).tolist()
    return {"attribute": attribute, "unit": unit, "n_classes": n, "class_names": names, "centres": centres,
            "edges": edges.tolist()}  # fmt: skip
