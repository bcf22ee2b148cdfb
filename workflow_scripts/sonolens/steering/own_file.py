"""A user's own recording, steered by a cell that the workflow has trained.

It is encoded whole; its codes are computed and steered block by block, and never stored, so memory is bounded by the
recording and its latents. Products of other block sizes differ in the last bits, so the sound of the autoencoder
without steering goes through the same blocks: it is what all α = 0 give, bit for bit.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import trange

from sonolens import audio
from sonolens.encoders.contract import Encoder, decode, side_of
from sonolens.encoders.geometry import FrameGeometry
from sonolens.encoders.loading import load_encoder
from sonolens.labels import fine
from sonolens.sae.blocks import block_frames
from sonolens.steering import cell, trained_cells
from sonolens.steering.cell import Cell
from sonolens.steering.control import Control, steered_reconstruction
from sonolens.steering.envelope import Envelope
from sonolens.steering.requests import Target
from sonolens.steering.tracking import clipped, labellers, mono, track_all
from sonolens.steering.trained_cells import TrainedCell, located, located_module


class Loaded(NamedTuple):
    """What it takes to steer."""

    encoder: Encoder
    geometry: FrameGeometry  # when its frames are, as they were labelled
    cell: Cell


class Steered(NamedTuple):
    """A recording at the encoder's rate, (n_channels, n_samples) each."""

    original: np.ndarray
    reference: np.ndarray | None  # the autoencoder's, without steering; None if nobody asked
    steered: np.ndarray
    sample_rate_hz: int
    n_frames: int
    n_steered: int  # frames with an α other than 0

    @property
    def duration_s(self) -> float:
        """Its duration in seconds."""
        return self.steered.shape[1] / self.sample_rate_hz


def set_up(device: str, threads: int | None) -> str:
    """The device for "auto", "cpu" or "cuda", with so many threads of a CPU. Raises ValueError if there is none."""
    if threads is not None:
        torch.set_num_threads(threads)
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise ValueError("--device cuda: there is no GPU that can be used here")
    return "cuda" if has_gpu and device != "cpu" else "cpu"


def load(trained: TrainedCell, results: Path, targets: Sequence[Target], device: str) -> Loaded:
    """Load a cell, the probes of the targets and the encoder.

    Raises ValueError naming the file that is missing or does not fit.
    """
    loading = cell.read_loading(trained.description)
    weights = [located(path, results) for path in loading.weights]
    missing = [path for path in [trained.model, *weights] if not path.exists()]
    if missing:
        raise ValueError(f"{missing[0]} is not there, and {trained.name} needs it: run the workflow again")
    entries = trained_cells.attributes(trained)
    steered = {target.attribute for target in targets}
    bins = {name: located(entries[name]["bins"], results) for name in steered}
    loaded = cell.load(trained.model, {name: trained.probes[name] for name in steered}, bins, device)
    module = located_module(loading.module, results)
    encoder = load_encoder(module, [str(path) for path in weights], loading.options, device)
    if loaded.model.d_latent != encoder.d_latent:
        raise ValueError(
            f"{trained.model} reads {loaded.model.d_latent} values a frame, and {encoder.name} has {encoder.d_latent}"
        )
    return Loaded(encoder, loading.geometry, loaded)


def steer(
    recording: str | Path, loaded: Loaded, targets: Sequence[Target], renormalises: bool, has_reference: bool
) -> Steered:
    """A recording steered towards `targets`, and if wanted as the autoencoder has it without.

    Raises ValueError if a target steers no frame of it.
    """
    encoder = loaded.encoder
    samples = audio.load(recording, encoder.sample_rate_hz, encoder.n_channels)
    n_samples = samples.shape[1]
    times_s = loaded.geometry.frame_time_s(np.arange(encoder.geometry.n_frames(n_samples)))
    alphas = [alphas_of(target.envelope, times_s, n_samples / encoder.sample_rate_hz) for target in targets]
    directions = [loaded.cell.probes[target.attribute].weight[target.class_index] for target in targets]
    latents, side = encoder.encode(samples), side_of(encoder, samples)
    steered = steered_latents(loaded.cell, latents, directions, alphas, renormalises)
    reference = steered_latents(loaded.cell, latents, [], [], renormalises) if has_reference else None
    return Steered(
        samples,
        None if reference is None else decode(encoder, reference, side)[:, :n_samples],
        decode(encoder, steered, side)[:, :n_samples],
        encoder.sample_rate_hz,
        len(times_s),
        int(np.any(np.stack(alphas) != 0, axis=0).sum()),
    )


def alphas_of(envelope: Envelope, times_s: np.ndarray, duration_s: float) -> np.ndarray:
    """α at frames that stand for times_s (N,): (N,). Raises ValueError if there is one only where there is no frame."""
    alphas = envelope.at(times_s)
    if any(envelope.alphas) and not alphas.any():
        raise ValueError(
            "nothing would be steered: α differs from 0 only where there is no frame; the file lasts "
            f"{duration_s:.3f} s, its {len(times_s)} frames stand for {times_s[0]:.3f} s to {times_s[-1]:.3f} s"
        )
    return alphas


def steered_latents(
    cell: Cell, latents: np.ndarray, directions: Sequence[Tensor], alphas: Sequence[np.ndarray], renormalises: bool
) -> np.ndarray:
    """Latents (N, D) through the autoencoder with `directions` (F,) added, each with its alphas (N,): (N, D).

    Without directions it is the reconstruction. Raises ValueError if an α is too large for 32 bits.
    """
    with np.errstate(over="ignore"):  # seen in what comes of it
        alphas = [values.astype(np.float32) for values in alphas]
    n_block = block_frames(cell.model.n_features, cell.model.W_enc)
    result = np.empty_like(latents)
    for start in trange(0, len(latents), n_block, desc="steering" if directions else "reference", delay=2, leave=False):
        block = slice(start, start + n_block)
        controls = [
            Control(direction, torch.from_numpy(values[block]).to(cell.device))
            for direction, values in zip(directions, alphas, strict=True)
        ]
        x = steered_reconstruction(cell.model, cell.scaled(latents[block]), controls, renormalises)
        result[block] = cell.latents(x)
    if not np.isfinite(result).all():
        raise ValueError("α is so large that the steered latents are no longer finite; the paper takes 1 to 30")
    return result


class Measured(NamedTuple):
    """An attribute of the original, the reference and the steered sound, in this order."""

    means: list[float]  # over the frames where it is defined, in its unit; NaN if there are none
    defined: list[float]  # share of such frames, 0 to 1


def measure(
    sounds: Steered, attributes: dict[str, dict], targets: Sequence[Target], device: str
) -> dict[str, Measured]:
    """What the labellers say of the three sounds, by attribute, where they are steered; everywhere if that is nowhere.

    attributes: {name: {"module", "options"}}; what lies beyond full scale is measured as a file holds it.
    """
    of_attribute = labellers(attributes, device)
    tracks = [
        # a user's recording is of no kind that an attribute would leave out
        track_all(mono(clipped(samples)[0]), sounds.sample_rate_hz, "", of_attribute)
        for samples in (sounds.original, sounds.reference, sounds.steered)
        if samples is not None
    ]
    times_s = fine.fine_time_s(np.arange(fine.n_fine_frames(sounds.steered.shape[1], sounds.sample_rate_hz)))
    counts = np.any([target.envelope.at(times_s) != 0 for target in targets], axis=0)
    counts = counts if counts.any() else ~counts
    return {name: _measured([track[name][counts] for track in tracks]) for name in attributes}


def _measured(values: list[np.ndarray]) -> Measured:
    defined = [value[np.isfinite(value)] for value in values]
    means = [float(value.mean(dtype=np.float64)) if len(value) else float("nan") for value in defined]
    return Measured(means, [len(some) / len(value) for some, value in zip(defined, values, strict=True)])


def measured_text(measured: dict[str, Measured], units: dict[str, str]) -> str:
    """A table of what was measured; the share of frames where an attribute is defined stands behind its mean."""
    columns = ["recording", "autoencoder", "steered"]
    lines = ["mean where steered" + "".join(f"{column:>20}" for column in columns)]
    for name, (means, shares) in measured.items():
        cells = [f"{mean:.4g} ({share:.0%})" for mean, share in zip(means, shares, strict=True)]
        lines.append(f"{name:18}" + "".join(f"{one:>20}" for one in cells) + f"  {units[name]}")
    return "\n".join(lines)
