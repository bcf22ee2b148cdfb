"""What an encoder is: a fixed geometry, audio to latents, latents to audio."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from sonolens.encoders.geometry import FrameGeometry


class Encoder(Protocol):
    """An audio codec seen from the outside.

    A module of this folder offers one by `load(weights, options, device) -> Encoder`, weights being a list of paths;
    its constants stand in the card beside it (`<module>.yaml`). One that the workflow itself trains (`trained: true`)
    also offers `train(audio, options, seed, device, resumption)`. A user's own class is wrapped into one (own.py).

    Two more methods are used where they are there. `encode_batch(audios)` gives the same latents as `encode` one by
    one, faster. `side(audio)` gives what `decode(latents, side)` needs beside the latents, (n_frames, n_side) float32.
    """

    name: str
    sample_rate_hz: int
    n_channels: int
    d_latent: int
    hop_samples: int
    geometry: FrameGeometry

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """audio (n_channels, n_samples) float32 -> latents (n_frames, d_latent) float32.

        n_frames is geometry.n_frames(n_samples): no tail is lost. Long audio is encoded in overlapping pieces.
        """
        ...

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """latents (n_frames, d_latent) float32, from `encode` or not -> audio (n_channels, n_samples) float32.

        n_samples is that of the encoded audio or up to a hop more.
        """
        ...


def encode_batch(encoder: Encoder, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Latents (n_frames, d_latent) of each of `audios` (n_channels, n_samples), together if the encoder can."""
    if hasattr(encoder, "encode_batch"):
        return encoder.encode_batch(audios)
    return [encoder.encode(audio) for audio in audios]


def side_of(encoder: Encoder, audio: np.ndarray) -> np.ndarray:
    """What decoding needs beside the latents of `audio`, (n_frames, n_side) float32; n_side is 0 for most encoders."""
    if hasattr(encoder, "side"):
        return encoder.side(audio)
    return np.zeros((encoder.geometry.n_frames(audio.shape[1]), 0), np.float32)


def decode(encoder: Encoder, latents: np.ndarray, side: np.ndarray) -> np.ndarray:
    """latents (n_frames, d_latent) and what side_of gave for their audio -> audio (n_channels, at least n_samples)."""
    return encoder.decode(latents, side) if side.shape[1] else encoder.decode(latents)
