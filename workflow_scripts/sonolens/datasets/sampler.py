"""Play a recording of a SoundFont along a given course of pitch and loudness.

The course is the input, so what was played is known exactly: it is the truth that pitch labels are scored against.
"""

import math
from functools import cache

import numpy as np
from scipy.signal import butter, sosfilt

from sonolens.datasets.instruments import DRUM_BANK, Instrument, font
from sonolens.datasets.soundfont import Zone

SHORTEST_ATTACK_S, LONGEST_ATTACK_S = 0.004, 0.08  # anything shorter clicks; the font's slow strings come too late
LONGEST_RING_S = 3.0
STROKE_HELD_S = 0.1  # a drummer's key is let go; what follows is the font's release
AUDIBLE_DB = -40.0  # how far a released tone has fallen when it no longer counts as sounding
# Playing softly darkens the tone: low-pass at -36 dB and at 0 dB, exponential between
DARKEST_HZ, BRIGHTEST_HZ, DARKEST_DB = 1500.0, 14000.0, -36.0


def midi_to_hz(midi: np.ndarray | float) -> np.ndarray | float:
    """MIDI note numbers to Hz, A4 = 69 = 440 Hz."""
    return 440.0 * 2.0 ** ((np.asarray(midi, dtype=np.float64) - 69.0) / 12.0)


@cache
def voices(bank: int, program: int, key: int) -> tuple[tuple[Zone, float], ...]:
    """The recordings that sound together for a key, each with its frequency in Hz at its own rate.

    The font has gaps (the alto saxophone lacks key 64): there the nearest key's recordings are taken.
    """
    zones = font().zones(bank, program)
    covered = [k for zone in zones for k in range(zone.keys[0], zone.keys[1] + 1)]
    nearest = min(covered, key=lambda k: (abs(k - key), k))
    return tuple((zone, root_hz(zone)) for zone in zones if zone.keys[0] <= nearest <= zone.keys[1])


def root_hz(zone: Zone) -> float:
    """The fundamental of a recording, in Hz at its own rate, measured around what the font says.

    The font is out of tune by up to 21 cents. The lag of the best autocorrelation is refined over 1, 2, 4, ... periods;
    where the recording does not repeat itself (a drum, noise), the font's word stands.
    """
    nominal = float(midi_to_hz(zone.root_midi))
    tail = zone.samples[-8192:].astype(np.float64)
    tail -= tail.mean()
    n, lag = len(tail), zone.sample_rate_hz / nominal
    if zone.loop_start is None or n < 8 * lag:
        return nominal
    spectrum = np.fft.rfft(tail, 2 * n)
    similarity = np.fft.irfft(np.abs(spectrum) ** 2)[: n // 2 + 2] / np.arange(n, n - n // 2 - 2, -1)
    low, high = int(lag * 0.975), int(lag * 1.025) + 2  # ± 43 cents
    best, periods = low + int(np.argmax(similarity[low:high])), 1
    refined = _parabola_peak(similarity, best)
    if similarity[best] < 0.9 * similarity[0]:
        return nominal
    while 2 * periods * refined + 3 < n // 2:
        periods *= 2
        around = round(periods * refined)
        best = around - 2 + int(np.argmax(similarity[around - 2 : around + 3]))
        refined = _parabola_peak(similarity, best) / periods
    return zone.sample_rate_hz / refined


def _parabola_peak(values: np.ndarray, index: int) -> float:
    """Where the parabola through a maximum and its neighbours is highest, at most half a step away."""
    before, here, after = values[index - 1 : index + 2]
    curvature = before - 2 * here + after
    return index + (float(np.clip(0.5 * (before - after) / curvature, -0.5, 0.5)) if curvature < 0 else 0.0)


def read_along(zone: Zone, positions: np.ndarray) -> np.ndarray:
    """The recording at fractional positions (n,), rising; looped for ever or followed by silence; (n,) float64.

    Catmull-Rom interpolation: its images lie above half the recording's rate, where the resampling to the corpus'
    rate removes them.
    """
    data = zone.samples
    if zone.loop_start is None:
        padded = np.concatenate([np.zeros(1, np.float32), data, np.zeros(4, np.float32)])
        positions = np.minimum(positions, len(data) + 1.0)
    else:
        length = len(data) - zone.loop_start
        padded = np.concatenate([np.zeros(1, np.float32), data, data[zone.loop_start + np.arange(3) % length]])
        n_before = int(np.searchsorted(positions, len(data)))
        looped = zone.loop_start + np.mod(positions[n_before:] - zone.loop_start, length)
        positions = np.concatenate([positions[:n_before], looped])
    whole = positions.astype(np.intp)
    x = positions - whole
    a, b, c, d = (padded[k:].take(whole) for k in range(4))
    return b + 0.5 * x * (c - a + x * (2 * a - 5 * b + 4 * c - d + x * (3 * (b - c) + d - a)))


def loudness(
    zone: Zone, level_db: np.ndarray, rate_hz: int, held_s: float, release_s: float, n_between: int = 32
) -> np.ndarray:
    """The factor by which a voice is multiplied, (n_samples,): `level_db` (n_samples,) and the font's volume envelope.

    Attack, hold, a fall in dB to the sustain level, a fall after release. The powers are taken at every `n_between`-th
    sample (1 ms) and joined by lines, which is half the cost of a tone.
    """
    n_samples = len(level_db)
    points = np.append(np.arange(0, n_samples - 1, n_between), n_samples - 1)
    time_s = points / rate_hz
    attack_s = max(SHORTEST_ATTACK_S, min(zone.attack_s, LONGEST_ATTACK_S))
    fall_db = np.maximum(-100.0 / zone.decay_s * np.maximum(0.0, time_s - attack_s - zone.hold_s), zone.sustain_db)
    fall_db += level_db[points] - 100.0 / release_s * np.maximum(0.0, time_s - held_s)
    factor = np.interp(np.arange(n_samples), points, 10.0 ** (fall_db / 20.0))
    n_attack = min(n_samples, round(attack_s * rate_hz))
    factor[:n_attack] *= np.arange(n_attack) / n_attack
    return factor


def darken(audio: np.ndarray, cutoff_hz: float, rate_hz: int) -> np.ndarray:
    """Second-order Butterworth low-pass; above 0.4 of the rate it does nothing. audio (n,)."""
    if cutoff_hz >= 0.4 * rate_hz:
        return audio
    # Cutoffs are rounded to a semitone, so that a filter is designed once
    return sosfilt(_low_pass(round(12.0 * math.log2(cutoff_hz)), rate_hz), audio)


@cache
def _low_pass(cutoff_semitones: int, rate_hz: int) -> np.ndarray:
    return butter(2, 2.0 ** (cutoff_semitones / 12.0), fs=rate_hz, output="sos")


def softness_cutoff_hz(level_db: float, f0_hz: float) -> float:
    """Where a tone played at `level_db` (0 is fortissimo) is cut, but never below its fourth harmonic."""
    share = float(np.clip(1.0 - level_db / DARKEST_DB, 0.0, 1.0))
    return max(4.0 * f0_hz, DARKEST_HZ * (BRIGHTEST_HZ / DARKEST_HZ) ** share)


def tone(instrument: Instrument, midi: float, f0_hz: np.ndarray, level_db: np.ndarray, rate_hz: int, held_s: float):
    """One note, (n,) float64: its f0 in Hz and its level in dB at every sample are given, (n,) each.

    The arrays cover the release too; the recording is chosen by `midi`.
    """
    audio = np.zeros(len(f0_hz))
    cutoff_hz = softness_cutoff_hz(float(level_db.mean()), float(f0_hz[0]))
    for zone, recorded_hz in voices(0, instrument.program, round(midi)):
        steps = f0_hz * (zone.sample_rate_hz / (recorded_hz * rate_hz))
        voice = read_along(zone, np.cumsum(steps) - steps[0])
        voice = darken(voice, min(cutoff_hz, zone.cutoff_hz), rate_hz)
        audio += zone.gain * loudness(zone, level_db, rate_hz, held_s, instrument.release_s) * voice
    return audio * 10.0 ** (instrument.gain_db / 20.0)


@cache
def stroke(kit: int, key: int, rate_hz: int) -> np.ndarray:
    """One stroke of a drum at full level, (n,) float64, left to ring for `LONGEST_RING_S`; not to be written into."""
    n_samples = round(LONGEST_RING_S * rate_hz)
    audio = np.zeros(n_samples)
    for zone, _ in voices(DRUM_BANK, kit, key):
        cents = (key - zone.root_midi) * zone.cents_per_key
        step = 2.0 ** (cents / 1200.0) * zone.sample_rate_hz / rate_hz
        voice = darken(read_along(zone, np.arange(n_samples) * step), zone.cutoff_hz, rate_hz)
        audio += zone.gain * loudness(zone, np.zeros(n_samples), rate_hz, STROKE_HELD_S, zone.release_s) * voice
    return audio
