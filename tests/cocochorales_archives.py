"""CocoChorales in small: archives, names and formats as released, tracks of a second or two."""

import bz2
import functools
import hashlib
import io
import pickle
import tarfile
from typing import NamedTuple

import numpy as np
import pretty_midi
import soundfile
import yaml

RATE_HZ = 16000
INSTRUMENTS = {
    "string": ("violin", "violin", "viola", "cello"),
    "brass": ("trumpet", "french_horn", "trombone", "tuba"),
    "woodwind": ("flute", "oboe", "clarinet", "bassoon"),
    "random": ("flute", "violin", "clarinet", "bassoon"),
}
FIRST_ID = {"train": 1, "valid": 192001, "test": 216001}
N_ARCHIVES = {"train": 96, "valid": 12, "test": 12}
CHORD = (67, 62, 55, 43)


class Track(NamedTuple):
    """One track. first_stem: 0 or 1; stems_midi: how the folder is spelt."""

    name: str
    midi_file: str
    lasts_s: float = 1.0
    first_stem: int = 1
    stems_midi: str = "stems_midi"
    has_mix: bool = True

    @property
    def ensemble(self) -> str:
        return self.name.partition("_")[0]

    @property
    def stems(self) -> list[str]:
        return [f"{number}_{name}" for number, name in enumerate(INSTRUMENTS[self.ensemble], self.first_stem)]


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
    for voice, stem in enumerate(track.stems):
        found[f"{track.name}/stems_audio/{stem}.wav"] = sound(track, [voice])
        found[f"{track.name}/{track.stems_midi}/{stem}.mid"] = midi(track, [voice])
    if track.has_mix:
        found[f"{track.name}/mix.wav"] = sound(track, [0, 1, 2, 3])
    found[f"{track.name}/mix.mid"] = midi(track, [0, 1, 2, 3])
    about = {
        "tempo": 90,
        "ensemble": track.ensemble,
        "instrument_name": dict(enumerate(INSTRUMENTS[track.ensemble])),
        "midi_file": track.midi_file,
        "overall_gain": 1.0,
    }
    if track.first_stem:  # counted otherwise than the stems are
        about["instrument_name"] = {stem: stem.partition("_")[2] for stem in track.stems}
    found[f"{track.name}/metadata.yaml"] = yaml.safe_dump(about).encode()
    return found


def f0_of(track: Track, keys: list | None = None) -> dict:
    """A track's voices, a point each 4 ms; 0 where one is silent. They glide by 10 cents from their notes."""
    time_s = np.arange(round(track.lasts_s / 0.004)) * 0.004
    found = {}
    for voice, key in enumerate(keys or track.stems):
        f0_hz = np.zeros(len(time_s))
        for onset_s, offset_s, pitch in notes_of(voice, track.lasts_s):
            f0_hz[(time_s >= onset_s) & (time_s < offset_s)] = 440 * 2 ** ((pitch + 0.1 - 69) / 12)
        found[key] = f0_hz
    return found


def packed(contents: dict[str, bytes], level: int = 1) -> bytes:
    """A tar.bz2 archive; level: of 100 kB in a block."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return bz2.compress(archive.getvalue(), level)


@functools.cache
def main_archive(of: tuple[Track, ...]) -> bytes:
    return packed({name: content for track in of for name, content in files_of(track).items()})


@functools.cache
def f0_archive(of: tuple[Track, ...]) -> bytes:
    return packed({f"{track.name}.pickle": pickle.dumps(f0_of(track)) for track in of})


def released(of: dict[tuple[str, int], list[Track]]) -> dict[str, bytes]:
    """Name: content of everything that is served, for the tracks of some archives."""
    found = {}
    for (split, number), own in of.items():
        found[f"main_dataset/{split}/{number}.tar.bz2"] = main_archive(tuple(own))
        found[f"f0/{split}/{number}.tar.bz2"] = f0_archive(tuple(own))
    return found | {"cocochorales_md5s.txt": sums(found)}


def sums(contents: dict[str, bytes]) -> bytes:
    return "".join(f"{hashlib.md5(content).hexdigest()}  ./{name}\n" for name, content in contents.items()).encode()
