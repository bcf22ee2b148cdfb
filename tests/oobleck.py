"""An Oobleck autoencoder of any width with reproducible weights, written as the released DiffRhythm-VAE is.

The network of Stable Audio Open (Evans et al. 2024), with the key names of its training code: at `WIDTH` channels it
has the 365 tensors of the released one. What the tests write of it is a TorchScript file with two methods,
`encode_export` (B, 2, N) -> (B, 128, T), means above scales, and `decode_export` (B, 64, T) -> (B, 2, T · HOP).
"""

import math
import warnings
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 128  # channels at the rate of the audio, as released
MULTIPLES = (1, 2, 4, 8, 16)  # channels, in widths, after the first convolution and before each of the strides
STRIDES = (2, 4, 4, 8, 8)
HOP = math.prod(STRIDES)
DILATIONS = (1, 3, 9)
N_AUDIO_CHANNELS = 2
D_LATENT = 64


class SnakeBeta(nn.Module):
    """x + sin²(x·e^α) / (e^β + 1e-9), α and β per channel (Ziyin et al. 2020, BigVGAN's form): x (B, C, T)."""

    def __init__(self, n_channels: int):
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(n_channels))
        self.beta = nn.Parameter(torch.zeros(n_channels))

    def forward(self, x: Tensor) -> Tensor:
        alpha, beta = self.alpha.exp()[None, :, None], self.beta.exp()[None, :, None]
        return x + torch.sin(x * alpha).square() / (beta + 1e-9)


class Convolution(nn.Module):
    """A convolution with weight norm (Salimans and Kingma 2016) over all axes but the first: x (B, C, T)."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        padding: int = 0,
        bias: bool = True,
    ):
        super().__init__()
        self.stride, self.dilation, self.padding = stride, dilation, padding
        self.weight_g = nn.Parameter(torch.ones(n_out, 1, 1))
        self.weight_v = nn.Parameter(torch.ones(n_out, n_in, kernel))
        self.register_parameter("bias", nn.Parameter(torch.zeros(n_out)) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        weight = torch._weight_norm(self.weight_v, self.weight_g, 0)
        return functional.conv1d(x, weight, self.bias, self.stride, self.padding, self.dilation)


class TransposedConvolution(nn.Module):
    """Upsampling by `stride` with a kernel of two strides; the norm is over all axes but that of the input channels."""

    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.stride = stride
        self.weight_g = nn.Parameter(torch.ones(n_in, 1, 1))
        self.weight_v = nn.Parameter(torch.ones(n_in, n_out, 2 * stride))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor) -> Tensor:
        weight = torch._weight_norm(self.weight_v, self.weight_g, 0)
        return functional.conv_transpose1d(x, weight, self.bias, self.stride, self.stride // 2)


class Layers(nn.Module):
    """Layers one after another, under the key `layers`."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class ResidualUnit(Layers):
    """x + two convolutions of x, the first one dilated."""

    def __init__(self, n_channels: int, dilation: int):
        super().__init__(
            SnakeBeta(n_channels),
            Convolution(n_channels, n_channels, 7, dilation=dilation, padding=3 * dilation),
            SnakeBeta(n_channels),
            Convolution(n_channels, n_channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def encoder_block(n_in: int, n_out: int, stride: int) -> Layers:
    """Residual units, then fewer frames of more channels."""
    units = [ResidualUnit(n_in, dilation) for dilation in DILATIONS]
    return Layers(*units, SnakeBeta(n_in), Convolution(n_in, n_out, 2 * stride, stride, padding=stride // 2))


def decoder_block(n_in: int, n_out: int, stride: int) -> Layers:
    """More frames of fewer channels, then residual units."""
    units = [ResidualUnit(n_out, dilation) for dilation in DILATIONS]
    return Layers(SnakeBeta(n_in), TransposedConvolution(n_in, n_out, stride), *units)


class Oobleck(nn.Module):
    """Encoder and decoder with weights that follow from their keys and `seed`."""

    def __init__(self, width: int = WIDTH, seed: int = 0):
        super().__init__()
        n_channels = [width, *(width * multiple for multiple in MULTIPLES)]
        down = zip(n_channels, n_channels[1:], STRIDES, strict=False)
        up = zip(n_channels[:0:-1], n_channels[-2::-1], STRIDES[::-1], strict=True)
        self.encoder = Layers(
            Convolution(N_AUDIO_CHANNELS, width, 7, padding=3),
            *(encoder_block(*sizes) for sizes in down),
            SnakeBeta(n_channels[-1]),
            Convolution(n_channels[-1], 2 * D_LATENT, 3, padding=1),
        )
        self.decoder = Layers(
            Convolution(D_LATENT, n_channels[-1], 7, padding=3),
            *(decoder_block(*sizes) for sizes in up),
            SnakeBeta(width),
            Convolution(width, N_AUDIO_CHANNELS, 7, padding=3, bias=False),
        )
        self._fill(seed)
        self.eval().requires_grad_(False)

    def forward(self, audio: Tensor) -> Tensor:
        return self.decode_export(self.encode_export(audio)[:, :64])

    @torch.jit.export
    def encode_export(self, audio: Tensor) -> Tensor:
        """audio (B, 2, N) -> means and scales (B, 128, floor(N / HOP))."""
        return self.encoder(audio)

    @torch.jit.export
    def decode_export(self, latents: Tensor) -> Tensor:
        """latents (B, 64, T) -> audio (B, 2, T · HOP)."""
        return self.decoder(latents)

    def _fill(self, seed: int) -> None:
        """Weights that keep the spread of what passes through at about one; each unit adds a little to its input."""
        shapes = {key: tuple(tensor.shape) for key, tensor in self.state_dict().items()}
        state = {}
        for key, shape in shapes.items():
            noise = np.random.default_rng([seed, zlib.crc32(key.encode())]).standard_normal(shape).astype(np.float32)
            stem, leaf = key.rsplit(".", 1)
            if leaf == "weight_g":
                n_first, n_second, kernel = shapes[f"{stem}.weight_v"]
                is_transposed = stem.startswith("decoder") and stem.count(".layers.") == 2 and kernel % 2 == 0
                spread = math.sqrt(kernel / 2 * n_second / n_first) if is_transposed else 1.0
                state[key] = (0.3 if kernel == 1 else spread) * (1 + 0.1 * noise)
            else:
                state[key] = {"weight_v": 1.0, "bias": 0.05, "alpha": 0.2, "beta": 0.2}[leaf] * noise
        self.load_state_dict({key: torch.from_numpy(np.asarray(values)) for key, values in state.items()})


def write(path: str | Path, model: nn.Module) -> None:
    """Write a model as TorchScript with the methods that it exports."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the end of its script compiler, not of reading such files
        torch.jit.script(model).save(str(path))
