"""Read a SoundFont 2 file: its recordings, and which of them a key of an instrument plays.

Follows the SoundFont 2.04 specification (Creative Technology, 2006), sections 5 to 9, as far as the workflow needs it:
key and velocity ranges, root key and tuning, loops, attenuation, the volume envelope and the low-pass filter.
Modulators, the modulation envelope, LFOs and pan are left out: the expression is the performance's, and it is known.
"""

import struct
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

# Generators of the specification (8.1.2) that are read here
START_OFFSET, END_OFFSET, LOOP_START_OFFSET, LOOP_END_OFFSET = 0, 1, 2, 3
START_COARSE, END_COARSE, LOOP_START_COARSE, LOOP_END_COARSE = 4, 12, 45, 50
FILTER_CUTOFF, CUTOFF_SWEEP, ATTACK, HOLD, DECAY, SUSTAIN, RELEASE = 8, 11, 34, 35, 36, 37, 38
INSTRUMENT, KEY_RANGE, VELOCITY_RANGE, ATTENUATION, COARSE_TUNE, FINE_TUNE, SAMPLE = 41, 43, 44, 48, 51, 52, 53
SAMPLE_MODES, SCALE_TUNING, ROOT_KEY = 54, 56, 58
# What holds where neither preset nor instrument says otherwise (8.1.3); ranges and links have no default here
DEFAULTS = {FILTER_CUTOFF: 13500, ATTACK: -12000, HOLD: -12000, DECAY: -12000, RELEASE: -12000, SCALE_TUNING: 100}
# Generators that a preset may not set: they belong to the recording (8.1.2)
SAMPLE_ONLY = {START_OFFSET, END_OFFSET, LOOP_START_OFFSET, LOOP_END_OFFSET, START_COARSE, END_COARSE,
               LOOP_START_COARSE, LOOP_END_COARSE, SAMPLE_MODES, ROOT_KEY}  # fmt: skip

PRESET = np.dtype([("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("unused", "<u4", 3)])
INSTRUMENT_HEADER = np.dtype([("name", "S20"), ("bag", "<u2")])
BAG = np.dtype([("generator", "<u2"), ("modulator", "<u2")])
GENERATOR = np.dtype([("kind", "<u2"), ("amount", "<i2")])
SAMPLE_HEADER = np.dtype(
    [
        *[("name", "S20"), ("start", "<u4"), ("end", "<u4"), ("loop_start", "<u4"), ("loop_end", "<u4")],
        *[("rate", "<u4"), ("key", "u1"), ("correction", "i1"), ("link", "<u2"), ("type", "<u2")],
    ]
)


class Zone(NamedTuple):
    """One recording under a range of keys, with how it is played."""

    samples: np.ndarray  # (n,) float32 in [-1, 1), looped ones cut at the loop's end
    sample_rate_hz: int
    loop_start: int | None  # index in samples from which it repeats; None: played once
    keys: tuple[int, int]
    velocities: tuple[int, int]
    root_midi: float  # the pitch of the recording at its own rate, tuning included
    cents_per_key: float
    gain: float
    attack_s: float
    hold_s: float
    decay_s: float  # the time of a fall by 100 dB
    sustain_db: float  # at or below 0
    release_s: float  # the time of a fall by 100 dB
    cutoff_hz: float


class SoundFont:
    """A font held in memory. Raises ValueError, naming the file, when it is not a SoundFont 2."""

    def __init__(self, path: str | Path):
        content = Path(path).read_bytes()
        if content[:4] != b"RIFF" or content[8:12] != b"sfbk":
            raise ValueError(f"{path} is not a SoundFont 2 file")
        chunks = dict(_chunks(content, 12, len(content)))
        self.presets = np.frombuffer(chunks["phdr"], PRESET)
        self.instruments = np.frombuffer(chunks["inst"], INSTRUMENT_HEADER)
        self.headers = np.frombuffer(chunks["shdr"], SAMPLE_HEADER)
        self.audio = np.frombuffer(chunks["smpl"], "<i2")
        self.bags = {level: np.frombuffer(chunks[f"{level}bag"], BAG) for level in "pi"}
        self.generators = {level: np.frombuffer(chunks[f"{level}gen"], GENERATOR) for level in "pi"}

    @lru_cache(maxsize=64)  # noqa: B019 (one font per process, kept until its end)
    def zones(self, bank: int, program: int) -> tuple[Zone, ...]:
        """Every zone of a preset, in the file's order. Raises KeyError if the font has no such preset."""
        found = np.flatnonzero((self.presets["bank"][:-1] == bank) & (self.presets["program"][:-1] == program))
        if not len(found):
            raise KeyError(f"the SoundFont has no preset with bank {bank} and program {program}")
        zones = []
        for preset in self._splits("p", self.presets["bag"], int(found[0]), INSTRUMENT):
            for own in self._splits("i", self.instruments["bag"], preset[INSTRUMENT], SAMPLE):
                added = {kind: amount for kind, amount in preset.items() if kind not in SAMPLE_ONLY}
                zones.append(self._zone(own, added))
        return tuple(zones)

    def _splits(self, level: str, bag_of: np.ndarray, index: int, link: int) -> list[dict[int, int]]:
        """Generators of each split; the first bag, if it ends in no link, holds the defaults of the others."""
        bags, generators = self.bags[level]["generator"], self.generators[level]
        shared, splits = {}, []
        for bag in range(bag_of[index], bag_of[index + 1]):
            own = generators[bags[bag] : bags[bag + 1]]
            values = dict(zip(own["kind"].tolist(), own["amount"].tolist(), strict=True))
            if link in values:
                splits.append({**shared, **values})
            elif not splits:
                shared = values
        return splits

    def _zone(self, own: dict[int, int], added: dict[int, int]) -> Zone:
        """One zone: the instrument's generators, with the preset's added (9.4)."""

        levels = ({**DEFAULTS, **own}, added)

        def value(kind: int) -> int:
            return sum(level[kind] for level in levels if kind in level)

        header = self.headers[own[SAMPLE]]
        start = int(header["start"]) + value(START_OFFSET) + 32768 * value(START_COARSE)
        end = int(header["end"]) + value(END_OFFSET) + 32768 * value(END_COARSE)
        loop_start = int(header["loop_start"]) + value(LOOP_START_OFFSET) + 32768 * value(LOOP_START_COARSE)
        loop_end = int(header["loop_end"]) + value(LOOP_END_OFFSET) + 32768 * value(LOOP_END_COARSE)
        is_looped = value(SAMPLE_MODES) & 1 == 1 and start <= loop_start < loop_end <= end
        root = own[ROOT_KEY] if ROOT_KEY in own and own[ROOT_KEY] >= 0 else int(header["key"])
        tuning_cents = 100 * value(COARSE_TUNE) + value(FINE_TUNE) + int(header["correction"])
        return Zone(
            samples=self.audio[start : loop_end if is_looped else end].astype(np.float32) / np.float32(32768),
            sample_rate_hz=int(header["rate"]),
            loop_start=loop_start - start if is_looped else None,
            keys=_both(_range(own, KEY_RANGE), _range(added, KEY_RANGE)),
            velocities=_both(_range(own, VELOCITY_RANGE), _range(added, VELOCITY_RANGE)),
            root_midi=root - tuning_cents / 100,
            cents_per_key=float(value(SCALE_TUNING)),
            # Attenuation counts 0.4 of what the specification says: so did the hardware fonts were made for.
            gain=float(10 ** (-0.4 * value(ATTENUATION) / 200)),
            attack_s=_seconds(value(ATTACK)),
            hold_s=_seconds(value(HOLD)),
            decay_s=_seconds(value(DECAY)),
            sustain_db=-value(SUSTAIN) / 10,
            release_s=_seconds(value(RELEASE)),
            # Opened as far as the modulation envelope opens it: without that sweep a piano would stay at 440 Hz.
            cutoff_hz=8.176 * 2 ** ((value(FILTER_CUTOFF) + max(0, value(CUTOFF_SWEEP))) / 1200),
        )


def _chunks(content: bytes, position: int, end: int):
    """Yield (name, bytes) of every chunk that is not a list, at any depth."""
    while position + 8 <= end:
        name, size = struct.unpack_from("<4sI", content, position)
        if name == b"LIST":
            yield from _chunks(content, position + 12, position + 8 + size)
        else:
            yield name.decode("ascii", "replace"), memoryview(content)[position + 8 : position + 8 + size]
        position += 8 + size + size % 2


def _range(values: dict[int, int], kind: int) -> tuple[int, int]:
    """A range generator keeps its low end in the low byte; absent, it is everything."""
    if kind not in values:
        return 0, 127
    return values[kind] & 0xFF, (values[kind] >> 8) & 0xFF


def _both(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return max(a[0], b[0]), min(a[1], b[1])


def _seconds(timecents: int) -> float:
    return float(2 ** (timecents / 1200))
