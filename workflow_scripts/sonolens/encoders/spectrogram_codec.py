"""What the two mini codecs share: spectrogram, network, phase, and chunked encoding and decoding.

A latent frame is a bottleneck's view of one frame of the log-magnitude spectrogram and its neighbours. Decoding gives
magnitudes back; their phase comes from fast Griffin-Lim (Perraudin, Balazs and Søndergaard 2013). Every step is local:
a frame depends on a bounded number of neighbours, so recordings of any length are worked through in chunks with the
same result as in one piece, to the rounding of sums.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as as_bytes
from torch import Tensor, nn
from torch.nn import functional

from sonolens.encoders.checks import checked_audio, checked_latents
from sonolens.encoders.chunking import decode_in_chunks
from sonolens.encoders.geometry import FrameGeometry
from sonolens.encoders.pieces import Reach, encode_in_pieces
from sonolens.files import replacing

SAMPLE_RATE_HZ = 16_000
HOP = 320
N_FFT = 1024
N_BINS = N_FFT // 2 + 1
D_LATENT = 64
# Zeros on both sides, so that frame i is centred on sample (i + 0.5)·HOP.
PADDING = (N_FFT - HOP) // 2
# Added to magnitudes before the logarithm: 88 dB below a full-scale sine, whose peak magnitude is N_FFT / 4.
MAGNITUDE_FLOOR = 0.01
KERNEL = 7
# 32 iterations of Griffin-Lim, each of which lets a frame reach the frames it overlaps with: 3 to either side.
N_PHASE_ITERATIONS = 32
PHASE_MOMENTUM = 0.99
OVERLAPPING_FRAMES = (N_FFT - 1) // HOP
# Phases start at random, drawn in blocks of frames so that a frame's phase follows from its index alone.
PHASE_BLOCK_FRAMES = 256
PHASE_SEED = 0
CHUNK_FRAMES = 1500


def frames_of(audio: Tensor) -> Tensor:
    """Windowed frames (..., T, N_FFT) of audio (..., n_samples), T = ceil(n_samples / HOP), zeros beyond both ends."""
    tail = -audio.shape[-1] % HOP
    padded = functional.pad(audio, (PADDING, PADDING + tail))
    return padded.unfold(-1, N_FFT, HOP) * _window(audio)


def magnitudes(audio: Tensor) -> Tensor:
    """Magnitudes (..., T, N_BINS) of the short-time spectrum of audio (..., n_samples)."""
    return torch.fft.rfft(frames_of(audio)).abs()


def compress(magnitude: Tensor) -> Tensor:
    """The network's scale: log(m + floor)."""
    return torch.log(magnitude + MAGNITUDE_FLOOR)


def expand(compressed: Tensor) -> Tensor:
    """The inverse of compress; never negative."""
    return (torch.exp(compressed) - MAGNITUDE_FLOOR).clamp_min(0.0)


def audio_of(spectrum: Tensor) -> Tensor:
    """Least-squares inverse of the windowed transform: spectrum (T, N_BINS) complex -> audio (T · HOP,)."""
    n_frames = spectrum.shape[0]
    frames = torch.fft.irfft(spectrum, n=N_FFT) * _window(spectrum.real)
    return (_overlap_add(frames) / _window_power(n_frames, frames))[PADDING : PADDING + n_frames * HOP]


def griffin_lim(magnitude: Tensor, first_frame: int) -> Tensor:
    """Audio (T · HOP,) whose magnitudes come near `magnitude` (T, N_BINS); first_frame seeds the initial phase."""
    phase = torch.from_numpy(_initial_phase(first_frame, len(magnitude))).to(magnitude.device)
    spectrum = torch.polar(magnitude, phase)
    previous = torch.zeros_like(spectrum)
    for _ in range(N_PHASE_ITERATIONS):
        rebuilt = torch.fft.rfft(frames_of(audio_of(spectrum)))
        angles = rebuilt - (PHASE_MOMENTUM / (1 + PHASE_MOMENTUM)) * previous
        previous = rebuilt
        spectrum = magnitude * angles / (angles.abs() + 1e-16)
    return audio_of(spectrum)


def _window(like: Tensor) -> Tensor:
    return torch.hann_window(N_FFT, dtype=like.dtype, device=like.device)


def _overlap_add(frames: Tensor) -> Tensor:
    """Sum of frames (T, N_FFT) set HOP apart, as ((T + OVERLAPPING_FRAMES) · HOP,)."""
    n_frames = len(frames)
    n_parts = OVERLAPPING_FRAMES + 1
    parts = functional.pad(frames, (0, n_parts * HOP - N_FFT)).view(n_frames, n_parts, HOP)
    total = frames.new_zeros(n_frames + OVERLAPPING_FRAMES, HOP)
    for part in range(n_parts):
        total[part : part + n_frames] += parts[:, part]
    return total.flatten()


def _window_power(n_frames: int, like: Tensor) -> Tensor:
    return _overlap_add((_window(like) ** 2).expand(n_frames, N_FFT)).clamp_min(1e-8)


def _initial_phase(first_frame: int, n_frames: int) -> np.ndarray:
    """Uniform phases (n_frames, N_BINS) float32 of the frames from first_frame on."""
    first_block, last_block = first_frame // PHASE_BLOCK_FRAMES, (first_frame + n_frames - 1) // PHASE_BLOCK_FRAMES
    blocks = [
        np.random.default_rng([PHASE_SEED, block]).random((PHASE_BLOCK_FRAMES, N_BINS), dtype=np.float32)
        for block in range(first_block, last_block + 1)
    ]
    offset = first_frame - first_block * PHASE_BLOCK_FRAMES
    return np.concatenate(blocks)[offset : offset + n_frames] * np.float32(2 * np.pi)


class Block(nn.Module):
    """A one-dimensional ConvNeXt block (Liu et al. 2022, as in Vocos): x (B, T, C) -> (B, T, C)."""

    def __init__(self, width: int):
        super().__init__()
        self.mix_time = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 3 * width)
        self.narrow = nn.Linear(3 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.mix_time(x.transpose(1, 2)).transpose(1, 2))
        return x + self.narrow(functional.gelu(self.widen(y)))


class Bottlenecked(NamedTuple):
    """latents (B, T, D_LATENT); the term that the bottleneck adds to the loss, and what it is before its weight."""

    latents: Tensor
    penalty: Tensor
    unweighted: Tensor
    codes: Tensor | None = None


class SpectrogramNet(nn.Module):
    """Log-magnitudes to what the bottleneck reads, and from latents back: two stacks of blocks around a bottleneck.

    `bottleneck` offers `d_in` (what it reads of each frame), `forward(z (B, T, d_in), generator)` -> Bottlenecked,
    and for what is not learnt by gradient `start(z, generator)`, called before the first step, and
    `learn(z, codes, generator)`, called after each.
    """

    def __init__(self, bottleneck: nn.Module, width: int, n_blocks: int):
        super().__init__()
        self.bottleneck = bottleneck
        self.context_frames = n_blocks * (KERNEL // 2)
        self.down = nn.Sequential(
            nn.Linear(N_BINS, width),
            *(Block(width) for _ in range(n_blocks)),
            nn.LayerNorm(width),
            nn.Linear(width, bottleneck.d_in),
        )
        self.up = nn.Sequential(
            nn.Linear(D_LATENT, width),
            *(Block(width) for _ in range(n_blocks)),
            nn.LayerNorm(width),
            nn.Linear(width, N_BINS),
        )
        # Log-magnitudes lie between -4.6 (silence) and 5.5 (full scale): the network works around nought.
        self.centre, self.scale = -2.0, 2.0

    def blocks(self) -> list[Block]:
        """The residual blocks of both stacks."""
        return [module for module in self.modules() if isinstance(module, Block)]

    def encode(self, compressed: Tensor) -> Tensor:
        """compressed (B, T, N_BINS) -> z (B, T, d_in) for the bottleneck."""
        return self.down((compressed - self.centre) / self.scale)

    def decode(self, latents: Tensor) -> Tensor:
        """latents (B, T, D_LATENT) -> compressed (B, T, N_BINS)."""
        return self.up(latents) * self.scale + self.centre


class SpectrogramCodec:
    """An Encoder around a trained SpectrogramNet. A subclass says which latent is read off the bottleneck."""

    sample_rate_hz = SAMPLE_RATE_HZ
    n_channels = 1
    d_latent = D_LATENT
    hop_samples = HOP
    geometry = FrameGeometry(SAMPLE_RATE_HZ, HOP)

    def __init__(self, name: str, net: SpectrogramNet, device: str, chunk_frames: int = CHUNK_FRAMES):
        self.name = name
        self.net = net.to(device).eval().requires_grad_(False)
        self.device = device
        self.chunk_frames = chunk_frames

    def latents_of(self, z: Tensor) -> Tensor:
        """What the bottleneck makes of z (..., T, d_in): (..., T, d)."""
        raise NotImplementedError

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """audio (1, n_samples) float32 -> latents (ceil(n_samples / HOP), D_LATENT) float32; contract.Encoder."""
        return self.encode_batch([audio])[0]

    def encode_batch(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The same for many recordings of any lengths, side by side."""
        audios = [checked_audio(self, audio) for audio in audios]
        # Two frames more than the network reaches: those whose window would run over the edge of the piece.
        reach = self.net.context_frames + -(-PADDING // HOP)
        return encode_in_pieces(self._encode_pieces, audios, HOP, Reach(reach, reach), self.chunk_frames)

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """latents (n_frames, D_LATENT) float32, from the encoder or not -> audio (1, n_frames · HOP) float32."""
        latents = checked_latents(self, latents)
        context_frames = self.net.context_frames + (N_PHASE_ITERATIONS + 1) * OVERLAPPING_FRAMES
        return decode_in_chunks(self._decode_piece, latents, HOP, self.chunk_frames, context_frames)

    @torch.inference_mode()
    def _encode_pieces(self, audio: np.ndarray) -> np.ndarray:
        """audio (B, 1, n) -> (B, T, d)."""
        compressed = compress(magnitudes(torch.from_numpy(audio[:, 0]).to(self.device)))
        return self.latents_of(self.net.encode(compressed)).cpu().numpy()

    @torch.inference_mode()
    def _decode_piece(self, latents: np.ndarray, first_frame: int) -> np.ndarray:
        compressed = self.net.decode(torch.from_numpy(latents).to(self.device)[None])[0]
        # Steered latents may ask for anything; no bin of audio within ±1 exceeds the window's sum, N_FFT / 2.
        magnitude = expand(compressed.clamp_max(float(np.log(N_FFT / 2))))
        return griffin_lim(magnitude, first_frame)[None].cpu().numpy()


def write_weights(path: str | Path, state: dict[str, Tensor], training: dict) -> None:
    """Write a state dict, and in the file's header how it came about: `training` has at least module and options."""
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in state.items()}
    with replacing(path) as temporary:
        # One key: the order of several in the header is not fixed, and the file would differ from run to run.
        temporary.write_bytes(as_bytes(tensors, metadata={"training": json.dumps(training, sort_keys=True)}))


def read_weights(path: str | Path, module: str) -> tuple[dict[str, Tensor], dict]:
    """State dict and training options of a codec of `module`. Raises ValueError naming the file if it is not one."""
    try:
        with safe_open(path, framework="pt") as weights:
            training = json.loads(weights.metadata()["training"])
            state = {key: weights.get_tensor(key) for key in weights.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no trained codec ({error}); delete it and run again") from error
    if training["module"] != module:
        raise ValueError(f"{path} holds a codec of {training['module']}, not of {module}")
    return state, training["options"]
