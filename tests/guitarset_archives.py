"""GuitarSet's two archives in small: their names, folders and formats, and recordings of half a second."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 44100
LASTS_S = 0.6
HOP_S = 256 / 44100
# Two of the thirty lead sheets in each of three styles, a name with a sharp among them, and the three known defects
SHEETS = ("BN1-129-Eb", "BN3-154-E", "Jazz1-200-B", "Jazz2-187-F#", "Funk1-97-C", "Funk2-119-G")
PLAYERS = tuple(f"{number:02d}" for number in range(6))
NAMES = tuple(f"{player}_{sheet}_{role}" for player in PLAYERS for sheet in SHEETS for role in ("comp", "solo"))

Note = tuple[int, float, float, float]  # string, onset_s, lasts_s, MIDI number
# The lowest string alone, then with the A string above it, then that one alone; a gap, and the highest string
NOTES: tuple[Note, ...] = ((0, 0.05, 0.2, 40.2), (1, 0.15, 0.2, 47.0), (5, 0.45, 0.1, 64.0))


def audio(folder: str = "audio_mono-mic/") -> bytes:
    """audio_mono-mic.zip: 16-bit mono at 44.1 kHz, in a folder or not; and what macOS adds to archives."""
    contents = {f"{folder}{name}_mic.wav": _wav(number) for number, name in enumerate(NAMES)}
    return _zipped(contents | {f"__MACOSX/{folder}._{NAMES[0]}_mic.wav": b"Mac OS X"})


def annotations(folder: str = "annotation/", changed: dict[str, bytes | None] | None = None) -> bytes:
    """annotation.zip; `changed` gives some recordings another annotation, or none."""
    contents = dict.fromkeys(NAMES, jams()) | (changed or {})
    return _zipped({f"{folder}{name}.jams": content for name, content in contents.items() if content is not None})


def jams(notes: tuple[Note, ...] = NOTES, dense: bool = True, contoured: tuple[Note, ...] | None = NOTES) -> bytes:
    """An annotation of six strings. JAMS writes contours column by column (`dense`), older files one by one.

    contoured: the notes that have a contour; None leaves these annotations out.
    """
    entries = []
    for string in range(6):
        if contoured is not None:
            points = contour([note[1:] for note in contoured if note[0] == string])
            entries.append(_annotation("pitch_contour", string, points, dense))
        entries.append(_annotation("note_midi", string, [note[1:] for note in notes if note[0] == string], False))
    entries.append(_annotation("tempo", "", [(0.0, LASTS_S, 129.0)], False))
    return json.dumps({"file_metadata": {"duration": LASTS_S}, "annotations": entries, "sandbox": {}}).encode()


def contour(notes: list[tuple[float, float, float]]) -> list[tuple[float, float, dict]]:
    """Points of a string's contour: there are some only while it sounds, and it glides by 20 cents from its note."""
    points = []
    for index, (onset_s, lasts_s, midi) in enumerate(notes):
        time_s = np.arange(onset_s, onset_s + lasts_s, HOP_S)
        f0_hz = 440 * 2 ** ((midi + np.linspace(0, 0.2, len(time_s)) - 69) / 12)
        points += [
            (float(at), 0.0, {"index": index, "frequency": float(hz), "voiced": True})
            for at, hz in zip(time_s, f0_hz, strict=True)
        ]
    return points


def _annotation(namespace: str, source: object, observations: list[tuple], dense: bool) -> dict:
    keys = ("time", "duration", "value", "confidence")
    rows = [(*observation, None) for observation in observations]
    if dense:
        data = {key: [row[number] for row in rows] for number, key in enumerate(keys)}
    else:
        data = [dict(zip(keys, row, strict=True)) for row in rows]
    metadata = {"data_source": str(source), "annotator": {}, "curator": {"name": "", "email": ""}}
    return {"namespace": namespace, "annotation_metadata": metadata, "data": data, "sandbox": {}}


def _wav(number: int) -> bytes:
    """What the annotation says, louder or softer by the number."""
    time_s = np.arange(round(LASTS_S * RATE_HZ)) / RATE_HZ
    sound = np.zeros(len(time_s))
    for _, onset_s, lasts_s, midi in NOTES:
        since_s = time_s - onset_s
        sounds = (since_s >= 0) & (since_s < lasts_s)
        f0_hz = 440 * 2 ** ((midi + 0.2 * np.clip(since_s / lasts_s, 0, 1) - 69) / 12)
        phase = 2 * np.pi * np.cumsum(f0_hz * sounds) / RATE_HZ
        sound += sounds * sum(np.sin(k * phase) / k for k in range(1, 6)) * (0.05 + 0.002 * number)
    content = io.BytesIO()
    soundfile.write(content, sound, RATE_HZ, "PCM_16", format="WAV")
    return content.getvalue()


def _zipped(contents: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, one in contents.items():
            archive.writestr(name, one)
    return content.getvalue()


def extracted(archive: bytes, folder: Path) -> Path:
    """The archive's content in a folder."""
    zipfile.ZipFile(io.BytesIO(archive)).extractall(folder)
    return folder
