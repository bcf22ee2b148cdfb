"""CocoChorales in small: archives, names and formats as released, tracks of a second or two."""

import bz2
import functools
import hashlib
import io
import pickle
import tarfile
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
import pretty_midi
import soundfile
import yaml

RATE_HZ = 16000
INSTRUMENTS = {
    "string": ("violin", "violin", "viola", "cello"),
    "brass": ("trumpet", "horn", "trombone", "tuba"),
    "woodwind": ("flute", "oboe", "clarinet", "bassoon"),
    "random": ("oboe", "violin", "saxophone", "double bass"),
}
FIRST_ID = {"train": 1, "valid": 192001, "test": 216001}
N_ARCHIVES = {"train": 96, "valid": 12, "test": 12}
CHORD = (67, 62, 55, 43)
STREAM_BYTES = 90_000  # before they are packed; 900 000 as released


class Track(NamedTuple):
    """One track. first_stem, first_midi: 0 or 1; stems_midi: how the folder is spelt."""

    name: str
    midi_file: str
    lasts_s: float = 1.0
    first_stem: int = 1
    first_midi: int | None = None  # as first_stem
    stems_midi: str = "stems_midi"
    has_mix: bool = True

    @property
    def ensemble(self) -> str:
        return self.name.partition("_")[0]

    @property
    def stems(self) -> list[str]:
        return self._counted(self.first_stem)

    @property
    def scores(self) -> list[str]:
        return self._counted(self.first_stem if self.first_midi is None else self.first_midi)

    def _counted(self, first: int) -> list[str]:
        return [f"{number}_{name}" for number, name in enumerate(INSTRUMENTS[self.ensemble], first)]


def ensemble_of(split: str, number: int) -> str:
    return list(INSTRUMENTS)[(number - 1) // (N_ARCHIVES[split] // 4)]


def tracks(split: str, number: int, n_tracks: int, **more) -> list[Track]:
    """Of one archive, each with a source of its own."""
    ensemble, first = ensemble_of(split, number), FIRST_ID[split] + 1000 * number
    return [Track(f"{ensemble}_track{first + n:06d}", f"{split}_{number}_{n}.mid", **more) for n in range(n_tracks)]


def notes_of(voice: int, lasts_s: float) -> list[tuple[float, float, int]]:
    """(onset_s, offset_s, midi): the four voices enter one after the other, and go on to the end, but for a rest."""
    return [(0.1 * voice, 0.6 * lasts_s, CHORD[voice]), (0.7 * lasts_s, lasts_s, CHORD[voice] + 2)]


def sound(track: Track, voices: list[int]) -> bytes:
    time_s = np.arange(round(track.lasts_s * RATE_HZ)) / RATE_HZ
    wave = np.zeros(len(time_s))
    for voice in voices:
        for onset_s, offset_s, midi in notes_of(voice, track.lasts_s):
            on = (time_s >= onset_s) & (time_s < offset_s)
            f0_hz = 440 * 2 ** ((midi - 69) / 12)
            wave += on * sum(np.sin(2 * np.pi * k * f0_hz * time_s) / k for k in (1, 2, 3)) * (0.05 + 0.03 * voice)
    content = io.BytesIO()
    soundfile.write(content, wave, RATE_HZ, "PCM_16", format="WAV")
    return content.getvalue()


def midi(track: Track, voices: list[int]) -> bytes:
    score = pretty_midi.PrettyMIDI()
    for voice in voices:
        part = pretty_midi.Instrument(program=40)
        for onset_s, offset_s, pitch in notes_of(voice, track.lasts_s):
            part.notes.append(pretty_midi.Note(90, pitch, onset_s, offset_s))
        score.instruments.append(part)
    content = io.BytesIO()
    score.write(content)
    return content.getvalue()


def files_of(track: Track) -> dict[str, bytes]:
    """A track's folder; the metadata come last, as nothing says in which order they do."""
    found = {}
    for voice, (stem, score) in enumerate(zip(track.stems, track.scores, strict=True)):
        found[f"{track.name}/stems_audio/{stem}.wav"] = sound(track, [voice])
        found[f"{track.name}/{track.stems_midi}/{score}.mid"] = midi(track, [voice])
    if track.has_mix:
        found[f"{track.name}/mix.wav"] = sound(track, [0, 1, 2, 3])
    found[f"{track.name}/mix.mid"] = midi(track, [0, 1, 2, 3])
    about = {
        "midi_file": track.midi_file,
        "tempo": 90,
        "ensemble": track.ensemble,
        "instrument_name": dict(enumerate(INSTRUMENTS[track.ensemble])),  # counted from 0, whatever stems are
        "overall_gain": 1.0,
    }
    found[f"{track.name}/metadata.yaml"] = yaml.safe_dump(about).encode()
    return found


def f0_of(track: Track) -> dict:
    """A track's voices (n, 1), counted from 0, a point each 4 ms. They glide by 10 cents from their notes.

    Where a voice rests it is near MIDI note 0, as what made them has it.
    """
    time_s = np.arange(round(track.lasts_s / 0.004)) * 0.004
    found = {}
    for voice in range(4):
        f0_hz = np.full(len(time_s), 440 * 2 ** ((0.3 - 69) / 12))
        for onset_s, offset_s, pitch in notes_of(voice, track.lasts_s):
            f0_hz[(time_s >= onset_s) & (time_s < offset_s)] = 440 * 2 ** ((pitch + 0.1 - 69) / 12)
        found[voice] = f0_hz.astype(np.float32)[:, np.newaxis]
    return found


def packed(contents: dict[str, bytes], level: int = 1) -> bytes:
    """A tar.bz2 archive; level: of 100 kB in a block."""
    return bz2.compress(tarred(contents), level)


def tarred(contents: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            tar.addfile(info, io.BytesIO(content))
    return archive.getvalue()


def packed_as_released(contents: dict[str, bytes]) -> bytes:
    """By `tar --use-compress-prog=pbzip2 -C folder .`: names begin with ./, folders are members, streams are many."""
    members = {"./": b""}
    for name, content in contents.items():
        folders = [folder for folder in reversed(PurePosixPath(name).parents) if folder.name]
        members |= {f"./{folder}/": b"" for folder in folders} | {f"./{name}": content}
    raw = tarred(members)
    return b"".join(bz2.compress(raw[start : start + STREAM_BYTES], 1) for start in range(0, len(raw), STREAM_BYTES))


@functools.cache
def main_archive(of: tuple[Track, ...]) -> bytes:
    return packed_as_released({name: content for track in of for name, content in files_of(track).items()})


@functools.cache
def f0_archive(of: tuple[Track, ...]) -> bytes:
    return packed_as_released({f"{track.name}.pickle": pickle.dumps(f0_of(track)) for track in of})


def released(of: dict[tuple[str, int], list[Track]]) -> dict[str, bytes]:
    """Name: content of everything that is served, for the tracks of some archives."""
    found = {}
    for (split, number), own in of.items():
        found[f"main_dataset/{split}/{number}.tar.bz2"] = main_archive(tuple(own))
        found[f"f0/{split}/{number}.tar.bz2"] = f0_archive(tuple(own))
    return found | {"cocochorales_md5s.txt": sums(found)}


def sums(contents: dict[str, bytes]) -> bytes:
    return "".join(f"{hashlib.md5(content).hexdigest()}  ./{name}\n" for name, content in contents.items()).encode()
