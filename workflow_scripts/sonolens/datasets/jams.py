"""Notes and pitch contours of a JAMS file, which is plain JSON: one annotation for each string of a guitar."""

import json
from typing import NamedTuple

import numpy as np
import pandas as pd

from sonolens.datasets import score_truth


class Jams(NamedTuple):
    """What a file says. Strings are called by the `data_source` of their annotations."""

    duration_s: float
    notes: dict[str, pd.DataFrame]  # string: tables.TRUTH_NOTES, `part` the string
    contours: dict[str, tuple[np.ndarray, np.ndarray]]  # string: time_s and f0_hz, (P,); 0 Hz where it is unvoiced


def read(content: bytes, name: str) -> Jams:
    """Raises ValueError naming the file if it is damaged, or not what JAMS prescribes."""
    try:
        document = json.loads(content)
        duration_s = float(document["file_metadata"]["duration"])
        notes = {string: _notes(data, string) for string, data in _strings(document, "note_midi")}
        contours = {string: _contour(data) for string, data in _strings(document, "pitch_contour")}
    except KeyError as error:
        raise ValueError(f"{name} cannot be read as JAMS: it lacks {error}") from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} cannot be read as JAMS: {error}") from error
    if not 0 < duration_s < np.inf:
        raise ValueError(f"{name} cannot be read as JAMS: its duration is {duration_s:g} s")
    return Jams(duration_s, notes, contours)


def _strings(document: dict, namespace: str) -> list[tuple[str, list[tuple]]]:
    """(string, observations as (time, duration, value)) of each annotation of a namespace."""
    annotations = [entry for entry in document["annotations"] if entry["namespace"] == namespace]
    names = [str(entry["annotation_metadata"]["data_source"]) for entry in annotations]
    if len(set(names)) < len(names):
        raise ValueError(f"several {namespace} are of one data_source: {sorted(names)}")
    return [(name, _observations(entry["data"])) for name, entry in zip(names, annotations, strict=True)]


def _observations(data: dict | list) -> list[tuple]:
    """JAMS lists observations one by one, or, of dense namespaces such as contours, column by column."""
    if isinstance(data, dict):
        return list(zip(data["time"], data["duration"], data["value"], strict=True))
    return [(entry["time"], entry["duration"], entry["value"]) for entry in data]


def _notes(observations: list[tuple], string: str) -> pd.DataFrame:
    rows = [(float(time_s), float(time_s) + float(lasts_s), float(midi)) for time_s, lasts_s, midi in observations]
    if not np.isfinite(rows).all():
        raise ValueError(f"a note of string {string} has no finite time or pitch")
    notes = score_truth.notes_table([(*row, string) for row in rows])
    return notes.astype(dict.fromkeys(("onset_s", "offset_s", "midi"), np.float64))  # of no notes, too


def _contour(observations: list[tuple]) -> tuple[np.ndarray, np.ndarray]:
    time_s = np.array([time_s for time_s, _, _ in observations], np.float64)
    f0_hz = np.array([value["frequency"] if value["voiced"] else 0 for _, _, value in observations], np.float64)
    if not (np.isfinite(time_s).all() and np.isfinite(f0_hz).all()):
        raise ValueError("a point of a contour has no finite time or frequency")
    order = np.argsort(time_s, kind="stable")
    return time_s[order], f0_hz[order]
