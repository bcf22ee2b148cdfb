"""The f0 tracks of CocoChorales: an archive of pickles beside each archive of audio, a point each 4 ms for each voice.

A pickle can be any program. It is opened once the checksum of its archive is that of the official list, and may hold
dictionaries, lists, numbers and arrays all the same.
"""

import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from sonolens import audio, tables
from sonolens.datasets import score_truth
from sonolens.datasets.cocochorales_tracks import NAME, Track
from sonolens.datasets.cocochorales_voices import paired
from sonolens.datasets.files import Supply

STEP_S = 0.004
LOWEST_HZ = 20.0  # a rest is MIDI note 0, give or take a semitone: some 8 Hz, not 0
LARGEST_BYTES = 64 << 20
ALLOWED = {
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"),
}  # fmt: skip
# What the module pickle raises where one is damaged
DAMAGES = (AttributeError, EOFError, ImportError, LookupError, MemoryError, OverflowError, TypeError, ValueError)

Voices = dict[str, np.ndarray]


def add(
    folder: Path, name: str, tracks: list[Track], options: dict, sum_of: Callable[[str], str], supply: Supply
) -> None:
    """Write the f0 truth of tracks of archive `name` ("train/1"), and its path into their rows.

    Where no f0 is known of a recording, it follows from its notes. Raises ValueError, naming the file, for a pickle
    with anything else in it.
    """
    kind = "f0" if options["truth"] == "f0" else "f0_of_notes"  # so that the other truth is not taken for this one
    lacking = [track for track in tracks if not all(_path(folder, row, kind).is_file() for row in track.rows)]
    voices, path = {}, None
    if options["truth"] == "f0" and lacking:
        path = _archive(f"f0/{name}.tar.bz2", sum_of, supply)
        voices = _read(path, {track.name for track in lacking})
    unmatched = sum(_write(folder, track, voices, kind) for track in lacking)
    if path and unmatched:
        supply.note("no_f0", f"f0/{name}.tar.bz2 has no f0 of {unmatched} recordings: it is taken from their notes")
    if path and path.is_relative_to(folder.absolute()):
        path.unlink()  # fetched for this, and not needed again
    for track in tracks:
        for row in track.rows:
            path = _path(folder, row, kind)
            row["truth_f0_path"] = path.relative_to(folder).as_posix() if path.is_file() else ""


def _archive(name: str, sum_of: Callable[[str], str], supply: Supply) -> Path:
    """Raises IsADirectoryError for an extracted one, of which there is no checksum."""
    try:
        return supply.file(name, md5=sum_of(name))
    except IsADirectoryError as error:
        error.strerror += "; name the archive itself, or set truth: notes"
        raise


def _path(folder: Path, row: dict, kind: str) -> Path:
    """Where the f0 truth of a recording is written: beside its notes."""
    where = PurePosixPath(row["path"])
    track = next(part for part in where.parts if NAME.fullmatch(part))
    return folder / "truth" / track / f"{where.stem}.{kind}.parquet"


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
    except (pickle.UnpicklingError, *DAMAGES) as error:
        raise ValueError(f"{name} is no pickle of f0 tracks: {error}") from error


def _write(folder: Path, track: Track, voices: dict[str, Voices], kind: str) -> int:
    """Write the truth of a track's recordings; of how many it has to be taken from notes."""
    own_of = _own_of(voices[track.name], track) if track.name in voices else {}
    n_unmatched = 0
    for row in track.rows:
        part = PurePosixPath(row["path"]).stem
        n_unmatched += part not in own_of
        n_samples, sample_rate_hz, _ = audio.header(folder / row["path"])
        duration_s = n_samples / sample_rate_hz
        table = _of_voices(own_of[part], duration_s) if part in own_of else _of_notes(folder, row, duration_s)
        if table is not None:
            tables.write(table, _path(folder, row, kind), tables.TRUTH_F0)
    return n_unmatched


def _own_of(voices: Voices, track: Track) -> dict[str, list[np.ndarray]]:
    """f0 of its own voice for each stem that one is found of; for the mix those of all, unless some are missing."""
    found = {stem: [voices[voice]] for stem, voice in paired(track.voices, voices).items()}
    return found | ({"mix": list(voices.values())} if len(voices) >= len(track.voices) else {})


def _of_voices(voices: list[np.ndarray], duration_s: float) -> pd.DataFrame:
    sounding = [np.where(f0_hz < LOWEST_HZ, 0.0, f0_hz) for f0_hz in voices]
    return score_truth.f0_of_tracks([(STEP_S * np.arange(len(f0_hz)), f0_hz) for f0_hz in sounding], duration_s)


def _of_notes(folder: Path, row: dict, duration_s: float) -> pd.DataFrame | None:
    if not row["truth_notes_path"]:
        return None
    notes = tables.read(folder / row["truth_notes_path"], tables.TRUTH_NOTES)
    return score_truth.f0_of_notes(notes, duration_s)
