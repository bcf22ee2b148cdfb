"""The strip of a generator that never ran: a tune that comes out of noise, written as its job writes it.

At time t the state is t parts of the tune and 1 − t of noise; the estimate of the end is the tune at twice the pace.
"""

from pathlib import Path

import numpy as np

from sonolens import audio
from sonolens.files import write_json
from sonolens.steering import player
from sonolens.tracing.strip import HEARD_VIEWS, sound_name
from synthetic_player import BINS, RATE_HZ, SECONDS, tune
from synthetic_results import D_LATENT, SyntheticResults

GENERATORS = ("miniflow",)
STEPS, LAST_STEP = (0, 8, 16, 24, 31), 31
TEXTS = {
    "cello": "a slow cello over soft pads, recorded in a large room by somebody who was asked for a text that is long "
    "enough to be cut off where prompts are listed",
    "bass": "a bass & drums, <loud>",
}
NOTES = {"cello": 57, "bass": 45}  # MIDI, of each prompt's tune


def strip_paths(results: SyntheticResults, generators: tuple[str, ...] = GENERATORS) -> list[str]:
    """strip.json of every generator."""
    return [results.path(f"results/generation/{generator}/strip/strip.json") for generator in generators]


def sounds_paths(
    results: SyntheticResults, generators: tuple[str, ...] = GENERATORS, in_report: bool = False
) -> list[str]:
    """Wavs and pngs, where the job writes them or where the page has them."""
    folder = "results/report/generation/{generator}" if in_report else "results/generation/{generator}/strip"
    return [
        results.path(f"{folder.format(generator=generator)}/{sound_name(number, view, step)}.{form}")
        for generator in generators
        for number in range(len(TEXTS))
        for view in HEARD_VIEWS
        for step in STEPS
        for form in ("wav", "png")
    ]


def write(results: SyntheticResults, generators: tuple[str, ...] = GENERATORS) -> SyntheticResults:
    """Write all files; returns its argument."""
    for generator, path in zip(generators, strip_paths(results, generators), strict=True):
        prompts = [
            {"prompt_id": prompt, "text": text, "seconds": SECONDS, "sounds": _sounds(results, Path(path), number)}
            for number, (prompt, text) in enumerate(TEXTS.items())
        ]
        write_json(
            path,
            {
                "generator": generator, "encoder": results.encoders[0],
                "cell": {"name": "selected", "dim": 16 * D_LATENT, "lam": 0.02},
                "attributes": [{"name": name, "unit": BINS[name].unit} for name in results.attributes],
                "frequency_range_hz": player.frequency_range_hz(RATE_HZ), "level_range_dbfs": player.LEVELS_DBFS,
                "prompts": prompts,
            },
        )  # fmt: skip
    return results


def _sounds(results: SyntheticResults, path: Path, number: int) -> list[dict]:
    """Write the sounds of one prompt; their entries in strip.json."""
    note = list(NOTES.values())[number]
    music = tune(note, -20, 0.4)
    noise = np.random.default_rng(number).normal(0, 0.1, music.shape).astype(np.float32)
    sounds = []
    for step in STEPS:
        for view in HEARD_VIEWS:
            t = step / LAST_STEP
            share = t if view == "x_t" else min(2 * t, 1.0)
            name = sound_name(number, view, step)
            n_clipped = audio.write_wav(path.parent / f"{name}.wav", share * music + (1 - share) * noise, RATE_HZ)
            player.write_spectrogram(path.parent / f"{name}.png", (share * music + (1 - share) * noise)[0], RATE_HZ)
            classes = {one: _likeliest(one, number, share) for one in results.attributes}
            sounds.append(
                {"step": step, "t": round(t, 4), "view": view, "wav": f"{name}.wav", "png": f"{name}.png",
                 "n_clipped": n_clipped, "classes": classes}
            )  # fmt: skip
    return sounds


def _likeliest(attribute: str, number: int, share: float) -> dict:
    """A class that goes to one of the prompt's own, and ever more probable."""
    names = BINS[attribute].class_names
    return {"name": names[int(share * len(names) * (0.4 + 0.2 * number))], "probability": 0.05 + 0.6 * share}
