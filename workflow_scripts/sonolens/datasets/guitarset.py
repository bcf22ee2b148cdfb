"""GuitarSet: six players with an acoustic guitar before a microphone, each string annotated on its own.

Each plays thirty lead sheets twice, as a solo and as an accompaniment. Accompaniments are chords, most frames of which
have no one pitch: they are drawn only once all solos are.
"""

import re
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from sonolens.datasets import choice, jams, score_truth
from sonolens.datasets.files import Supply, Zip, arrived, candidates, from_rows

AUDIO, ANNOTATION = "audio_mono-mic.zip", "annotation.zip"
NAME = re.compile(r"(?P<name>(?P<player>\d\d)_(?P<style>[A-Za-z]+)[^_/]*_(?P<role>solo|comp))_mic\.wav")
KINDS = {"solo": "solo", "comp": "mix"}  # in the order in which they are drawn
STRINGS = {"0": "E2", "1": "A2", "2": "D3", "3": "G3", "4": "B3", "5": "E4"}  # data_source in JAMS: the open string
BYTES_PER_SECOND = 2 * 44100  # of the recordings: 16 bits, mono
# https://github.com/marl/GuitarSet/issues/5 and /4
DEFECTS = {
    "04_BN3-154-E_comp": "its annotation is 0.409 s late",
    "04_Jazz1-200-B_comp": "its annotation is 0.309 s late",
    "02_Funk2-119-G_comp": "a note stands twice in its annotation",
}


def fetch(folder: Path, options: dict, supply: Supply) -> pd.DataFrame:
    """Draw recordings and fetch them with their annotations, nothing else; rows of files.FILES.

    A recording whose annotation is missing or cannot be read is used without truth, and that is noted. Raises
    ValueError if the archive of audio holds no recordings, or if not one annotation can be read.
    """
    with supply.zip(AUDIO) as recorded, supply.zip(ANNOTATION) as annotated:
        recordings, annotations = _recordings(recorded.members), _Annotations(annotated)
        chosen = _choose(recordings[recordings["left_out"] == ""], options["hours"], supply, annotations)
        placed = recorded.extract(dict(zip(chosen["member"], chosen["target"], strict=True)))
        annotations.report(chosen["name"], supply)
        rows = [_row(folder, row, placed[row["member"]], annotations.of(row["name"])) for _, row in chosen.iterrows()]
    defective = recordings[recordings["left_out"] != ""]
    return from_rows(rows + [_described(row) | {"path": row["target"]} for _, row in defective.iterrows()])


def index(folder: Path, files: pd.DataFrame, options: dict) -> pd.DataFrame:
    """Every recording as a candidate (files.CANDIDATES), called as its annotation is."""
    rows = candidates(folder, files)
    rows["stem"] = [Path(path).stem.removesuffix("_mic") for path in files["path"]]
    return rows


def _recordings(members: dict[str, int]) -> pd.DataFrame:
    """What the archive holds, whichever folder it is in: member, n_bytes, player, role, left_out, target, and what
    choose() needs.
    """
    found = [(member, NAME.fullmatch(PurePosixPath(member).name)) for member in sorted(members)]
    rows = [{"member": member, "n_bytes": members[member]} | match.groupdict() for member, match in found if match]
    if all(row["name"] in DEFECTS for row in rows):
        raise ValueError(f"{AUDIO} holds no recording like 00_BN1-129-Eb_solo_mic.wav: it is another archive")
    table = pd.DataFrame(rows)
    if table["name"].duplicated().any():
        raise ValueError(f"{AUDIO} holds {sorted(set(table['name'][table['name'].duplicated()]))[:5]} several times")
    table["target"] = "audio/" + table["name"] + "_mic.wav"
    table["left_out"] = [f"known defect: {DEFECTS[name]}" if name in DEFECTS else "" for name in table["name"]]
    # Players get equal hours, and a player's styles take turns
    return table.assign(stratum=table["player"], group=table["style"], split=choice.NO_SPLIT)


def _choose(recordings: pd.DataFrame, hours: float, supply: Supply, annotations: "_Annotations") -> pd.DataFrame:
    """Solos, and accompaniments once there is no further solo."""
    drawn, lasting_s, is_enough = [], 0.0, False
    for role in KINDS:
        own = recordings[recordings["role"] == role]
        if is_enough or own.empty:
            continue
        left_h = hours - lasting_s / 3600
        drawn.append(choice.choose(own, left_h, supply.seed, supply.splits, annotations.duration_s))
        lasting_s += drawn[-1].recordings["duration_s"].sum()
        is_enough = not drawn[-1].shortage
    if not is_enough:
        supply.note("shortage", f"{hours:g} h are asked for, there are {lasting_s / 3600:.2f}: all of it is taken")
    return pd.concat([part.recordings for part in drawn], ignore_index=True)


class _Annotations:
    """Annotations of recordings: read from their archive once, and only those that are asked for."""

    def __init__(self, archive: Zip):
        self._archive = archive
        self._members = {PurePosixPath(member).name: member for member in archive.members}
        self._read: dict[str, jams.Jams | str] = {}  # or why it cannot be read

    def of(self, name: str) -> jams.Jams | None:
        """That of one recording; None if it is missing or cannot be read."""
        if name not in self._read:
            self._read[name] = self._found(f"{name}.jams")
        return None if isinstance(self._read[name], str) else self._read[name]

    def duration_s(self, recording: dict) -> float:
        """How long a recording is, before it is fetched."""
        annotation = self.of(recording["name"])
        return recording["n_bytes"] / BYTES_PER_SECOND if annotation is None else annotation.duration_s

    def report(self, names: pd.Series, supply: Supply) -> None:
        """Note which recordings have no truth. Raises ValueError if none has."""
        faults = [self._read[name] for name in names if self.of(name) is None]
        for fault in faults:
            supply.note("no_truth", f"{fault}; the recording is used without truth")
        if len(faults) == len(names):
            raise ValueError(f"not one of {len(names)} annotations in {ANNOTATION} can be read: {faults[0]}")

    def _found(self, file: str) -> jams.Jams | str:
        if file not in self._members:
            return f"{ANNOTATION} holds no {file}"
        content = self._archive.read(self._members[file])  # outside of try: a broken archive is no damaged annotation
        try:
            return _of_six_strings(jams.read(content, file), file)
        except ValueError as error:
            return str(error)


def _of_six_strings(annotation: jams.Jams, file: str) -> jams.Jams:
    """The annotation, its strings called by their open notes; contours may be missing, strings may not."""
    for what, strings in (("notes", annotation.notes), ("contours", annotation.contours)):
        if set(strings) != set(STRINGS) and (strings or what == "notes"):
            raise ValueError(f"{file} has {what} of the strings {sorted(strings)}, not of {sorted(STRINGS)}")
    return annotation._replace(
        notes={STRINGS[string]: notes.assign(part=STRINGS[string]) for string, notes in annotation.notes.items()},
        contours={STRINGS[string]: contour for string, contour in annotation.contours.items()},
    )


def _row(folder: Path, recording: pd.Series, path: Path, annotation: jams.Jams | None) -> dict:
    """A recording that was fetched, its truth written beside it."""
    row = _described(recording) | arrived(folder, path)
    if annotation is None:
        return row
    notes = score_truth.notes_table(pd.concat(annotation.notes.values()).itertuples(index=False))
    return row | score_truth.write(folder, recording["name"], _f0(annotation), notes)


def _described(recording: pd.Series) -> dict:
    who = {"group": f"player_{recording['player']}", "instrument": "guitar"}
    return who | {"kind": KINDS[recording["role"]], "left_out": recording["left_out"]}


def _f0(annotation: jams.Jams) -> pd.DataFrame:
    """tables.TRUTH_F0 from the contours; from the pitch of the notes if there are none.

    A string sounds where it has a note or a contour: a contour may break off in a note. Where that string is the only
    one, its f0 is not known.
    """
    contours, duration_s = annotation.contours, annotation.duration_s
    if not any(len(time_s) for time_s, _ in contours.values()):
        return score_truth.f0_of_notes(pd.concat(annotation.notes.values()), duration_s)
    f0, n_sounding = score_truth.f0_of_tracks(list(contours.values()), duration_s), 0
    for string, notes in annotation.notes.items():
        has_note = score_truth.f0_of_notes(notes, duration_s)["n_sounding"] > 0
        has_contour = score_truth.f0_of_tracks([contours[string]], duration_s)["n_sounding"] > 0
        n_sounding += (has_note | has_contour).astype(np.int8)
    return f0.assign(f0_hz=f0["f0_hz"].where(n_sounding == 1), n_sounding=n_sounding)
