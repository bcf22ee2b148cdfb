"""DiffRhythm-VAE (Ning et al. 2025, arXiv 2503.01183), the TorchScript file that its authors released.

https://huggingface.co/ASLP-lab/DiffRhythm-vae. An Oobleck autoencoder (Evans et al. 2024), convolutions alone: a frame
sees a bounded stretch to either side, so recordings of any length are worked through in pieces with the result of the
whole. It is run from the file as it is: rebuilt layer by layer, with its weight norms folded, it is no more than 5 %
faster on a CPU and needs the same memory.
"""

import warnings
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sonolens import plugins
from sonolens.encoders.checks import checked_audio, checked_latents, checked_sound
from sonolens.encoders.chunking import decode_in_chunks
from sonolens.encoders.contract import Encoder
from sonolens.encoders.geometry import FrameGeometry
from sonolens.encoders.networks import network_dtype
from sonolens.encoders.pieces import Reach, encode_in_pieces
from sonolens.encoders.torch_archive import check_archive, unreadable

N_CHANNELS = 2
D_LATENT = 64
HOP = 2048
# Frame i reads the samples from 2048·i - 14885 to 2048·i + 16932
ENCODER_REACH = Reach(8, 8)
DECODER_REACH_FRAMES = 10
KIND = "TorchScript"
# The smallest scale of a posterior, for numbers' sake
SCALE_FLOOR = 1e-4


class DiffRhythmVae:
    """The latent is the posterior's mean, or a sample of it that follows from the seed and the recording alone."""

    name = "diffrhythm_vae"
    n_channels = N_CHANNELS
    d_latent = D_LATENT
    hop_samples = HOP

    def __init__(
        self,
        network: torch.jit.ScriptModule,
        geometry: FrameGeometry,
        options: dict,
        device: str,
        dtype: torch.dtype,
    ):
        self.network, self.device, self.dtype = network, device, dtype
        self.geometry = geometry
        self.sample_rate_hz = geometry.sample_rate_hz
        self.latent, self.sample_seed = options["latent"], options["sample_seed"]
        self.chunk_frames = options["chunk_frames"]
        # no gain on a CPU: one clip's layers are larger than any cache already
        self.batches_clips = torch.device(device).type != "cpu"

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """audio (2, n_samples) float32 -> latents (ceil(n_samples / 2048), 64) float32; contract.Encoder."""
        return self.encode_batch([audio])[0]

    def encode_batch(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The same for many recordings of any lengths, side by side."""
        audios = [checked_audio(self, audio) for audio in audios]
        # so that recordings of as many frames are of one length
        whole_hops = [np.pad(audio, ((0, 0), (0, -audio.shape[1] % HOP))) for audio in audios]
        together = [whole_hops] if self.batches_clips else [[audio] for audio in whole_hops]
        posteriors = [
            posterior
            for group in together
            for posterior in encode_in_pieces(self._encode_piece, group, HOP, ENCODER_REACH, self.chunk_frames)
        ]
        if self.latent == "mean":
            return [np.ascontiguousarray(posterior[:, :D_LATENT]) for posterior in posteriors]
        return [self._sample(posterior, audio) for posterior, audio in zip(posteriors, audios, strict=True)]

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """latents (n_frames, 64) float32, from the encoder or not -> audio (2, n_frames · 2048) float32.

        Raises ValueError for latents so large that their audio is not finite.
        """
        latents = checked_latents(self, latents)
        audio = decode_in_chunks(self._decode_piece, latents, HOP, self.chunk_frames, DECODER_REACH_FRAMES)
        return checked_sound(self, audio, latents)

    def _sample(self, posterior: np.ndarray, audio: np.ndarray) -> np.ndarray:
        """posterior (T, 128), means beside unbounded scales, of `audio` -> (T, 64)."""
        mean, scale = posterior[:, :D_LATENT], posterior[:, D_LATENT:]
        # Drawn for the whole recording at once: neither the pieces nor what else is encoded moves it
        rng = np.random.default_rng([self.sample_seed, zlib.crc32(audio.tobytes())])
        return mean + (softplus(scale) + np.float32(SCALE_FLOOR)) * rng.standard_normal(mean.shape, dtype=np.float32)

    @torch.inference_mode()
    def _encode_piece(self, audios: np.ndarray) -> np.ndarray:
        """audios (B, 2, n) of whole hops -> means beside scales (B, n / 2048, 128)."""
        return self._run(self.network.encode_export, audios).transpose(0, 2, 1)

    @torch.inference_mode()
    def _decode_piece(self, latents: np.ndarray, first_frame: int) -> np.ndarray:
        """latents (T, 64) -> audio (2, T · 2048); nothing depends on first_frame."""
        return self._run(self.network.decode_export, np.ascontiguousarray(latents.T)[None])[0]

    def _run(self, method: Callable[[Tensor], Tensor], x: np.ndarray) -> np.ndarray:
        return method(torch.from_numpy(x).to(self.device, self.dtype)).float().cpu().numpy()


def softplus(x: np.ndarray) -> np.ndarray:
    """log(1 + e^x)."""
    return np.logaddexp(x, np.float32(0))


def read_network(path: str | Path, device: str, dtype: torch.dtype) -> torch.jit.ScriptModule:
    """The network in a TorchScript file, frozen.

    Raises ValueError, naming the file, if it is damaged or of another kind, and if the network does other things.
    """
    check_archive(path, KIND)
    try:
        with warnings.catch_warnings():
            # torch advises another format for new files; it reads this one
            warnings.simplefilter("ignore", DeprecationWarning)
            network = torch.jit.load(str(path), map_location=device)
    except RuntimeError as error:
        raise ValueError(unreadable(path, KIND, error)) from error
    absent = [method for method in ("encode_export", "decode_export") if not hasattr(network, method)]
    if absent:
        raise ValueError(f"{path} holds a network without {' and '.join(absent)}: it is no DiffRhythm-VAE")
    network = network.to(dtype).eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    n_frames = 2
    _check_shapes(
        path, network.encode_export, (1, N_CHANNELS, n_frames * HOP), (1, 2 * D_LATENT, n_frames), device, dtype
    )
    _check_shapes(path, network.decode_export, (1, D_LATENT, n_frames), (1, N_CHANNELS, n_frames * HOP), device, dtype)
    return network


@torch.inference_mode()
def _check_shapes(
    path: str | Path,
    method: Callable[[Tensor], Tensor],
    given: tuple[int, ...],
    expected: tuple[int, ...],
    device: str,
    dtype: torch.dtype,
) -> None:
    """A trial of one method on zeros."""
    does = f"{path}: {method.name} of {given} in {dtype}"
    try:
        result = method(torch.zeros(given, device=device, dtype=dtype))
    except (RuntimeError, torch.jit.Error) as error:
        raise ValueError(f"{does} fails: {str(error).strip().splitlines()[-1]}") from error
    shape = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
    if shape != expected:
        raise ValueError(f"{does} gives {shape}, expected {expected}: it is no DiffRhythm-VAE")
    if not torch.isfinite(result).all():
        raise ValueError(f"{does} gives values that are not finite: its weights are damaged")


def load(weights: list[str], options: dict, device: str) -> Encoder:
    """DiffRhythm-VAE from its released file. Raises ValueError, naming it, for anything else."""
    (path,) = weights
    dtype = network_dtype(options["precision"], device)
    geometry = FrameGeometry.of(plugins.card("encoders", "diffrhythm_vae"))
    return DiffRhythmVae(read_network(path, device, dtype), geometry, options, device, dtype)
