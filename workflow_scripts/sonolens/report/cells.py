"""Gather the metrics of all cells and probes into a few tables, which figures and the report read."""

import math
from pathlib import Path

import pandas as pd

from sonolens.files import read_json
from sonolens.report.schemas import CELL_METRICS, PITCH_METRICS, PROBE_METRICS, SUBSET_METRICS, SUBSET_PITCH_METRICS


def key_of(metrics: dict) -> dict:
    """Which cell some metrics belong to."""
    return {name: metrics[name] for name in ("encoder", "dim", "expansion", "lam")}


def optional(metrics: dict, names: list[str]) -> dict:
    """Metrics that only some attributes have, NaN where this one lacks them (or they are null)."""
    return {name: metrics[name] if metrics.get(name) is not None else math.nan for name in names}


def gather_cells(metrics_paths: list[str], audio_paths: list[str]) -> pd.DataFrame:
    """One row per cell (schemas.CELLS). Both lists are in the same order of cells."""
    rows = []
    for metrics_path, audio_path in zip(metrics_paths, audio_paths, strict=True):
        if Path(metrics_path).parent != Path(audio_path).parent:
            raise ValueError(f"{metrics_path} and {audio_path} are not of one cell; list both in the same order")
        metrics, audio = read_json(metrics_path), read_json(audio_path)
        row = key_of(metrics) | {name: metrics[name] for name in CELL_METRICS}
        for source in ("codec", "sae"):
            quality = optional(audio[source], ["log_spectral_distance_db", "pitch_kept_share"])
            row |= {f"{source}_{name}": value for name, value in quality.items()}
        rows.append(row | optional(audio, ["sae_vs_codec_log_spectral_distance_db"]))
    return pd.DataFrame(rows)


def expansion_of(cells: pd.DataFrame) -> dict[tuple[str, int], float]:
    """The expansion of each (encoder, dim)."""
    return {(row.encoder, row.dim): row.expansion for row in cells.itertuples()}


def probe_key(metrics: dict, expansions: dict[tuple[str, int], float]) -> dict:
    """Which cell a probe reads: its features, or the raw latents, which have dim 0 and no lam."""
    if metrics["dim"] is None:
        return {"encoder": metrics["encoder"], "dim": 0, "expansion": 0.0, "lam": math.nan}
    expansion = expansions[metrics["encoder"], metrics["dim"]]
    return {"encoder": metrics["encoder"], "dim": metrics["dim"], "expansion": expansion, "lam": metrics["lam"]}


def gather_probes(paths: list[str], cells: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row per probe (schemas.PROBES), and one per probe and kind of recording (schemas.SUBSETS)."""
    expansions = expansion_of(cells)
    probes, subsets = [], []
    for path in paths:
        metrics = read_json(path)
        key = probe_key(metrics, expansions) | {"attribute": metrics["attribute"]}
        measured = {name: metrics[name] for name in PROBE_METRICS} | optional(metrics, PITCH_METRICS)
        probes.append(key | {"unit": metrics["unit"]} | measured)
        for kind, subset in sorted(metrics["subsets"].items()):
            measured = optional(subset, SUBSET_METRICS + SUBSET_PITCH_METRICS)
            subsets.append(key | {"kind": kind} | measured)
    columns = ["encoder", "dim", "expansion", "lam", "attribute", "kind", *SUBSET_METRICS, *SUBSET_PITCH_METRICS]
    return pd.DataFrame(probes), pd.DataFrame(subsets, columns=columns)


def gather_activations(metrics_paths: list[str]) -> pd.DataFrame:
    """One row per cell and bin of its activation-frequency histogram (schemas.ACTIVATIONS)."""
    rows = []
    for path in metrics_paths:
        metrics = read_json(path)
        histogram = metrics["activation_frequency"]
        edges = histogram["log10_edges"]
        for low, high, count in zip(edges[:-1], edges[1:], histogram["counts"], strict=True):
            rows.append(key_of(metrics) | {"log10_low": low, "log10_high": high, "count": count})
    return pd.DataFrame(rows)
