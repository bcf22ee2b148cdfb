"""Which moment a latent frame speaks of, measured: clicks into noise, and which frames move."""

from typing import NamedTuple

import numpy as np

from sonolens.encoders.contract import Encoder, encode_batch
from sonolens.files import write_json

# Frames between two clicks, so that what one moves has died away before the next
SPACING_FRAMES = 40
NOISE_LEVEL, CLICK_LEVEL = 0.05, 0.8
# As many clicks as this holds, within bounds: quantised latents need many, long frames make each one dear
MEASURED_SECONDS = 30
FEWEST_CLICKS, MOST_CLICKS = 12, 48


class MeasuredOffset(NamedTuple):
    """The offset of geometry.FrameGeometry in frames, and its standard error over clicks."""

    mean: float
    standard_error: float


def decide_frame_time(encoder: Encoder, declared_offset_frames: float | None, output_path: str, seed: int) -> None:
    """Measure when the encoder's frames are, and write it down with the offset that labels are aligned by.

    That is the declared one, and the measured one where none is declared: what a causal encoder's frame is about lies
    in its weights, not in its geometry. Keys: declared, measured, standard_error, used, in frames, null for what is not
    known, and hop_ms. Raises ValueError if it is neither declared nor to be measured.
    """
    frames_per_s = encoder.sample_rate_hz / encoder.hop_samples
    n_clicks = round(MEASURED_SECONDS * frames_per_s / SPACING_FRAMES)
    measured = measure_offset(encoder, min(max(n_clicks, FEWEST_CLICKS), MOST_CLICKS), seed)
    if measured is None and declared_offset_frames is None:
        raise ValueError(
            f"clicks do not move the latents of {encoder.name}, so when its frames are cannot be measured; are these "
            "its weights? If so, say it in the config: frame_offset_frames, in its entry under `encoders`"
        )
    mean, standard_error = (None, None) if measured is None else (round(number, 3) for number in measured)
    write_json(
        output_path,
        {
            "declared": declared_offset_frames,
            "measured": mean,
            "standard_error": standard_error,
            "used": mean if declared_offset_frames is None else declared_offset_frames,
            "hop_ms": 1000 / frames_per_s,
        },
    )


def measure_offset(encoder: Encoder, n_clicks: int = FEWEST_CLICKS, seed: int = 0) -> MeasuredOffset | None:
    """By how many hops the middle of what a frame sees lies behind the start of its own hop; 0.5 for a symmetric one.

    A click at sample s moves latents; the centre of the squared movement, over the SPACING_FRAMES around the click,
    stands for time s. Clicks fall on evenly spread places within a hop. Quantised latents move in jumps, so their
    measurement is the noisier; a click that no code changes for is left out. None if fewer than two are left.
    """
    hop = encoder.hop_samples
    n_samples = n_clicks * SPACING_FRAMES * hop
    rng = np.random.default_rng(seed)
    noise = (NOISE_LEVEL * rng.standard_normal((encoder.n_channels, n_samples))).astype(np.float32)
    places = (np.arange(n_clicks) + 0.5) * SPACING_FRAMES + (rng.permutation(n_clicks) + 0.5) / n_clicks
    clicked_samples = (places * hop).astype(int)
    clicked = noise.copy()
    clicked[:, clicked_samples] += CLICK_LEVEL
    without, with_clicks = encode_batch(encoder, [noise, clicked])
    moved = np.square(with_clicks.astype(np.float64) - without).sum(axis=1)
    begins = encoder.geometry.first_sample(np.arange(len(moved)))
    offsets = []
    for sample in clicked_samples:
        is_near = np.abs(begins - sample) < SPACING_FRAMES * hop / 2
        if moved[is_near].sum() > 0:
            offsets.append((sample - np.average(begins[is_near], weights=moved[is_near])) / hop)
    if len(offsets) < 2:
        return None
    return MeasuredOffset(float(np.mean(offsets)), float(np.std(offsets, ddof=1) / np.sqrt(len(offsets))))
