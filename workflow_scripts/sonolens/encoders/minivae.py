"""A small continuous codec, trained by the workflow: a variational autoencoder of log-magnitude spectra.

In kind the mel-VAE and vocoder of AudioLDM (Liu et al. 2023), at a size that two cores train in minutes.
"""

import zlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from sonolens.codec_training import train_net
from sonolens.encoders.contract import Encoder
from sonolens.encoders.spectrogram_codec import (
    D_LATENT,
    Bottlenecked,
    SpectrogramCodec,
    SpectrogramNet,
    read_weights,
)
from sonolens.jobs.resumption import Resumption


class GaussianBottleneck(nn.Module):
    """A diagonal Gaussian per frame (Kingma and Welling 2014), held to the standard one by its divergence."""

    d_in = 2 * D_LATENT

    def __init__(self, kl_weight: float):
        super().__init__()
        self.kl_weight = kl_weight

    def forward(self, z: Tensor, generator: torch.Generator) -> Bottlenecked:
        """z (B, T, 2·D_LATENT), means and log scales, to a sample; the divergence is in nats per frame."""
        mean, log_scale = split_posterior(z)
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        divergence = divergence_nats(mean, log_scale).mean()
        return Bottlenecked(mean + log_scale.exp() * noise, self.kl_weight * divergence, divergence)

    def start(self, z: Tensor, generator: torch.Generator) -> None:
        """Nothing here is learnt but by gradient."""

    def learn(self, z: Tensor, codes: None, generator: torch.Generator) -> None:
        """Nothing here is learnt but by gradient."""


def split_posterior(z: Tensor) -> tuple[Tensor, Tensor]:
    """z (..., 2·D_LATENT) -> mean and log scale (..., D_LATENT); the scale stays within e^±8, or it overflows."""
    return z[..., :D_LATENT], z[..., D_LATENT:].clamp(-8.0, 8.0)


def divergence_nats(mean: Tensor, log_scale: Tensor) -> Tensor:
    """KL divergence (...) of N(mean, scale²) (..., D) from the standard normal, summed over D."""
    return 0.5 * (mean.square() + (2 * log_scale).exp() - 1 - 2 * log_scale).sum(dim=-1)


class MiniVae(SpectrogramCodec):
    """The latent is the posterior's mean, or a sample of it that follows from the seed and the audio alone."""

    def __init__(self, net: SpectrogramNet, latent: str, sample_seed: int, device: str):
        super().__init__("minivae", net, device)
        self.latent = latent
        self.sample_seed = sample_seed

    def latents_of(self, z: Tensor) -> Tensor:
        return z if self.latent == "sample" else split_posterior(z)[0]

    def encode_batch(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
        """audios (1, n_samples) float32 -> latents (n_frames, D_LATENT) float32 of each; contract.Encoder."""
        encoded = super().encode_batch(audios)
        if self.latent == "mean":
            return encoded
        return [self._sampled(z, audio) for z, audio in zip(encoded, audios, strict=True)]

    def _sampled(self, z: np.ndarray, audio: np.ndarray) -> np.ndarray:
        """A sample of the posterior z (T, 2·D_LATENT): (T, D_LATENT)."""
        mean, log_scale = split_posterior(torch.from_numpy(z))
        # Drawn for the whole recording at once: neither the pieces nor what else is encoded moves it.
        rng = np.random.default_rng([self.sample_seed, zlib.crc32(np.asarray(audio, np.float32).tobytes())])
        return mean.numpy() + log_scale.exp().numpy() * rng.standard_normal(mean.shape, dtype=np.float32)


def build(options: dict) -> SpectrogramNet:
    """The untrained network of these options (see the card)."""
    return SpectrogramNet(GaussianBottleneck(options["kl_weight"]), options["width"], options["n_blocks"])


def train(
    audio: list[np.ndarray], options: dict, seed: int, device: str, resumption: Resumption | None = None
) -> tuple[dict[str, Tensor], pd.DataFrame]:
    """Train on audio (n_samples,) at 16 kHz; the state dict and a history (tables.CODEC_HISTORY)."""
    torch.manual_seed(seed)  # the initial weights
    return train_net(build(options), audio, options, seed, device, resumption)


def load(weights: list[str], options: dict, device: str) -> Encoder:
    """The codec trained to the one file of `weights`; of the options only `latent` and `sample_seed` are read."""
    state, trained_options = read_weights(*weights, "minivae")
    net = build(trained_options)
    net.load_state_dict(state)
    return MiniVae(net, options["latent"], options["sample_seed"], device)
