"""The f0 tracks of CocoChorales: an archive of pickles beside each archive of audio, a point each 4 ms for each voice.

A pickle can be any program. It is opened once the checksum of its archive is that of the official list, and may hold
dictionaries, lists, numbers and arrays all the same.
"""

import io
import pickle
import re
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import soundfile

from sonolens import tables
from sonolens.datasets import score_truth
from sonolens.datasets.cocochorales_tracks import Track
from sonolens.datasets.files import Supply

STEP_S = 0.004
LARGEST_BYTES = 64 << 20
ALLOWED = {
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"),
}  # fmt: skip

Voices = dict[str, np.ndarray]


def add(
    folder: Path, name: str, tracks: list[Track], options: dict, sum_of: Callable[[str], str], supply: Supply
) -> None:
    """Write the f0 truth of tracks of archive `name` ("train/1"), and its path into their rows.

    Where no f0 is known of a recording, it follows from its notes. Raises ValueError, naming the file, for a pickle
    with anything else in it.
    """
    lacking = [track for track in tracks if not all(_path(folder, row).is_file() for row in track.rows)]
    if options["truth"] == "f0" and lacking:
        archive = f"f0/{name}.tar.bz2"
        path = supply.file(archive, md5=sum_of(archive))
        voices = _read(path, {track.name for track in lacking})
        unmatched = sum(_write(folder, track, voices.get(track.name)) for track in lacking)
        if unmatched:
            supply.note("no_f0", f"{archive}: no f0 is found for {unmatched} recordings, it is taken from their notes")
        if path.is_relative_to(folder.absolute()):
            path.unlink()  # fetched for this, and not needed again
    else:
        for track in lacking:
            _write(folder, track, None)
    for track in tracks:
        for row in track.rows:
            path = _path(folder, row)
            row["truth_f0_path"] = path.relative_to(folder).as_posix() if path.is_file() else ""


def _path(folder: Path, row: dict) -> Path:
    """Where the f0 truth of a recording is written: beside its notes."""
    where = PurePosixPath(row["path"])
    return folder / "truth" / _track_of(where) / f"{where.stem}.f0.parquet"


def _track_of(path: PurePosixPath) -> str:
    return next(part for part in path.parts if re.fullmatch(r"[a-z]+_track\d{6}", part))


def _read(path: Path, wanted: set[str]) -> dict[str, Voices]:
    """f0 of the voices of each track that is wanted, and there."""
    found = {}
    with tarfile.open(path, "r:bz2") as archive:
        for info in archive:
            track = PurePosixPath(info.name).stem
            if not info.isreg() or not info.name.endswith(".pickle") or track not in wanted:
                continue
            if info.size > LARGEST_BYTES:
                raise ValueError(f"{info.name} in {path} has {info.size / 1e6:.0f} MB, which no f0 of a track has")
            found[track] = _unpickled(archive.extractfile(info).read(), f"{info.name} in {path}")
            if len(found) == len(wanted):
                break
    return found


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not loaded")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _unpickled(content: bytes, name: str) -> Voices:
    try:
        voices = _Unpickler(io.BytesIO(content)).load()
        return {str(voice): np.asarray(f0_hz, np.float64).ravel() for voice, f0_hz in voices.items()}
    except (pickle.UnpicklingError, AttributeError, EOFError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name} is no pickle of f0 tracks: {error}") from error


def _write(folder: Path, track: Track, voices: Voices | None) -> int:
    """Write the truth of a track's recordings; of how many no voice was found."""
    n_unmatched = 0
    for row in track.rows:
        if "sha256" not in row or (not row["truth_notes_path"] and voices is None):
            continue
        path = _path(folder, row)
        own = _own(voices, track, path.name.removesuffix(".f0.parquet")) if voices else None
        n_unmatched += voices is not None and own is None
        duration_s = soundfile.info(folder / row["path"]).duration
        table = _of_voices(own, duration_s) if own else _of_notes(folder, row, duration_s)
        if table is not None:
            tables.write(table, path, tables.TRUTH_F0)
    return n_unmatched


def _own(voices: Voices, track: Track, part: str) -> list[np.ndarray] | None:
    """f0 of all voices for a mix, of its own for a stem: called as it, or by its number, or by its instrument."""
    if part == "mix":
        return list(voices.values())
    names = {re.sub(r"^\d+_", "", voice): voice for voice in track.voices}
    number, _, instrument = part.partition("_")
    is_unique = len(names) == len(track.voices)
    for key in (part, number, instrument if is_unique else None):
        if key in voices:
            return [voices[key]]
    return None


def _of_voices(voices: list[np.ndarray], duration_s: float) -> pd.DataFrame:
    return score_truth.f0_of_tracks([(STEP_S * np.arange(len(f0_hz)), f0_hz) for f0_hz in voices], duration_s)


def _of_notes(folder: Path, row: dict, duration_s: float) -> pd.DataFrame | None:
    if not row["truth_notes_path"]:
        return None
    notes = tables.read(folder / row["truth_notes_path"], tables.TRUTH_NOTES)
    return score_truth.f0_of_notes(notes, duration_s)
