"""Gather training histories, and the comparison of the two readings of the L1 term."""

from pathlib import Path

import pandas as pd

from sonolens import tables
from sonolens.files import read_json
from sonolens.report.cells import key_of
from sonolens.report.schemas import (
    CELL_METRICS,
    CODEC_HISTORIES,
    HISTORIES,
    OBJECTIVE,
    OBJECTIVE_HISTORIES,
    OBJECTIVE_PROBE_METRICS,
)


def gather_histories(metrics_paths: list[str], history_paths: list[str]) -> pd.DataFrame:
    """Histories of all cells below each other (schemas.HISTORIES). Both lists are in the same order of cells."""
    return _joined(metrics_paths, history_paths, ["encoder", "dim", "expansion", "lam"], HISTORIES.names)


def gather_codec_histories(history_paths: list[str]) -> pd.DataFrame:
    """Histories of the trained codecs (schemas.CODEC_HISTORIES), from results/codecs/{encoder}/history.parquet."""
    frames = [pd.DataFrame(columns=CODEC_HISTORIES.names)]
    for path in history_paths:
        frames.append(tables.read(path, tables.CODEC_HISTORY).assign(encoder=Path(path).parent.name))
    return pd.concat(frames[1:] or frames, ignore_index=True)


def gather_objective(metrics_paths: list[str], probe_paths: list[str]) -> pd.DataFrame:
    """One row per cell and reading of the L1 term, with its probe (schemas.OBJECTIVE)."""
    rows = []
    for metrics_path, probe_path in zip(metrics_paths, probe_paths, strict=True):
        metrics, probe = read_json(metrics_path), read_json(probe_path)
        row = {"l1_on": metrics["l1_on"]} | key_of(metrics) | {name: metrics[name] for name in CELL_METRICS}
        rows.append(row | {name: probe[name] for name in ("attribute", *OBJECTIVE_PROBE_METRICS)})
    return pd.DataFrame(rows, columns=OBJECTIVE.names)


def gather_objective_histories(metrics_paths: list[str], history_paths: list[str]) -> pd.DataFrame:
    """Histories of the comparison of objectives (schemas.OBJECTIVE_HISTORIES)."""
    keys = ["l1_on", "encoder", "dim", "expansion", "lam"]
    return _joined(metrics_paths, history_paths, keys, OBJECTIVE_HISTORIES.names)


def _joined(metrics_paths: list[str], history_paths: list[str], keys: list[str], columns: list[str]) -> pd.DataFrame:
    frames = [pd.DataFrame(columns=columns)]
    for metrics_path, history_path in zip(metrics_paths, history_paths, strict=True):
        metrics = read_json(metrics_path)
        history = tables.read(history_path, tables.SAE_HISTORY)
        frames.append(history.assign(**{key: metrics[key] for key in keys}))
    return pd.concat(frames[1:] or frames, ignore_index=True)
