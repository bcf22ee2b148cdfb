"""The instruments of the demo corpus: presets of the font that are recordings, not single-cycle wavetables.

The font is TimGM6mb, which the package pretty_midi brings along (GPL-2: depended on, not copied).
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from sonolens.datasets.soundfont import SoundFont

FONT_SHA256 = "82475b91a76de15cb28a104707d3247ba932e228bada3f47bba63c6b31aaf7a1"


class Instrument(NamedTuple):
    """A preset and how it is played."""

    name: str
    program: int  # General MIDI, counted from 0
    lowest: int  # MIDI, where its recordings still sound like it
    highest: int
    gain_db: float  # what brings it level with the others
    release_s: float  # time of a fall by 100 dB after the key is let go
    vibrato_cents: tuple[float, float]  # depth drawn between these


WINDS = (
    Instrument("flute", 73, 60, 93, -1.0, 0.15, (8, 22)),
    Instrument("oboe", 68, 58, 88, -2.0, 0.12, (8, 18)),
    Instrument("trumpet", 56, 55, 84, 3.0, 0.12, (8, 16)),
    Instrument("horn", 60, 51, 77, -3.0, 0.18, (8, 12)),
    Instrument("alto_sax", 65, 49, 82, 0.0, 0.12, (10, 22)),
    Instrument("soprano_sax", 64, 57, 87, 1.0, 0.12, (10, 22)),
)
PIANO = Instrument("piano", 0, 36, 95, 10.0, 0.35, (0, 0))
# Recordings of ensembles, which beat on their own: for mixes only, their f0 being several at once
STRINGS = Instrument("strings", 48, 36, 88, 3.0, 0.35, (0, 0))
CHOIR = Instrument("choir", 52, 38, 81, -1.0, 0.35, (0, 0))
SOLOISTS = (*WINDS, PIANO)

KITS = {"standard": 0, "room": 8, "power": 16, "electronic": 24, "tr808": 25, "brush": 40}
DRUM_BANK = 128


@cache
def font() -> SoundFont:
    """The font, read once per process. Raises ValueError if it is not the one that the corpus is defined by."""
    import pretty_midi  # only for where it lies, and only when something is rendered

    path = Path(pretty_midi.__file__).with_name("TimGM6mb.sf2")
    if hashlib.sha256(path.read_bytes()).hexdigest() != FONT_SHA256:
        raise ValueError(f"{path} is not the TimGM6mb.sf2 that the demo corpus is made with; reinstall pretty_midi")
    return SoundFont(path)
