"""Excerpts of test recordings that all cells of an encoder are steered on: one in memory at a time."""

import zipfile
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from sonolens.encoders.contract import Encoder, side_of
from sonolens.files import replacing
from sonolens.sae.audio_evaluation import choose_excerpts
from sonolens.steering.tracking import Labeller, left_out_kinds, mono, track_all


class SourceSound(NamedTuple):
    """A stretch of a recording and its latents."""

    clip_id: str
    kind: str
    instrument: str
    start_s: float
    samples: np.ndarray  # (n_channels, n_samples) at the encoder's rate
    latents: np.ndarray  # (n_frames, d_latent)
    side: np.ndarray  # (n_frames, n_side): what decoding needs beside them


def write(
    encoder: Encoder,
    manifest_paths: list[str],
    output_path: str,
    labellers: dict[str, Labeller],
    n_clips: int,
    seconds: float,
    seed: int,
) -> None:
    """Write `n_clips` excerpts of `seconds`, their latents, and the tracks of the originals.

    Recordings of a kind that some attribute leaves out (drums have no pitch) are not taken, unless there are no others.
    """
    left_out = left_out_kinds(labellers)
    chosen = choose_excerpts(manifest_paths, encoder, n_clips, seconds, seed, left_out)
    with replacing(output_path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for position, (clip, start_s, samples) in enumerate(tqdm(chosen, "excerpts", n_clips, mininterval=5)):
            latents, side = encoder.encode(samples), side_of(encoder, samples)
            sound = SourceSound(clip.clip_id, clip.kind, clip.instrument, start_s, samples, latents, side)
            tracks = track_all(mono(samples), encoder.sample_rate_hz, clip.kind, labellers)
            arrays = sound._asdict() | {f"track_{name}": value for name, value in tracks.items()}
            for name, value in arrays.items():
                # as numpy.savez does, which would hold all excerpts at once
                with archive.open(f"{name}_{position}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(value), allow_pickle=False)


class Excerpts:
    """What `write` wrote; arrays are read as they are asked for."""

    def __init__(self, path: str):
        self._arrays = np.load(path)
        self._n = sum(name.startswith("latents_") for name in self._arrays.files)

    def __len__(self) -> int:
        return self._n

    def sound(self, position: int) -> SourceSound:
        """One excerpt."""
        array = {name: self._arrays[f"{name}_{position}"] for name in SourceSound._fields}
        return SourceSound(
            str(array["clip_id"]),
            str(array["kind"]),
            str(array["instrument"]),
            float(array["start_s"]),
            *(array[name] for name in ("samples", "latents", "side")),
        )

    def latents(self, position: int) -> np.ndarray:
        """Latents of one excerpt, (n_frames, d_latent), without the rest of it."""
        return self._arrays[f"latents_{position}"]

    @property
    def names(self) -> list[tuple[str, str]]:
        """clip_id and kind of every excerpt."""
        return [
            (str(self._arrays[f"clip_id_{position}"]), str(self._arrays[f"kind_{position}"]))
            for position in range(self._n)
        ]

    def spread(self, attribute: str) -> float:
        """Standard deviation of an attribute over all frames of the originals, in its unit; NaN if nowhere defined."""
        values = np.concatenate([self._arrays[f"track_{attribute}_{position}"] for position in range(self._n)])
        return float(np.nanstd(values)) if np.isfinite(values).any() else float("nan")
