"""Play a recording of a SoundFont along a given course of pitch and loudness.

The course is the input, so what was played is known exactly: it is the truth that pitch labels are scored against.
"""

from functools import cache

import numpy as np
from scipy.signal import butter, sosfilt

from sonolens.datasets.instruments import DRUM_BANK, Instrument, font
from sonolens.datasets.soundfont import Zone

SHORTEST_ATTACK_S = 0.004  # anything shorter clicks
AUDIBLE_DB = -40.0  # how far a released tone has fallen when it no longer counts as sounding
# Playing softly darkens the tone: low-pass at -36 dB and at 0 dB, exponential between
DARKEST_HZ, BRIGHTEST_HZ, DARKEST_DB = 1500.0, 14000.0, -36.0


def midi_to_hz(midi: np.ndarray | float) -> np.ndarray | float:
    """MIDI note numbers to Hz, A4 = 69 = 440 Hz."""
    return 440.0 * 2.0 ** ((np.asarray(midi, dtype=np.float64) - 69.0) / 12.0)


@cache
def voices(bank: int, program: int, key: int) -> tuple[tuple[Zone, float], ...]:
    """The recordings that sound together for a key, each with its frequency in Hz at its own rate."""
    zones = [zone for zone in font().zones(bank, program) if zone.keys[0] <= key <= zone.keys[1]]
    return tuple((zone, root_hz(zone)) for zone in zones)


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
    """The recording at fractional positions (n,), looped for ever or followed by silence; (n,) float64.

    Catmull-Rom interpolation: its images lie above half the recording's rate, where the resampling to the corpus'
    rate removes them.
    """
    data = zone.samples
    if zone.loop_start is None:
        padded = np.concatenate([data[:1] * 0, data, np.zeros(3, np.float32)])
        positions = np.minimum(positions, len(data) + 0.5)
    else:
        length = len(data) - zone.loop_start
        repeats = data[zone.loop_start + np.arange(3) % length]
        padded = np.concatenate([data[:1] * 0, data, repeats])
        beyond = positions >= len(data)
        positions = np.where(beyond, zone.loop_start + np.mod(positions - zone.loop_start, length), positions)
    whole = positions.astype(np.int64)
    x = positions - whole
    a, b, c, d = (padded[whole + k] for k in range(4))
    return b + 0.5 * x * (c - a + x * (2 * a - 5 * b + 4 * c - d + x * (3 * (b - c) + d - a)))


def envelope(zone: Zone, n_samples: int, rate_hz: int, held_s: float, release_s: float) -> np.ndarray:
    """The font's volume envelope, (n_samples,): attack, hold, a fall in dB to the sustain level, a fall after release."""
    time_s = np.arange(n_samples) / rate_hz
    attack_s = max(SHORTEST_ATTACK_S, min(zone.attack_s, 0.08))
    fall_db = -100.0 / zone.decay_s * np.maximum(0.0, time_s - attack_s - zone.hold_s)
    level_db = np.maximum(fall_db, zone.sustain_db) - 100.0 / release_s * np.maximum(0.0, time_s - held_s)
    return np.minimum(1.0, time_s / attack_s) * 10.0 ** (level_db / 20.0)


def darken(audio: np.ndarray, cutoff_hz: float, rate_hz: int) -> np.ndarray:
    """Second-order Butterworth low-pass; above 0.4 of the rate it does nothing. audio (n,)."""
    if cutoff_hz >= 0.4 * rate_hz:
        return audio
    return sosfilt(butter(2, cutoff_hz, fs=rate_hz, output="sos"), audio)


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
        audio += zone.gain * envelope(zone, len(audio), rate_hz, held_s, instrument.release_s) * voice
    return audio * 10.0 ** ((level_db + instrument.gain_db) / 20.0)


def stroke(kit: int, key: int, level_db: float, rate_hz: int, longest_s: float) -> np.ndarray:
    """One stroke of a drum, (n,) float64, left to ring for at most `longest_s`."""
    n_samples = round(longest_s * rate_hz)
    audio = np.zeros(n_samples)
    for zone, recorded_hz in voices(DRUM_BANK, kit, key):
        cents = (key - zone.root_midi) * zone.cents_per_key
        step = 2.0 ** (cents / 1200.0) * zone.sample_rate_hz / rate_hz
        voice = darken(read_along(zone, np.arange(n_samples) * step), zone.cutoff_hz, rate_hz)
        audio += zone.gain * envelope(zone, n_samples, rate_hz, 0.1, zone.release_s) * voice
    fade = min(n_samples, round(0.01 * rate_hz))
    audio[n_samples - fade :] *= np.linspace(1.0, 0.0, fade)
    return audio * 10.0 ** (level_db / 20.0)
