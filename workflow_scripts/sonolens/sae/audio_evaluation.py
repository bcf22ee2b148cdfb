"""Reconstruction heard: what the decoder makes of x̂ beside what it makes of x, on excerpts of test clips."""

import hashlib
from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from sonolens import audio, tables
from sonolens.audio_distance import multi_resolution_log_spectral_distance_db
from sonolens.codec_quality import pitch_kept_share
from sonolens.encoders.contract import Encoder, decode, side_of
from sonolens.files import replacing, write_json
from sonolens.labels import pitch
from sonolens.sae import weights

# A track of one pitch says nothing about recordings of these kinds, so "pitch kept" leaves them out.
WITHOUT_ONE_PITCH = ("mix", "drums")


class Excerpt(NamedTuple):
    """A stretch of a test clip."""

    clip: NamedTuple  # its row of the manifest
    start_s: float
    samples: np.ndarray  # (n_channels, n_samples) at the encoder's rate


def choose_excerpts(
    manifest_paths: list[str],
    encoder: Encoder,
    n_clips: int,
    seconds: float,
    seed: int,
    left_out_kinds: Collection[str] = (),
) -> Iterator[Excerpt]:
    """The middle `seconds` of `n_clips` test clips: in turn one of each kind, within a kind in a seeded order.

    Kinds that are left out come in only where the test split has no others. One clip is in memory at a time.
    """
    manifest = tables.read_all(manifest_paths, tables.MANIFEST)
    test = manifest[manifest["split"] == "test"].copy()
    is_of_use = ~test["kind"].isin(list(left_out_kinds))
    test = test[is_of_use] if is_of_use.any() else test
    test["order"] = [hashlib.sha256(f"{seed}/{clip_id}".encode()).hexdigest() for clip_id in test["clip_id"]]
    test = test.sort_values("order")
    test["turn"] = test.groupby("kind").cumcount()
    chosen = test.sort_values(["turn", "kind"], ascending=[True, False]).head(n_clips)
    return (_middle(clip, encoder, seconds) for clip in chosen.itertuples())


def _middle(clip: NamedTuple, encoder: Encoder, seconds: float) -> Excerpt:
    samples = audio.load(clip.path, encoder.sample_rate_hz, encoder.n_channels)
    wanted, period = round(seconds * encoder.sample_rate_hz), encoder.geometry.period_samples
    start = max(0, (samples.shape[1] - wanted) // 2) // period * period
    return Excerpt(clip, start / encoder.sample_rate_hz, samples[:, start : start + wanted])


def _track(samples: np.ndarray, encoder: Encoder, options: dict) -> np.ndarray:
    """Pitch of (n_channels, n_samples) on the 10 ms grid, in semitones, NaN where unvoiced."""
    return pitch.measure(samples.mean(axis=0), encoder.sample_rate_hz, options).value


def decode_excerpts(
    encoder: Encoder,
    manifest_paths: list[str],
    output_path: str,
    n_clips: int,
    seconds: float,
    pitch_options: dict,
    seed: int,
) -> None:
    """Write what all cells of an encoder are measured against.

    For each excerpt i: original_i and codec_i (n_channels, n_samples), latents_i (n_frames, d_latent), side_i (what
    decoding needs beside them, contract.side_of), and, where there is one pitch, the tracks of both, original_pitch_i
    and codec_pitch_i (T,).
    """
    arrays: dict[str, np.ndarray] = {}
    excerpts = choose_excerpts(manifest_paths, encoder, n_clips, seconds, seed)
    for position, excerpt in enumerate(tqdm(excerpts, "excerpts", n_clips, mininterval=5)):
        latents, side = encoder.encode(excerpt.samples), side_of(encoder, excerpt.samples)
        decoded = decode(encoder, latents, side)[:, : excerpt.samples.shape[1]]
        arrays |= {
            f"original_{position}": excerpt.samples,
            f"codec_{position}": decoded,
            f"latents_{position}": latents,
            f"side_{position}": side,
        }
        if excerpt.clip.kind not in WITHOUT_ONE_PITCH:
            arrays[f"original_pitch_{position}"] = _track(excerpt.samples, encoder, pitch_options)
            arrays[f"codec_pitch_{position}"] = _track(decoded, encoder, pitch_options)
    with replacing(output_path) as temporary:
        np.savez(temporary, **arrays)


def reconstruct(model_path: str, latents: np.ndarray) -> np.ndarray:
    """latents (n_frames, d_latent) through a cell: the latents of x̂, of the same shape."""
    model, scaling = weights.load(model_path)
    with torch.no_grad():
        return scaling.invert(model(torch.from_numpy(scaling.apply(latents))).numpy())


def evaluate_cell(encoder: Encoder, excerpts_path: str, model_path: str, output_path: str, pitch_options: dict) -> None:
    """Write means over the excerpts.

    The multi-resolution log-spectral distance to the original, of the codec alone and of the codec with the SAE, the
    distance between these two, and the share of the original's voiced frames whose pitch is kept within 50 cents.
    """
    rows = []
    with np.load(excerpts_path) as excerpts:
        n_clips = sum(name.startswith("latents_") for name in excerpts.files)
        for position in tqdm(range(n_clips), desc="excerpts", mininterval=5):
            original, codec = excerpts[f"original_{position}"], excerpts[f"codec_{position}"]
            x_hat = reconstruct(model_path, excerpts[f"latents_{position}"])
            decoded = decode(encoder, x_hat, excerpts[f"side_{position}"])[:, : original.shape[1]]
            row = {
                "codec_distance": _distance_db(original, codec),
                "sae_distance": _distance_db(original, decoded),
                "sae_codec_distance": _distance_db(codec, decoded),
                "codec_pitch": np.nan,
                "sae_pitch": np.nan,
                "seconds": original.shape[1] / encoder.sample_rate_hz,
            }
            if f"original_pitch_{position}" in excerpts:
                reference = excerpts[f"original_pitch_{position}"]
                row["codec_pitch"] = pitch_kept_share(reference, excerpts[f"codec_pitch_{position}"])
                row["sae_pitch"] = pitch_kept_share(reference, _track(decoded, encoder, pitch_options))
            rows.append(row)
    table = pd.DataFrame(rows).astype(float)
    mean = {name: None if np.isnan(value) else float(value) for name, value in table.mean().items()}
    write_json(
        output_path,
        {
            "codec": {
                "log_spectral_distance_db": mean["codec_distance"],
                "pitch_kept_share": mean["codec_pitch"],
            },
            "sae": {"log_spectral_distance_db": mean["sae_distance"], "pitch_kept_share": mean["sae_pitch"]},
            "sae_vs_codec_log_spectral_distance_db": mean["sae_codec_distance"],
            "n_clips": n_clips,
            "seconds": float(table["seconds"].sum()),
        },
    )


def _distance_db(reference: np.ndarray, estimate: np.ndarray) -> float:
    return multi_resolution_log_spectral_distance_db(reference.mean(axis=0), estimate.mean(axis=0))
