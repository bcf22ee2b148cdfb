"""Some prompts heard on the way: the sound of the state, and of where it was to end, at a few steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sonolens import audio
from sonolens.encoders.contract import Encoder
from sonolens.files import write_json
from sonolens.generators import flow
from sonolens.generators.contract import Generator
from sonolens.labels.bins import Bins
from sonolens.steering import player
from sonolens.steering.tracking import clipped, mono
from sonolens.tracing import prompts as prompting
from sonolens.tracing.prompts import Prompt
from sonolens.tracing.reading import Reader
from sonolens.tracing.schemas import VIEWS

# Those of schemas.VIEWS that are the generation itself
HEARD_VIEWS = VIEWS[:2]


class Strip(NamedTuple):
    """What the sounds of a job share."""

    generator: Generator
    encoder: Encoder
    reader: Reader  # of the probes as they were fitted
    bins: Mapping[str, Bins]
    n_points: int
    device: torch.device


def sound_name(prompt: int, view: str, step: int) -> str:
    """Where a sound lies beside strip.json, without a suffix."""
    return f"prompt~{prompt}/{view}/step~{step}"


def write(strip: Strip, identity: dict, prompts: Sequence[Prompt], steps: Sequence[int], path: str | Path) -> None:
    """Write a WAV and a spectrogram of every prompt, step and view, and strip.json at `path`.

    identity: generator, encoder, and the cell whose probes are used, as the page names them.
    """
    folder = Path(path).parent
    entries = []
    for number, prompt in enumerate(prompts):
        noise, condition = prompting.start(strip.generator, [prompt], strip.device)
        sounds = []
        for point in flow.walk(strip.generator, noise, condition, strip.n_points):
            if point.step in steps:
                for view in HEARD_VIEWS:
                    latents = strip.generator.latents(getattr(point, "x" if view == VIEWS[0] else view))
                    sounds.append(_heard(strip, folder, number, view, point, latents))
        seconds = strip.generator.n_frames * strip.encoder.hop_samples / strip.encoder.sample_rate_hz
        entries.append({"prompt_id": prompt.clip_id, "text": prompt.text, "seconds": seconds, "sounds": sounds})
    write_json(
        path,
        identity
        | {
            "attributes": [{"name": name, "unit": own.unit} for name, own in strip.bins.items()],
            "frequency_range_hz": player.frequency_range_hz(strip.encoder.sample_rate_hz),
            "level_range_dbfs": player.LEVELS_DBFS,
            "prompts": entries,
        },
    )


def _heard(strip: Strip, folder: Path, number: int, view: str, point: flow.Point, latents: np.ndarray) -> dict:
    """Write one sound of latents (1, N, D); its entry in strip.json."""
    name = sound_name(number, view, point.step)
    rate_hz = strip.encoder.sample_rate_hz
    samples = strip.encoder.decode(latents[0])
    n_clipped = audio.write_wav(folder / f"{name}.wav", samples, rate_hz)
    player.write_spectrogram(folder / f"{name}.png", mono(clipped(samples)[0]), rate_hz)
    classes = {}
    for (_, attribute), probabilities in zip(strip.reader.names, strip.reader.read(latents), strict=True):
        likeliest = int(probabilities[0].argmax())
        classes[attribute] = {
            "name": strip.bins[attribute].class_names[likeliest],
            "probability": round(float(probabilities[0, likeliest]), 4),
        }
    return {
        "step": point.step,
        "t": round(point.t, 4),
        "view": view,
        "wav": f"{name}.wav",
        "png": f"{name}.png",
        "n_clipped": n_clipped,
        "classes": classes,
    }
