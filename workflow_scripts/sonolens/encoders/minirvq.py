"""A small discrete codec, trained by the workflow: the mini VAE's twin with a residual vector quantiser.

Quantised as in SoundStream (Zeghidour et al. 2021): 50 frames a second, n_codebooks codes each.
"""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sonolens.codec_training import train_net
from sonolens.encoders.contract import Encoder
from sonolens.encoders.quantiser import ResidualQuantiser
from sonolens.encoders.spectrogram_codec import SpectrogramCodec, SpectrogramNet, read_weights
from sonolens.jobs.resumption import Resumption


class MiniRvq(SpectrogramCodec):
    """The latent is the quantised embedding, which the decoder reads, or what went into the quantiser.

    Encoded in chunks, a frame within rounding of the border between two codes may take the other one.
    """

    def __init__(self, net: SpectrogramNet, latent: str, device: str):
        super().__init__("minirvq", net, device)
        self.latent = latent

    def latents_of(self, z: Tensor) -> Tensor:
        return z if self.latent == "pre_quantised" else self.net.bottleneck.quantise(z)[0]


def build(options: dict) -> SpectrogramNet:
    """The untrained network of these options (see the card)."""
    quantiser = ResidualQuantiser(
        options["n_codebooks"],
        options["codebook_size"],
        options["commitment_weight"],
        options["codebook_decay"],
        options["codebook_min_use"],
    )
    return SpectrogramNet(quantiser, options["width"], options["n_blocks"])


def train(
    audio: list[np.ndarray], options: dict, seed: int, device: str, resumption: Resumption | None = None
) -> tuple[dict[str, Tensor], pd.DataFrame]:
    """Train on audio (n_samples,) at 16 kHz; the state dict and a history (tables.CODEC_HISTORY)."""
    torch.manual_seed(seed)  # the initial weights
    return train_net(build(options), audio, options, seed, device, resumption)


def load(weights: list[str], options: dict, device: str) -> Encoder:
    """The codec trained to the one file of `weights`; of the options only `latent` is read."""
    state, trained_options = read_weights(*weights, "minirvq")
    net = build(trained_options)
    net.load_state_dict(state)
    return MiniRvq(net, options["latent"], device)
