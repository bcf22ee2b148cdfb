"""Datasets of which nothing was ever recorded: manifests, files not used, and the label check, with plausible numbers.

CHORALES is the demo's; the others have the sizes of the paper's five, CocoChorales with its thirteen instruments.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from sonolens import tables
from sonolens.files import write_json
from sonolens.labels import agreement, truth


@dataclass
class Dataset:
    """A dataset's recordings, by kind and instrument, and how well their labels agree with the truth."""

    name: str
    duration_s: float  # of a recording
    instruments: dict[tuple[str, str], int]  # recordings of each (kind, instrument)
    agreement: dict[str, float] = field(default_factory=dict)  # share within 50 cents, by kind; none: no truth
    several_sound: float = 0.0  # share of frames
    licence: str = ""
    unused: list[tuple[str, bool]] = field(default_factory=list)  # reason, counts

    @property
    def n_clips(self) -> int:
        return sum(self.instruments.values())


CHORALES = Dataset(
    "chorales",
    36.0,
    {("solo", "flute"): 8, ("solo", "oboe"): 8, ("solo", "trumpet"): 7, ("mix", "strings"): 9, ("drums", "kit"): 8},
    {"solo": 0.95},
    licence="rendered here; scores: in the public domain; samples: GPL-2.0",
    unused=[("silent: peak below -80 dBFS", True)],
)
COCOCHORALES = [
    "violin", "viola", "cello", "double bass", "flute", "oboe", "clarinet", "bassoon", "saxophone", "trumpet", "horn",
    "trombone", "tuba",
]  # fmt: skip
PAPERS_FIVE = [
    Dataset(
        "cocochorales",
        21.0,
        {("solo", instrument): 60 + 15 * number for number, instrument in enumerate(COCOCHORALES)}
        | {("mix", ensemble): 30 for ensemble in ("string", "brass", "woodwind", "random")},
        {"solo": 0.965, "mix": 0.8},
        several_sound=0.02,
        licence="cc-by-4.0",
        unused=[("its split's other recordings of the score lie in train", False)] * 3,
    ),
    Dataset(
        "damp_vsep",
        29.7,
        {("solo", "voice"): 1418},
        licence="by agreement with Smule, not for commerce",
        unused=[(f"too short: 0.{n} s", True) for n in range(6)],
    ),
    Dataset(
        "groove",
        40.0,
        {("drums", "drums"): 702},
        licence="cc-by-4.0",
        unused=[("no audio is released of it", False)] * 60,
    ),
    Dataset(
        "guitarset",
        30.0,
        {("solo", "acoustic guitar"): 48},
        {"solo": 0.91},
        several_sound=0.45,
        licence="cc-by-4.0",
        unused=[("known defect: the audio is shorter than its annotation", False)] * 3,
    ),
    Dataset("maestro", 495.0, {("solo", "piano"): 4}, {"solo": 0.74}, several_sound=0.9, licence="cc-by-nc-sa-4.0"),
]


def manifest(dataset: Dataset) -> pd.DataFrame:
    """Its recordings (tables.MANIFEST): eight of ten to train on, two of a group, instruments in turns."""
    who = [key for key, n in dataset.instruments.items() for _ in range(n)]
    who = [who[i] for i in np.random.default_rng(len(who)).permutation(len(who))]
    rows = []
    for i, (kind, instrument) in enumerate(who):
        has_truth = kind in dataset.agreement
        splits = ["train"] * 8 + ["validation", "test"]
        rows.append(
            {
                "clip_id": f"{dataset.name}/clip_{i:04d}", "dataset": dataset.name, "path": f"audio/{i}.flac",
                "group": f"group {i // 2}", "split": splits[i // 2 % 10 if len(who) > 4 else 6 + i], "shard": i % 4,
                "duration_s": dataset.duration_s, "sample_rate_hz": 44100, "n_channels": 1, "kind": kind,
                "instrument": instrument, "truth_f0_path": f"{i}.parquet" if has_truth else "",
                "truth_notes_path": f"{i}.parquet" if has_truth else "", "sha256": f"{i:064x}",
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def check_rows(dataset: Dataset) -> list[dict]:
    """Its rows of check.json, the figures made of counts drawn for each recording."""
    recordings = manifest(dataset)
    recordings = recordings[recordings["truth_f0_path"] != ""]
    if recordings.empty:
        reason = truth.NO_PITCH if {kind for kind, _ in dataset.instruments} == {"drums"} else truth.NO_TRUTH
        nothing = {name: None for name in agreement.summary(_no_counts(), np.zeros(agreement.N_DISTANCES), 0)}
        nothing |= {"n_clips": 0, "n_frames": 0, "n_frames_left_out": 0}
        return [_who(dataset, "all", "all", "all") | nothing | {"reason": reason}]
    rows = []
    for extent in ("sustained", "all"):
        counts = _drawn(dataset, recordings, extent)
        for kind, instrument in [("all", "all"), *_kinds_and_instruments(recordings)]:
            is_kind = (recordings["kind"] == kind) | (kind == "all")
            is_own = (is_kind & ((recordings["instrument"] == instrument) | (instrument == "all"))).to_numpy()
            figures = agreement.summary(counts[is_own], _distances(instrument, extent), seed=0)
            rows.append(_who(dataset, kind, instrument, extent) | figures | {"reason": ""})
    return rows


def _kinds_and_instruments(recordings: pd.DataFrame) -> list[tuple[str, str]]:
    found = sorted(set(zip(recordings["kind"], recordings["instrument"], strict=True)))
    return sorted({(kind, "all") for kind, _ in found} | set(found))


def _who(dataset: Dataset, kind: str, instrument: str, extent: str) -> dict:
    return {"dataset": dataset.name, "kind": kind, "instrument": instrument, "frames": extent}


def _no_counts() -> pd.DataFrame:
    return pd.DataFrame(columns=agreement.Counts._fields, dtype=int)


def _drawback(instrument: str, extent: str) -> float:
    """By how much the labels of an instrument are worse than they could be."""
    return 0.06 * (sum(map(ord, instrument)) % 7) / 7 + 0.02 * (extent == "all")


def _drawn(dataset: Dataset, recordings: pd.DataFrame, extent: str) -> pd.DataFrame:
    """Counts (n_clips, 7) of each recording."""
    rng = np.random.default_rng([len(recordings), len(extent)])
    n_all = round(100 * dataset.duration_s)
    n_several = round(n_all * dataset.several_sound) if extent == "all" else 0
    n_voiced = round((n_all - n_several) * (0.85 if extent == "all" else 0.7))
    n_silent = n_all - n_several - n_voiced if extent == "all" else 0
    rows = []
    for own in recordings.itertuples():
        within = dataset.agreement[own.kind] - _drawback(own.instrument, extent) + rng.normal(0, 0.04)
        n_within, n_octave = (round(n_voiced * share) for share in (min(within, 0.995), 0.4 * max(1 - within, 0)))
        n_false = round(n_silent * rng.uniform(0.03, 0.1))
        rows.append((n_voiced, n_within, n_octave, n_voiced - n_octave // 2, n_silent, n_false, n_several))
    return pd.DataFrame(rows, columns=agreement.Counts._fields)


def _distances(instrument: str, extent: str) -> np.ndarray:
    """Distances (N_DISTANCES,) of the labels of an instrument."""
    cents = np.abs(np.random.default_rng(0).normal(0, 9 + 100 * _drawback(instrument, extent), 1000))
    return np.bincount(np.rint(cents / agreement.RESOLUTION_CENTS).astype(int), minlength=agreement.N_DISTANCES)


def write(datasets: list[Dataset], path) -> None:
    """Write what the workflow would of these datasets. path: from a path of the workflow to one of this machine."""
    rows = [row for dataset in datasets for row in check_rows(dataset)]
    write_json(path("results/labels/check.json"), {"rows": rows})
    for dataset in datasets:
        folder = f"results/datasets/{dataset.name}"
        tables.write(manifest(dataset), path(f"{folder}/manifest.parquet"), tables.MANIFEST)
        unused = [
            {"dataset": dataset.name, "path": f"audio/unused_{i}.flac", "reason": reason, "counts": counts}
            for i, (reason, counts) in enumerate(dataset.unused)
        ]
        unused = pd.DataFrame(unused, columns=tables.REJECTED.names)
        tables.write(unused, path(f"{folder}/rejected.parquet"), tables.REJECTED)
