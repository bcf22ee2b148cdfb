"""Datasets whose archive lists its recordings in a CSV, with lengths and an official split."""

import io
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from sonolens.datasets import choice
from sonolens.datasets.files import Supply, Zip

SPLITS = {"train", "validation", "test"}


class Drawn(NamedTuple):
    """Recordings of one archive, as rows of its list."""

    recordings: pd.DataFrame  # those that were drawn
    placed: dict[str, Path]  # member: where it lies now
    unused: pd.DataFrame  # those that cannot be drawn; why is in left_out


def read(archive: Zip, member: str, columns: list[str]) -> pd.DataFrame:
    """These columns of the CSV as text, '' where a field is empty; duration_s beside them, in numbers.

    Raises ValueError if a column is missing, a `duration` is no number, or a `split` is unknown.
    """
    table = pd.read_csv(io.BytesIO(archive.read(member)), dtype=str, keep_default_na=False)
    missing = [column for column in columns if column not in table]
    if missing:
        raise ValueError(f"{member} has no column {missing}; its columns are {list(table.columns)}: another release?")
    unknown = sorted(set(table["split"]) - SPLITS)
    if unknown:
        raise ValueError(f"{member}: the split {unknown} is none of {sorted(SPLITS)}: another release?")
    duration_s = pd.to_numeric(table["duration"], errors="coerce")
    if duration_s.isna().any():
        line = int(duration_s.isna().to_numpy().argmax())
        raise ValueError(f"{member}: the duration in line {line + 2} is no number: {table['duration'].iloc[line]!r}")
    return table[columns].assign(duration_s=duration_s)


def draw(archive: Zip, recordings: pd.DataFrame, options: dict, supply: Supply) -> Drawn:
    """Choose options["hours"] of the recordings and fetch them, nothing else.

    recordings: what choice.choose needs, member and target (relative to the dataset's folder), and audio_filename, ''
    where no audio was released. Of a group that the official split tears apart, what lies in one split can be drawn.
    """
    recordings = recordings.copy()
    if options["split"] == "drawn":
        recordings["split"] = choice.NO_SPLIT
    recordings["left_out"] = _why_not_there(recordings, archive.members)
    there = recordings[recordings["left_out"] == ""]
    if options["split"] == "official" and len(there):
        torn = choice.torn_groups(there, options["hours"], supply.seed, supply.splits)
        recordings.loc[there.index, "left_out"] = torn
    usable = recordings[recordings["left_out"] == ""]
    chosen = choice.choose(usable, options["hours"], supply.seed, supply.splits)
    if chosen.shortage:
        supply.note("shortage", chosen.shortage)
    drawn = chosen.recordings
    placed = archive.extract(dict(zip(drawn["member"], drawn["target"], strict=True)))
    return Drawn(drawn, placed, recordings[recordings["left_out"] != ""])


def _why_not_there(recordings: pd.DataFrame, members: dict[str, int]) -> list[str]:
    return [
        "no audio was released" if name == "" else "" if member in members else f"the archive holds no {member}"
        for name, member in zip(recordings["audio_filename"], recordings["member"], strict=True)
    ]
