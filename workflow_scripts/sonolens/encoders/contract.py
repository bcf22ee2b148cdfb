"""What an encoder is: a fixed geometry, audio to latents, latents to audio."""

from typing import Protocol

import numpy as np


class Encoder(Protocol):
    """An audio codec seen from the outside.

    A module of this folder offers one by `load(weights, options, device) -> Encoder`; its constants stand in the
    card beside it (`<module>.yaml`). One that the workflow itself trains (`trained: true`) also offers
    `train(audio, options, seed, device, resumption)`.
    """

    name: str
    sample_rate_hz: int
    n_channels: int
    d_latent: int
    hop_samples: int

    def frame_time_s(self, frame_index: np.ndarray) -> np.ndarray:
        """The time that latent frame i stands for: (i + 0.5)·hop/sample_rate unless the encoder is causal."""
        ...

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """audio (n_channels, n_samples) float32 -> latents (n_frames, d_latent) float32.

        n_frames is ceil(n_samples / hop_samples): no tail is lost. Long audio is encoded in overlapping chunks.
        """
        ...

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """latents (n_frames, d_latent) float32 -> audio (n_channels, n_frames · hop_samples) float32."""
        ...
