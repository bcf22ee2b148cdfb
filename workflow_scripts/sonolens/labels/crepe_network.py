"""CREPE's network for evaluation: the published function as products of matrices, a sixth of the arithmetic.

A convolution with 64 taps along time is a product per frequency. Transforms of 16 to 160 samples are products of
matrices too, so that one code serves every device and a frame's sums are split alike wherever it lies in its batch.
"""

import math

import torch
import torch.nn.functional as F
from torchcrepe import Crepe

N_LAYERS = 6
_STRIDE = 4  # of the first layer, whose 512 taps see one channel
_FIRST_PADDING = (254, 254)
_BEFORE, _AFTER = 31, 32  # taps to each side of a sample in the other layers
_FIRST_LENGTH = 128  # samples that the second layer sees


def normalised(windows: torch.Tensor) -> torch.Tensor:
    """Windows (B, 1024) of any level as the network reads them; torchcrepe.preprocess does the same."""
    windows = windows - windows.mean(dim=1, keepdim=True)
    return windows / windows.std(dim=1, keepdim=True).clamp(min=1e-10)


class FastCrepe(torch.nn.Module):
    """torchcrepe.Crepe for evaluation, the same to rounding; on one core ten times as fast (full), or four (tiny).

    Layers pool before ReLU and batch norm, on half the samples: a max commutes with the norm where its scale is
    positive. Time comes first, then the batch, channels last: (T, B, C).
    """

    def __init__(self, crepe: Crepe):
        super().__init__()
        for layer in range(N_LAYERS):
            convolution, norm = getattr(crepe, f"conv{layer + 1}"), getattr(crepe, f"conv{layer + 1}_BN")
            weight = convolution.weight.detach()[..., 0]  # (out, in, taps)
            if layer == 0:
                self.register_buffer("first", weight[:, 0].T.contiguous())
            else:
                self.add_module(f"convolution{layer}", _Convolution(weight, _FIRST_LENGTH >> (layer - 1)))
            scale = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
            self.register_buffer(f"bias{layer}", convolution.bias.detach())
            self.register_buffer(f"scale{layer}", scale)
            self.register_buffer(f"shift{layer}", (norm.bias - norm.running_mean * scale).detach())
        self.pools_first = [bool((getattr(self, f"scale{layer}") > 0).all()) for layer in range(N_LAYERS)]
        self.classifier = crepe.classifier

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalised frames (B, 1024) -> probability of each of the 360 pitch bins (B, 360)."""
        return torch.sigmoid(self.classifier(self.layers(frames, N_LAYERS).transpose(0, 1).flatten(1)))

    def layers(self, frames: torch.Tensor, n_layers: int) -> torch.Tensor:
        """Normalised frames (B, 1024) -> what the first `n_layers` layers make of them (T, B, C)."""
        windows = F.pad(frames, _FIRST_PADDING).unfold(1, len(self.first), _STRIDE).transpose(0, 1)  # (256, B, 512)
        # one product of matrices: of the view it would be 256
        x = self._pooled(0, (windows.reshape(-1, len(self.first)) @ self.first).view(*windows.shape[:2], -1))
        for layer in range(1, n_layers):
            x = self._pooled(layer, getattr(self, f"convolution{layer}")(x))
        return x

    def _pooled(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        """What is behind the convolution of a layer: ReLU, batch norm and pooling, (T, B, C) -> (T / 2, B, C)."""
        bias, scale, shift = (getattr(self, f"{name}{layer}") for name in ("bias", "scale", "shift"))
        if self.pools_first[layer]:
            return torch.addcmul(shift, torch.maximum(x[::2], x[1::2]).add_(bias).relu_(), scale)
        x = torch.addcmul(shift, x.add_(bias).relu_(), scale)
        return torch.maximum(x[::2], x[1::2])


class _Convolution(torch.nn.Module):
    """A convolution along time that keeps the length, (T, B, in) -> (T, B, out), as a product per frequency.

    Taps that only ever meet the zeros beyond the ends are left out, which is most of them in the last layers.
    """

    def __init__(self, weight: torch.Tensor, length: int):
        """weight: (out, in, 64 taps); length: T."""
        super().__init__()
        offsets = torch.arange(-min(_BEFORE, length - 1), min(_AFTER, length - 1) + 1)
        n = length + min(_AFTER, length)  # what wraps around falls on zeros
        frequencies, times = torch.arange(n // 2 + 1), torch.arange(length)
        cosine, sine = _waves(frequencies, times, n)
        self.register_buffer("forwards", torch.cat([cosine, -sine]).float())  # (2 F, T): real parts, imaginary parts
        share = torch.where((frequencies == 0) | (2 * frequencies == n), 1.0, 2.0).double()[:, None] / n
        self.register_buffer("backwards", torch.cat([share * cosine, -share * sine]).T.float().contiguous())
        taps = weight[..., offsets + _BEFORE].double().permute(2, 1, 0)  # (taps, in, out)
        for name, waves in zip(("real", "imaginary"), _waves(frequencies, offsets, n), strict=True):
            self.register_buffer(name, torch.tensordot(waves, taps, 1).float().contiguous())  # (F, in, out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        length, n_batch, n_channels = x.shape
        spectrum = (self.forwards @ x.view(length, -1)).view(2, -1, n_batch, n_channels)
        product = x.new_empty(2, *spectrum.shape[1:3], self.real.shape[2])
        torch.bmm(spectrum[0], self.real, out=product[0])
        product[0].baddbmm_(spectrum[1], self.imaginary, alpha=-1)
        torch.bmm(spectrum[0], self.imaginary, out=product[1])
        product[1].baddbmm_(spectrum[1], self.real)
        return (self.backwards @ product.view(self.backwards.shape[1], -1)).view(length, n_batch, -1)


def _waves(frequencies: torch.Tensor, times: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine of each frequency at each time, period n, both (F, T) in fp64."""
    phase = 2 * math.pi / n * (frequencies[:, None] * times % n).double()
    return torch.cos(phase), torch.sin(phase)
