"""Turn a score into a performance: when each note sounds, at what pitch and how loud, all in closed form.

Rubato of ±7 %, a slow-down at fermatas, breaths that are sometimes long silences, 12 ms of jitter at onsets, phrases
between pp and ff, ±4 cents of detune, and a vibrato that sets in late on notes over 0.45 s.
"""

from typing import NamedTuple

import numpy as np

from sonolens.datasets.instruments import Instrument
from sonolens.datasets.sampler import AUDIBLE_DB, midi_to_hz
from sonolens.datasets.scores import Score

BEAT_STEP = 0.125  # beats between the points of the tempo curve
RUBATO = 0.07
FERMATA_STRETCH = 1.5
JITTER_S = 0.012
DETUNE_CENTS = 4.0
VIBRATO_FROM_S = 0.45
VIBRATO_HZ = (4.8, 6.2)
SOFTEST_DB = -34.0  # of a phrase, beside the loudest
PHRASE_BEATS = 8.0  # of a score without fermatas


class Tone(NamedTuple):
    """One note as played. Its pitch and loudness are functions of time, so that audio and truth share them."""

    midi: float
    onset_s: float
    offset_s: float  # when the key is let go
    detune_cents: float
    vibrato_cents: float
    vibrato_hz: float
    vibrato_delay_s: float
    accent_db: float

    def f0_hz(self, time_s: np.ndarray) -> np.ndarray:
        """Fundamental frequency at times (n,) from the start of the recording, in Hz."""
        since_s = np.asarray(time_s) - self.onset_s
        depth = self.vibrato_cents * np.clip((since_s - self.vibrato_delay_s) / 0.25, 0.0, 1.0)
        cents = self.detune_cents + depth * np.sin(2 * np.pi * self.vibrato_hz * (since_s - self.vibrato_delay_s))
        return midi_to_hz(self.midi + cents / 100.0)

    def audible_until_s(self, release_s: float) -> float:
        """When the released tone has fallen by 40 dB; `release_s` is the time of a fall by 100 dB."""
        return self.offset_s + release_s * AUDIBLE_DB / -100.0


class Timing(NamedTuple):
    """Beats to seconds, and the loudness that all parts follow."""

    beats: np.ndarray  # (n,) rising
    seconds: np.ndarray  # (n,)
    phrase_ends: np.ndarray  # (m,) beats; what sounds up to there ends early by `breaths_s`
    breaths_s: np.ndarray  # (m,)
    level_times_s: np.ndarray  # (k,) rising
    levels_db: np.ndarray  # (k,) at or below 0

    def second(self, beat: np.ndarray | float) -> np.ndarray | float:
        """When a beat falls."""
        return np.interp(beat, self.beats, self.seconds)

    def level_db(self, time_s: np.ndarray) -> np.ndarray:
        """Loudness of the phrase at times (n,), in dB below fortissimo."""
        return np.interp(time_s, self.level_times_s, self.levels_db)


def choose_timing(score: Score, rng: np.random.Generator) -> Timing:
    """Draw tempo, rubato, breaths and the loudness of every phrase of a score."""
    ends = score.fermatas if len(score.fermatas) else np.arange(PHRASE_BEATS, score.n_beats, PHRASE_BEATS)
    ends = np.union1d(ends[ends < score.n_beats], [score.n_beats])
    beats = np.arange(0.0, score.n_beats + BEAT_STEP / 2, BEAT_STEP)
    middles = beats[:-1] + BEAT_STEP / 2
    periods, phases = rng.uniform(5.0, 13.0, 2), rng.uniform(0.0, 2 * np.pi, 2)
    waves = np.sin(2 * np.pi * middles[:, None] / periods + phases).mean(axis=1)
    step_s = BEAT_STEP * 60.0 / rng.uniform(66.0, 104.0) * (1.0 + RUBATO * waves)
    breaths_s = np.where(
        rng.random(len(ends)) < 0.4, rng.uniform(0.35, 0.9, len(ends)), rng.uniform(0.0, 0.12, len(ends))
    )
    for end, breath_s in zip(ends, breaths_s, strict=True):
        last_beat = (middles > end - 1.0) & (middles < end)
        step_s[last_beat] *= FERMATA_STRETCH
        step_s[last_beat] += breath_s / max(1, last_beat.sum())
    seconds = np.concatenate([[0.0], np.cumsum(step_s)])
    edges_s = np.interp(np.concatenate([[0.0], ends]), beats, seconds)
    times_s, levels_db = phrase_levels(edges_s, rng)
    return Timing(beats, seconds, ends, breaths_s, times_s, levels_db)


def phrase_levels(edges_s: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Loudness of phrases between edges (n + 1,) seconds: times (5 n,) and dB (5 n,), linear between them.

    A phrase swells, dies away, grows or stays; its loudest point is anywhere between pp and ff, and of all of them one
    is at 0 dB.
    """
    shapes = {
        "swell": (-8, -2, 0, -3, -9),
        "fade": (0, -3, -7, -12, -18),
        "grow": (-16, -11, -6, -2, 0),
        "even": (-1, 0, -1, 0, -2),
    }
    times, levels = [], []
    loudest_db = rng.uniform(SOFTEST_DB + 6.0, 0.0, len(edges_s) - 1)
    loudest_db -= loudest_db.max()
    for start_s, end_s, phrase_db in zip(edges_s[:-1], edges_s[1:], loudest_db, strict=True):
        shape = shapes[("swell", "fade", "grow", "even")[int(rng.integers(4))]]
        times.append(start_s + (end_s - start_s) * np.array([0.0, 0.25, 0.5, 0.75, 0.98]))
        levels.append(phrase_db + np.array(shape, dtype=np.float64))
    return np.concatenate(times), np.maximum(np.concatenate(levels), SOFTEST_DB)


def play(notes: np.ndarray, instrument: Instrument, timing: Timing, rng: np.random.Generator) -> list[Tone]:
    """Perform one part, notes (n, 3) of onset and duration in beats and MIDI, in order of onset."""
    articulation = rng.choice([1.0, 0.97, 0.85, 0.6], p=[0.4, 0.3, 0.2, 0.1], size=len(timing.phrase_ends))
    onsets = timing.second(notes[:, 0]) + rng.uniform(-JITTER_S, JITTER_S, len(notes))
    onsets = np.maximum(onsets, 0.0)
    tones = []
    for index, (beat, duration, midi) in enumerate(notes):
        phrase = min(int(np.searchsorted(timing.phrase_ends, beat, side="right")), len(timing.phrase_ends) - 1)
        end_s = float(timing.second(beat + duration))
        if beat + duration >= timing.phrase_ends[phrase]:
            end_s -= float(timing.breaths_s[phrase])
        if index + 1 < len(notes):
            is_repeated = notes[index + 1, 2] == midi
            end_s = min(end_s, onsets[index + 1] - (0.06 if is_repeated else 0.0))
        held_s = max(0.08, (end_s - onsets[index]) * articulation[phrase])
        has_vibrato = held_s > VIBRATO_FROM_S
        tones.append(
            Tone(
                midi=float(midi),
                onset_s=float(onsets[index]),
                offset_s=float(onsets[index] + held_s),
                detune_cents=float(rng.uniform(-DETUNE_CENTS, DETUNE_CENTS)),
                vibrato_cents=float(rng.uniform(*instrument.vibrato_cents)) * has_vibrato,
                vibrato_hz=float(rng.uniform(*VIBRATO_HZ)),
                vibrato_delay_s=float(rng.uniform(0.12, 0.3)),
                accent_db=float(rng.normal(0.0, 1.0)),
            )
        )
    return tones
