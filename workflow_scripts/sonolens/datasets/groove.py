"""Groove MIDI: ten drummers on an electronic kit, recorded as it sounded. Drums have no pitch.

The official split goes through sessions. A session is kept whole: where the split tears it apart, its recordings in one
of the splits are used and the others are left out.
"""

from pathlib import Path

import pandas as pd

from sonolens.datasets.files import Supply, arrived, candidates, from_rows
from sonolens.datasets.listed_archive import draw, read

ARCHIVE, INDEX = "groove-v1.0.0.zip", "groove/info.csv"
COLUMNS = ["drummer", "session", "id", "audio_filename", "midi_filename", "duration", "split"]


def fetch(folder: Path, options: dict, supply: Supply) -> pd.DataFrame:
    """Draw recordings and fetch them, nothing else; rows of files.FILES.

    Raises ValueError if the archive's index is not that of the release.
    """
    with supply.zip(ARCHIVE) as archive:
        recordings, placed, unused = draw(archive, _recordings(read(archive, INDEX, COLUMNS)), options, supply)
    rows = [_described(row) | arrived(folder, placed[row["member"]]) for _, row in recordings.iterrows()]
    return from_rows(rows + [_described(row) | {"path": row["target"]} for _, row in unused.iterrows()])


def index(folder: Path, files: pd.DataFrame, options: dict) -> pd.DataFrame:
    """Every recording as a candidate (files.CANDIDATES), called <drummer>/<session>/<name>."""
    rows = candidates(folder, files)
    rows["stem"] = ["/".join(Path(path).with_suffix("").parts[-3:]) for path in files["path"]]
    return rows


def _recordings(listed: pd.DataFrame) -> pd.DataFrame:
    """Every performance, with what drawing needs. Drummers get equal hours, and a drummer's sessions take turns."""
    # One without audio is called as its MIDI file, so that it can be told of
    name = listed["audio_filename"].where(listed["audio_filename"] != "", listed["midi_filename"])
    member, target = "groove/" + listed["audio_filename"], "audio/" + name
    return listed.assign(
        name=listed["id"], member=member, target=target, stratum=listed["drummer"], group=listed["session"]
    )


def _described(recording: pd.Series) -> dict:
    who = {"group": recording["group"], "split": recording["split"], "left_out": recording["left_out"]}
    return who | {"kind": "drums", "instrument": "drum kit"}
