"""Drum patterns: bars of sixteen steps, varied, with fills, crescendi and bars of rest."""

from typing import NamedTuple

import numpy as np

KICK, RIM, SNARE, CLAP, CLOSED, OPEN, LOW_TOM, MID_TOM, HIGH_TOM, CRASH, RIDE, BELL, TAMBOURINE, COWBELL = (
    36, 37, 38, 39, 42, 46, 41, 45, 48, 49, 51, 53, 54, 56,
)  # fmt: skip
N_STEPS = 16
SOFTEST_BAR_DB = -24.0
# Probability of a stroke on each sixteenth, in ninths: 9 always, 0 never
STYLES = {
    "rock": {KICK: "9001008090010200", SNARE: "0000900000009002", CLOSED: "9090909090909080"},
    "funk": {KICK: "9020009002900030", SNARE: "0002900203009003", CLOSED: "9393939393939333", OPEN: "0000000000000020"},
    "swing": {
        KICK: "6000200060002000",
        RIDE: "9000900890009008",
        CLOSED: "0000900000009000",
        SNARE: "0020010300200103",
    },
    "bossa": {KICK: "9009900990099009", RIM: "9009009000900900", CLOSED: "9696969696969696"},
    "march": {KICK: "9000200090002000", SNARE: "9033903390339333", CRASH: "3000000000000000"},
    "house": {
        KICK: "9000900090009000",
        CLAP: "0000900000009000",
        OPEN: "0090009000900090",
        TAMBOURINE: "3393339333933393",
    },
    "latin": {
        KICK: "9000009000900060",
        COWBELL: "9090900990909009",
        HIGH_TOM: "0000009000000090",
        LOW_TOM: "0003000000030060",
    },
    "half": {KICK: "9000020300900000", SNARE: "0000000090000020", RIDE: "9050905090509050", BELL: "0000500000005000"},
}


class Stroke(NamedTuple):
    """One hit."""

    onset_s: float
    key: int  # General MIDI percussion key
    level_db: float


def compose(style: str, duration_s: float, rng: np.random.Generator) -> list[Stroke]:
    """A pattern of `style` for `duration_s` seconds: the bar is drawn once, then varied."""
    bpm, swing = rng.uniform(76.0, 148.0), rng.uniform(0.0, 0.25) if style == "swing" else rng.uniform(0.0, 0.06)
    step_s = 60.0 / bpm / 4.0
    chances = {key: np.array([int(digit) for digit in line]) / 9.0 for key, line in STYLES[style].items()}
    theme = {key: rng.random(N_STEPS) < chance for key, chance in chances.items()}
    n_bars = int(np.ceil(duration_s / (N_STEPS * step_s)))
    bars_db = rng.uniform(SOFTEST_BAR_DB, 0.0, n_bars)
    bars_db -= bars_db.max()
    rests = rng.random(n_bars) < 0.1
    rests[int(bars_db.argmax())] = False
    strokes = []
    for bar in np.flatnonzero(~rests):
        slope_db = rng.choice([-10.0, 0.0, 0.0, 10.0])
        for key, step in _bar(theme, chances, bar % 4 == 3 and rng.random() < 0.7, rng):
            onset_s = (bar * N_STEPS + step + swing * (step % 2)) * step_s + rng.uniform(-0.006, 0.006)
            accent_db = (0.0 if step % 4 == 0 else -3.0) + rng.normal(0.0, 1.5) + slope_db * step / N_STEPS
            if 0.0 <= onset_s < duration_s:
                strokes.append(Stroke(float(onset_s), key, float(min(0.0, bars_db[bar] + accent_db))))
    return sorted(strokes)


def _bar(theme: dict, chances: dict, has_fill: bool, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Keys and steps of one bar: the theme with one stroke in ten drawn anew; a fill of toms in its last quarter."""
    hits = []
    for key, steps in theme.items():
        anew = rng.random(N_STEPS) < chances[key]
        varied = np.where(rng.random(N_STEPS) < 0.1, anew, steps)
        hits += [(key, int(step)) for step in np.flatnonzero(varied) if not (has_fill and step >= 12)]
    if has_fill:
        hits += [(int(rng.choice([SNARE, HIGH_TOM, MID_TOM, LOW_TOM])), step) for step in range(12, N_STEPS)]
    return hits
