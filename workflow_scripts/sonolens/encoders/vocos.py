"""WavTokenizer's decoder: latents to a short-time spectrum, and that to audio.

A Vocos (Siuzdak 2023, arXiv 2306.00814) with a network of residual blocks and attention in front of its ConvNeXt
blocks (Ji et al. 2024, arXiv 2408.16532). Attributes are named as in the released checkpoints, whose keys they are.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-6
N_GROUPS = 32
# Magnitudes are held to what the released decoder was trained with
LARGEST_MAGNITUDE = 100.0
# Queries at a time: the scores of a batch of them are what attention needs beside its input and output
QUERY_FRAMES = 2048


class AdaptiveLayerNorm(nn.Module):
    """Layer norm of x (..., C), scaled and shifted by a row of two tables: one row per bandwidth."""

    def __init__(self, n_bandwidths: int, width: int):
        super().__init__()
        self.scale = nn.Embedding(n_bandwidths, width)
        self.shift = nn.Embedding(n_bandwidths, width)

    def forward(self, x: Tensor, bandwidth_id: int) -> Tensor:
        return functional.layer_norm(
            x, x.shape[-1:], self.scale.weight[bandwidth_id], self.shift.weight[bandwidth_id], EPSILON
        )


class ConvNextBlock(nn.Module):
    """A one-dimensional ConvNeXt block (Liu et al. 2022): x (B, C, T) -> (B, C, T)."""

    def __init__(self, width: int, hidden_width: int, n_bandwidths: int):
        super().__init__()
        self.dwconv = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = AdaptiveLayerNorm(n_bandwidths, width)
        self.pwconv1 = nn.Linear(width, hidden_width)
        self.pwconv2 = nn.Linear(hidden_width, width)
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor, bandwidth_id: int) -> Tensor:
        y = self.norm(self.dwconv(x).transpose(1, 2), bandwidth_id)
        y = self.gamma * self.pwconv2(functional.gelu(self.pwconv1(y)))
        return x + y.transpose(1, 2)


class ResidualBlock(nn.Module):
    """Twice group norm, SiLU and convolution, added to x (B, C, T). The norms see the whole of a clip."""

    def __init__(self, width: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(N_GROUPS, width, EPSILON)
        self.conv1 = nn.Conv1d(width, width, 3, padding=1)
        self.norm2 = nn.GroupNorm(N_GROUPS, width, EPSILON)
        self.conv2 = nn.Conv1d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(functional.silu(self.norm1(x)))
        return x + self.conv2(functional.silu(self.norm2(y)))


class AttentionBlock(nn.Module):
    """One head of attention of every frame to every frame of the clip, added to x (B, C, T)."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.GroupNorm(N_GROUPS, width, EPSILON)
        self.q = nn.Conv1d(width, width, 1)
        self.k = nn.Conv1d(width, width, 1)
        self.v = nn.Conv1d(width, width, 1)
        self.proj_out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        key, value = _rows(self.k(normed)), _rows(self.v(normed))
        attended = torch.empty_like(x)
        for begin in range(0, x.shape[2], QUERY_FRAMES):
            stretch = slice(begin, begin + QUERY_FRAMES)
            found = functional.scaled_dot_product_attention(_rows(self.q(normed[:, :, stretch])), key, value)
            attended[:, :, stretch] = self.proj_out(found[:, 0].transpose(1, 2))
        return attended.add_(x)


def _rows(x: Tensor) -> Tensor:
    """(B, C, T) as (B, 1, T, C), one head; contiguous, or the kernels that keep no T × T matrix are not taken."""
    return x.transpose(1, 2).contiguous()[:, None]


class VocosBackbone(nn.Module):
    """Latents (B, D, T) to the hidden frames (B, T, C) that the head reads: `refine` after `survey`."""

    def __init__(self, d_latent: int, width: int, hidden_width: int, n_layers: int, n_bandwidths: int):
        super().__init__()
        self.embed = nn.Conv1d(d_latent, width, 7, padding=3)
        self.pos_net = nn.Sequential(
            ResidualBlock(width),
            ResidualBlock(width),
            AttentionBlock(width),
            ResidualBlock(width),
            ResidualBlock(width),
            nn.GroupNorm(N_GROUPS, width, EPSILON),
        )
        self.norm = AdaptiveLayerNorm(n_bandwidths, width)
        self.convnext = nn.ModuleList(ConvNextBlock(width, hidden_width, n_bandwidths) for _ in range(n_layers))
        self.final_layer_norm = nn.LayerNorm(width, EPSILON)

    @property
    def reach_frames(self) -> int:
        """Frames to either side that `refine` reaches: 3 in each block."""
        return 3 * len(self.convnext)

    def survey(self, latents: Tensor) -> Tensor:
        """latents (B, D, T) -> (B, T, C): all that sees the whole clip, by its group norms and its attention."""
        return self.pos_net(self.embed(latents)).transpose(1, 2)

    def refine(self, surveyed: Tensor, bandwidth_id: int) -> Tensor:
        """surveyed (B, T, C) -> (B, T, C): the blocks behind it, which are local."""
        x = self.norm(surveyed, bandwidth_id).transpose(1, 2)
        for block in self.convnext:
            x = block(x, bandwidth_id)
        return self.final_layer_norm(x.transpose(1, 2))


class SpectrumInversion(nn.Module):
    """Inverse short-time Fourier transform: spectrum (B, n_fft / 2 + 1, T) complex -> audio (B, T · hop).

    Padding "same": frame i is centred on sample (i + 0.5)·hop.
    """

    def __init__(self, n_fft: int, hop_samples: int):
        super().__init__()
        self.hop_samples = hop_samples
        self.register_buffer("window", torch.hann_window(n_fft))

    def forward(self, spectrum: Tensor) -> Tensor:
        n_fft, n_frames = len(self.window), spectrum.shape[-1]
        frames = torch.fft.irfft(spectrum, n=n_fft, dim=1) * self.window[:, None]
        power = self.window.square()[None, :, None].expand(1, n_fft, n_frames)
        overhang = (n_fft - self.hop_samples) // 2
        kept = slice(overhang, overhang + n_frames * self.hop_samples)
        return self._overlap_add(frames)[:, kept] / self._overlap_add(power)[:, kept]

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """Sum of frames (B, n_fft, T) set hop apart: (B, (T - 1) · hop + n_fft)."""
        _, n_fft, n_frames = frames.shape
        n_samples = (n_frames - 1) * self.hop_samples + n_fft
        return functional.fold(frames, (1, n_samples), (1, n_fft), stride=(1, self.hop_samples))[:, 0, 0]


class SpectrumHead(nn.Module):
    """Hidden frames (B, T, C) to magnitude and phase of a short-time spectrum, and to audio (B, T · hop)."""

    def __init__(self, width: int, n_fft: int, hop_samples: int):
        super().__init__()
        self.out = nn.Linear(width, n_fft + 2)
        self.istft = SpectrumInversion(n_fft, hop_samples)

    @property
    def reach_frames(self) -> int:
        """Frames to either side whose windows a sample of a frame's hop is the sum of."""
        return math.ceil(len(self.istft.window) / (2 * self.istft.hop_samples))

    def forward(self, hidden: Tensor) -> Tensor:
        log_magnitude, phase = self.out(hidden).transpose(1, 2).chunk(2, dim=1)
        return self.istft(torch.polar(log_magnitude.exp().clamp_max(LARGEST_MAGNITUDE), phase))
