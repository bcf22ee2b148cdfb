"""From a plan of one clip to its audio, its f0 truth and its note truth.

A clip depends on (seed, its number, the options) and nothing else, so that it is the same whichever process renders it.
"""

import hashlib
import math
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import soxr
from scipy.signal import butter, sosfilt

from sonolens import tables
from sonolens.audio import write_wav
from sonolens.datasets import drums
from sonolens.datasets.instruments import CHOIR, KITS, PIANO, SOLOISTS, STRINGS, WINDS, Instrument
from sonolens.datasets.performance import Timing, Tone, choose_timing, play
from sonolens.datasets.sampler import stroke, tone
from sonolens.datasets.scores import N_PARTS, Score, family, melody, read_score

LOWEST_RENDER_RATE_HZ = 32000  # what interpolation adds above half of it is filtered out on the way down
LEVEL_RANGE_DB = (-15.0, 0.0)  # of a clip as a whole, beside its phrases
SOLO_GAIN, MIX_GAIN, DRUMS_GAIN = 0.9, 0.5, 0.7
LOUDEST_PEAK = 0.97
LOWEST_HZ = 25.0
CLIP_FADE_S = 0.02  # of the end of a clip, of a ringing drum
BEATS_PER_S = 1.8  # more than the fastest tempo: a score shorter than that many beats is sung again
INAUDIBLE_DB = -60.0  # where a released tone ends
SHORTEST_TONE_S = 0.05
PART_NAMES = ("soprano", "alto", "tenor", "bass")
# Whom a part of a mix is given to; strings where none of them has the range
ENSEMBLES = {
    "strings": (STRINGS,),
    "choir": (CHOIR,),
    "piano": (PIANO,),
    "winds": WINDS,
    "mixed": (*WINDS, CHOIR, PIANO),
}


class Plan(NamedTuple):
    """What one clip is to be."""

    number: int
    kind: str  # solo, mix or drums
    score: str  # file name of the chorale; style of the drums
    player: str  # instrument of a solo, kit of the drums, ensemble of a mix
    turn: int  # how often this score was used before


class Part(NamedTuple):
    """One voice of the score and who plays it."""

    name: str
    instrument: Instrument
    notes: np.ndarray  # (n, 3): onset and duration in beats, MIDI


class Clip(NamedTuple):
    """What one clip is."""

    audio: np.ndarray  # (n_samples,) float64
    group: str
    tune: str  # melody of the chorale; settings of one tune are one group
    instrument: str
    tones: list[tuple[str, Instrument, Tone]]  # part, instrument, tone; seconds from the start of the clip


def render(plan: Plan, seed: int, options: dict) -> Clip:
    """Render one clip at options["sample_rate_hz"]."""
    rng = np.random.default_rng([seed, plan.number])
    duration_s, rate_hz = options["clip_seconds"], options["sample_rate_hz"]
    render_rate_hz = rate_hz * math.ceil(LOWEST_RENDER_RATE_HZ / rate_hz)
    if plan.kind == "drums":
        strokes = drums.compose(plan.score, duration_s, rng)
        audio = DRUMS_GAIN * render_strokes(strokes, KITS[plan.player], duration_s, render_rate_hz)
        group, tune, instrument, tones = f"drums-{plan.score}-{plan.number}", "", f"drums ({plan.player})", []
    else:
        score = read_score(plan.score)
        parts = choose_parts(plan, score, rng)
        tones, timing = perform(score, parts, duration_s, rng)
        gain = SOLO_GAIN if plan.kind == "solo" else MIX_GAIN
        audio = gain * render_tones(tones, timing, duration_s, render_rate_hz)
        group, tune = family(plan.score), melody(score)
        instrument = ", ".join(part.instrument.name for part in parts)
    # Some recordings of the font stand off zero, which would count as loudness
    audio = sosfilt(butter(2, LOWEST_HZ, "highpass", fs=render_rate_hz, output="sos"), audio)
    audio *= 10.0 ** (rng.uniform(*LEVEL_RANGE_DB) / 20.0)
    audio *= min(1.0, LOUDEST_PEAK / max(1e-9, float(np.abs(audio).max())))
    n_fade = round(CLIP_FADE_S * render_rate_hz)
    audio[-n_fade:] *= np.linspace(1.0, 0.0, n_fade)
    if render_rate_hz != rate_hz:
        audio = soxr.resample(audio, render_rate_hz, rate_hz, quality="HQ")
    return Clip(audio[: round(duration_s * rate_hz)], group, tune, instrument, tones)


def choose_parts(plan: Plan, score: Score, rng: np.random.Generator) -> list[Part]:
    """Who plays what, transposed to where the instruments are at home.

    A solo takes a line of the chorale (another one each time the chorale comes round) to any key that fits. A mix
    keeps its key within three semitones and gives each part to an instrument whose range holds it.
    """
    if plan.kind == "solo":
        index = (zlib.crc32(plan.score.encode()) + plan.turn) % N_PARTS
        (player,) = [player for player in SOLOISTS if player.name == plan.player]
        notes = score.parts[index].copy()
        lowest, highest = notes[:, 2].min(), notes[:, 2].max()
        shifts = [
            shift for shift in range(-30, 43) if player.lowest <= lowest + shift and highest + shift <= player.highest
        ]
        # Of a line wider than the instrument what lies outside is folded in by octaves
        notes[:, 2] += rng.choice(shifts) if shifts else round((player.lowest + player.highest - lowest - highest) / 2)
        return [Part(PART_NAMES[index], player, notes_within(notes, player))]
    transposition, parts = int(rng.integers(-3, 4)), []
    for name, notes in zip(PART_NAMES, score.parts, strict=True):
        moved = notes + np.array([0.0, 0.0, transposition])
        fitting = [player for player in ENSEMBLES[plan.player] if _holds(player, moved)]
        player = fitting[int(rng.integers(len(fitting)))] if fitting else STRINGS
        parts.append(Part(name, player, notes_within(moved, player)))
    return parts


def notes_within(notes: np.ndarray, player: Instrument) -> np.ndarray:
    """Notes (n, 3) with those outside the instrument's range moved into it by octaves."""
    folded = notes.copy()
    folded[:, 2] += 12 * np.ceil(np.maximum(0.0, player.lowest - folded[:, 2]) / 12)
    folded[:, 2] -= 12 * np.ceil(np.maximum(0.0, folded[:, 2] - player.highest) / 12)
    return folded


def _holds(player: Instrument, notes: np.ndarray) -> bool:
    return bool(player.lowest <= notes[:, 2].min() and notes[:, 2].max() <= player.highest)


def perform(
    score: Score, parts: list[Part], duration_s: float, rng: np.random.Generator
) -> tuple[list[tuple[str, Instrument, Tone]], Timing]:
    """Play an excerpt of `duration_s` that begins where a phrase does; all times count from its start."""
    n_times = math.ceil(duration_s * BEATS_PER_S / score.n_beats)
    again = [score.n_beats * time for time in range(n_times)]
    sung = Score(
        tuple(np.concatenate([part.notes + np.array([later, 0.0, 0.0]) for later in again]) for part in parts),
        np.concatenate([score.fermatas + later for later in again]),
        score.n_beats * n_times,
    )
    timing = choose_timing(sung, rng)
    starts_s = timing.second(np.concatenate([[0.0], timing.phrase_ends]))
    starts_s = starts_s[starts_s <= max(0.0, timing.seconds[-1] - duration_s)]
    start_s = float(rng.choice(starts_s)) - float(rng.uniform(0.05, 0.4))
    tones = []
    for part, notes in zip(parts, sung.parts, strict=True):
        for tone_ in play(notes, part.instrument, timing, rng):
            moved = tone_._replace(onset_s=tone_.onset_s - start_s, offset_s=tone_.offset_s - start_s)
            if 0.0 <= moved.onset_s < duration_s - SHORTEST_TONE_S:
                tones.append((part.name, part.instrument, moved))
    return tones, timing._replace(seconds=timing.seconds - start_s, level_times_s=timing.level_times_s - start_s)


def render_tones(
    tones: list[tuple[str, Instrument, Tone]], timing: Timing, duration_s: float, rate_hz: int
) -> np.ndarray:
    """The sum of all tones, (n_samples,) float64; each ends where its release is 60 dB down, or with the clip."""
    audio = np.zeros(round(duration_s * rate_hz))
    for _, instrument, played in tones:
        first = math.ceil(played.onset_s * rate_hz)
        end_s = played.offset_s + instrument.release_s * INAUDIBLE_DB / -100.0
        last = min(len(audio), math.ceil(end_s * rate_hz))
        time_s = np.arange(first, last) / rate_hz
        level_db = timing.level_db(time_s) + played.accent_db
        held_s = played.offset_s - played.onset_s
        audio[first:last] += tone(instrument, played.midi, played.f0_hz(time_s), level_db, rate_hz, held_s)
    return audio


def render_strokes(strokes: list[drums.Stroke], kit: int, duration_s: float, rate_hz: int) -> np.ndarray:
    """The sum of all strokes, (n_samples,) float64. A hi-hat that rings is cut by the next one."""
    audio = np.zeros(round(duration_s * rate_hz))
    hats_s = [hit.onset_s for hit in strokes if hit.key in (drums.OPEN, drums.CLOSED)]
    n_fade = round(CLIP_FADE_S * rate_hz)
    for hit in strokes:
        rings_s = min([duration_s, *(later_s - hit.onset_s for later_s in hats_s if later_s > hit.onset_s)])
        n_rings = round(rings_s * rate_hz) if hit.key == drums.OPEN else len(audio)
        first = round(hit.onset_s * rate_hz)
        sound = stroke(kit, hit.key, rate_hz)[: max(n_fade, min(n_rings, len(audio) - first))]
        sound = sound * 10.0 ** (hit.level_db / 20.0)
        sound[-n_fade:] *= np.linspace(1.0, 0.0, n_fade)
        audio[first : first + len(sound)] += sound[: len(audio) - first]
    return audio


def truth_f0(tones: list[tuple[str, Instrument, Tone]], duration_s: float, step_s: float) -> pd.DataFrame:
    """The f0 of a solo every `step_s` seconds as tables.TRUTH_F0. Where tones overlap, the later one counts alone."""
    time_s = np.arange(math.ceil(duration_s / step_s)) * step_s
    f0_hz, n_sounding = np.full(len(time_s), np.nan, dtype=np.float32), np.zeros(len(time_s), np.int8)
    for _, instrument, played in tones:
        sounds = (time_s >= played.onset_s) & (time_s < played.audible_until_s(instrument.release_s))
        f0_hz[sounds], n_sounding[sounds] = played.f0_hz(time_s[sounds]), 1
    return pd.DataFrame({"time_s": time_s, "f0_hz": f0_hz, "n_sounding": n_sounding})


def truth_notes(tones: list[tuple[str, Instrument, Tone]], duration_s: float) -> pd.DataFrame:
    """What is played as tables.TRUTH_NOTES, by onset."""
    rows = [(each.onset_s, min(each.offset_s, duration_s), each.midi, part) for part, _, each in tones]
    return pd.DataFrame(rows, columns=["onset_s", "offset_s", "midi", "part"]).sort_values("onset_s", kind="stable")


def write_clip(plan: Plan, folder: Path, seed: int, options: dict) -> dict:
    """Render one clip into `folder`; return its row of the file list (files.FILES), with its `tune` added."""
    clip = render(plan, seed, options)
    stem = f"{plan.number:04d}-{plan.kind}-{plan.score.removesuffix('.mxl').removesuffix('.xml')}-{plan.player}"
    audio_path, f0_path, notes_path = f"audio/{stem}.wav", f"truth/{stem}.f0.parquet", f"truth/{stem}.notes.parquet"
    write_wav(folder / audio_path, clip.audio[np.newaxis], options["sample_rate_hz"])
    is_solo = plan.kind == "solo"
    if is_solo:
        truth = truth_f0(clip.tones, options["clip_seconds"], options["f0_step_seconds"])
        tables.write(truth, folder / f0_path, tables.TRUTH_F0)
    if clip.tones:
        tables.write(truth_notes(clip.tones, options["clip_seconds"]), folder / notes_path, tables.TRUTH_NOTES)
    return {
        "path": audio_path,
        "size_bytes": (folder / audio_path).stat().st_size,
        "modified_ns": 0,  # rendered, so its content says everything
        "sha256": hashlib.sha256((folder / audio_path).read_bytes()).hexdigest(),
        "group": clip.group,
        "kind": plan.kind,
        "instrument": clip.instrument,
        "split": "",
        "truth_f0_path": f0_path if is_solo else "",
        "truth_notes_path": notes_path if clip.tones else "",
        "tune": clip.tune,
    }
