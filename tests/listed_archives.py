"""The archives of Groove MIDI and MAESTRO in small: names, lists and formats as released."""

import io
import zipfile
from typing import NamedTuple

import numpy as np
import pandas as pd
import pretty_midi
import soundfile

GROOVE, MAESTRO = "groove-v1.0.0.zip", "maestro-v3.0.0.zip"
TOP = "maestro-v3.0.0"


def wav(sound: np.ndarray, sample_rate_hz: int) -> bytes:
    """sound (n_samples, n_channels) or (n_samples,), 16 bits."""
    content = io.BytesIO()
    soundfile.write(content, sound, sample_rate_hz, "PCM_16", format="WAV")
    return content.getvalue()


def zipped(contents: dict[str, bytes]) -> bytes:
    """Sound is stored as it is, as in the real archives nearly; text is packed."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in contents.items():
            file.writestr(name, content, zipfile.ZIP_STORED if name.endswith(".wav") else zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def hits(seed: int, lasts_s: float) -> np.ndarray:
    """Bursts of noise that die away, (n_samples,) at 44.1 kHz."""
    rng, rate_hz = np.random.default_rng(seed), 44100
    if not lasts_s:
        return np.zeros(0)
    time_s = np.arange(round(lasts_s * rate_hz)) / rate_hz
    since_s = time_s % 0.25
    colour = np.convolve(rng.normal(size=len(time_s)), np.ones(1 + seed % 7) / (1 + seed % 7), "same")
    return 0.2 * colour * np.exp(-since_s * (8 + seed % 20)) * (0.3 + (seed + (4 * time_s).astype(int)) % 3 / 3)


class Beat(NamedTuple):
    """A row of Groove's info.csv."""

    drummer: int
    session: str
    number: int
    split: str
    lasts_s: float = 1.0
    has_audio: bool = True
    damage: str = ""  # "empty": its wav has no samples, although its checksum is right

    @property
    def midi_filename(self) -> str:
        return f"drummer{self.drummer}/{self.session}/{self.number}_funk-groove{self.number}_80_beat_4-4.mid"

    def row(self) -> dict:
        session = f"drummer{self.drummer}/{self.session}"
        audio = self.midi_filename.replace(".mid", ".wav") if self.has_audio else ""
        return {
            "drummer": f"drummer{self.drummer}", "session": session, "id": f"{session}/{self.number}",
            "style": "funk/groove1", "bpm": 80, "beat_type": "beat", "time_signature": "4-4",
            "midi_filename": self.midi_filename, "audio_filename": audio,
            "duration": self.lasts_s + 0.5,  # of the MIDI, which is longer
            "split": self.split,
        }  # fmt: skip


def beats() -> list[Beat]:
    """Five drummers with two sessions each that the official split tears apart, one with eval sessions besides, a beat
    without audio each.
    """
    found = []
    for drummer in range(1, 6):
        for session in ("session1", "session2"):
            for number in range(1, 9):
                split = {7: "validation", 8: "test"}.get(number, "train")
                found.append(Beat(drummer, session, number, split, has_audio=number != 6))
    return found + [Beat(1, "eval_session", number, "test") for number in range(1, 4)]


def groove(of: list[Beat] | None = None, drop: tuple[str, ...] = ()) -> bytes:
    of = beats() if of is None else of
    table = pd.DataFrame([beat.row() for beat in of]).drop(columns=list(drop))
    contents = {"groove/LICENSE": b"CC BY 4.0", "groove/info.csv": table.to_csv(index=False).encode()}
    for seed, beat in enumerate(of):
        contents[f"groove/{beat.midi_filename}"] = b"MThd" + bytes(40_000)
        if beat.has_audio:
            sound = hits(seed, 0 if beat.damage == "empty" or np.isnan(beat.lasts_s) else beat.lasts_s)
            contents[f"groove/{beat.midi_filename.replace('.mid', '.wav')}"] = wav(sound, 44100)
    return zipped(contents)


class Piece(NamedTuple):
    """A row of MAESTRO's list."""

    composer: str
    title: str
    split: str
    number: int
    lasts_s: float = 2.0

    @property
    def stem(self) -> str:
        return f"{2004 + self.number % 3}/MIDI-Unprocessed_{self.number:02d}_R1_2004"


def pieces() -> list[Piece]:
    found, number = [], 0
    for split, n_pieces in (("train", 8), ("validation", 3), ("test", 3)):
        for turn in range(n_pieces):
            composer = ("Frédéric Chopin", "Johann Sebastian Bach", "Alban Berg")[turn % 3]
            found.append(Piece(composer, f"Sonata, Op. {split} {turn}", split, number))
            number += 1
    return found


NOTES = ((0.0, 0.3, 60), (0.5, 0.7, 64), (0.6, 0.9, 67), (1.2, 1.5, 72))  # onset_s, offset_s, midi
PEDAL = ((1.25, True), (1.7, False))


def maestro(of: list[Piece] | None = None, more: dict[str, bytes] | None = None) -> bytes:
    of, contents = pieces() if of is None else of, {}
    rows = []
    for piece in of:
        shift = piece.number % 12
        contents[f"{TOP}/{piece.stem}.midi"] = midi(shift)
        rate_hz = (44100, 48000)[piece.number % 2]
        contents[f"{TOP}/{piece.stem}.wav"] = wav(piano(shift, piece.lasts_s, rate_hz), rate_hz)
        rows.append({
            "canonical_composer": piece.composer, "canonical_title": piece.title, "split": piece.split,
            "year": piece.stem[:4], "midi_filename": f"{piece.stem}.midi", "audio_filename": f"{piece.stem}.wav",
            "duration": piece.lasts_s,
        })  # fmt: skip
    contents[f"{TOP}/{TOP}.csv"] = pd.DataFrame(rows).to_csv(index=False).encode()
    contents[f"{TOP}/README"] = b"text"
    return zipped(contents | (more or {}))


def midi(shift: int = 0) -> bytes:
    score, hand = pretty_midi.PrettyMIDI(), pretty_midi.Instrument(program=0)
    for onset_s, offset_s, pitch in NOTES:
        hand.notes.append(pretty_midi.Note(80, pitch + shift, onset_s, offset_s))
    for time_s, is_down in PEDAL:
        hand.control_changes.append(pretty_midi.ControlChange(64, 127 if is_down else 0, time_s))
    score.instruments.append(hand)
    content = io.BytesIO()
    score.write(content)
    return content.getvalue()


def piano(shift: int, lasts_s: float, rate_hz: int) -> np.ndarray:
    """The notes as decaying tones, (n_samples, 2)."""
    time_s = np.arange(round(lasts_s * rate_hz)) / rate_hz
    wave = np.zeros(len(time_s))
    for onset_s, offset_s, pitch in NOTES:
        since_s = np.maximum(time_s - onset_s, 0)
        f0_hz = 440 * 2 ** ((pitch + shift - 69) / 12)
        tone = sum(np.sin(2 * np.pi * k * f0_hz * since_s) / k for k in (1, 2, 3))
        wave += 0.2 * tone * np.exp(-3 * since_s) * ((time_s >= onset_s) & (time_s < offset_s + 0.3))
    return np.stack([wave, 0.8 * wave], axis=1)
