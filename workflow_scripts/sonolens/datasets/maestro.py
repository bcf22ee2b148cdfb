"""MAESTRO: pianists in a competition, on an instrument that writes down each key and the pedal.

Half an hour of it is taken from an archive of 108 GB, member by member.
"""

from pathlib import Path, PurePosixPath

import pandas as pd

from sonolens.datasets import score_truth
from sonolens.datasets.files import Supply, Zip, arrived, candidates, from_rows
from sonolens.datasets.listed_archive import draw, read

ARCHIVE, TOP = "maestro-v3.0.0.zip", "maestro-v3.0.0"
INDEX = f"{TOP}/{TOP}.csv"
COLUMNS = ["canonical_composer", "canonical_title", "split", "midi_filename", "audio_filename", "duration"]


def fetch(folder: Path, options: dict, supply: Supply) -> pd.DataFrame:
    """Draw performances and fetch them with their MIDI, nothing else; rows of files.FILES.

    A performance whose MIDI cannot be read is used without truth, and that is noted. Raises ValueError if the archive's
    index is not that of the release.
    """
    with supply.zip(ARCHIVE) as archive:
        listed = _performances(read(archive, INDEX, COLUMNS))
        performances, placed, unused = draw(archive, listed, options, supply)
        rows = [_row(folder, row, placed[row["member"]], archive, supply) for _, row in performances.iterrows()]
    return from_rows(rows + [_described(row) | {"path": row["target"]} for _, row in unused.iterrows()])


def index(folder: Path, files: pd.DataFrame, options: dict) -> pd.DataFrame:
    """Every performance as a candidate (files.CANDIDATES), called <year>/<name>."""
    rows = candidates(folder, files)
    rows["stem"] = ["/".join(Path(path).with_suffix("").parts[-2:]) for path in files["path"]]
    return rows


def _performances(listed: pd.DataFrame) -> pd.DataFrame:
    """Every performance, with what drawing needs. A composition is a group; composers do not get equal hours, since
    there are more of them than performances are drawn.
    """
    name = listed["audio_filename"]
    group = listed["canonical_composer"] + ": " + listed["canonical_title"]
    return listed.assign(name=name, member=f"{TOP}/" + name, target="audio/" + name, stratum="", group=group)


def _row(folder: Path, performance: pd.Series, path: Path, archive: Zip, supply: Supply) -> dict:
    """A performance that was fetched, its truth written beside it."""
    row = _described(performance) | arrived(folder, path)
    midi = f"{TOP}/{performance['midi_filename']}"
    if midi not in archive.members:
        supply.note("no_truth", f"{ARCHIVE} holds no {midi}; the recording is used without truth")
        return row
    try:
        notes = score_truth.notes_of_midi(archive.read(midi), midi, with_pedal=True)
    except ValueError as error:
        supply.note("no_truth", f"{error}; the recording is used without truth")
        return row
    f0 = score_truth.f0_of_notes(notes, performance["duration_s"])
    stem = PurePosixPath(performance["audio_filename"]).with_suffix("").as_posix()
    return row | score_truth.write(folder, stem, f0, notes)


def _described(performance: pd.Series) -> dict:
    who = {"group": performance["group"], "split": performance["split"], "left_out": performance["left_out"]}
    return who | {"kind": "mix", "instrument": "piano"}
