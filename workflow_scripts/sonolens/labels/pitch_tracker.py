"""CREPE as a pitch tracker: torchcrepe's weights, evaluated several times faster and decoded without dither.

torchcrepe.decode adds noise from numpy's global generator to every pitch, and its predict() decodes each batch by
itself; here the same recording gives the same track, whatever the batch.
"""

import contextlib
import functools

import numpy as np
import torch
import torch.nn.functional as F

from sonolens import torchaudio_absent  # noqa: F401 (must come before torchcrepe)
from sonolens.device import torch_device
from sonolens.labels import crepe_decoding, fine

import torchcrepe  # isort: skip

SAMPLE_RATE_HZ = torchcrepe.SAMPLE_RATE
WINDOW_SAMPLES = torchcrepe.WINDOW_SIZE
_N_LAYERS = 6
_STRIDE = 4  # of the first layer


class FastCrepe(torch.nn.Module):
    """torchcrepe.Crepe for evaluation: the same function to rounding, 3.4 times as fast on one core (tiny).

    On CPUs oneDNN is slow at convolutions of one channel along the height. So time lies along the width, channels
    last, and the first layer's four-fold stride becomes four channels. Layers pool before ReLU and batch norm, on
    half the samples; a max commutes with the norm only where its scale is positive.
    """

    def __init__(self, crepe: torchcrepe.Crepe):
        super().__init__()
        for layer in range(_N_LAYERS):
            convolution, norm = getattr(crepe, f"conv{layer + 1}"), getattr(crepe, f"conv{layer + 1}_BN")
            weight = convolution.weight.detach()[..., 0]  # (out, in, kernel)
            if layer == 0:
                weight = weight.unflatten(-1, (-1, _STRIDE)).squeeze(1).transpose(1, 2)
            scale = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
            shift = (norm.bias - norm.running_mean * scale).detach()
            self.register_buffer(f"weight{layer}", weight[:, :, None].contiguous(memory_format=torch.channels_last))
            self.register_buffer(f"bias{layer}", convolution.bias.detach())
            self.register_buffer(f"scale{layer}", scale[:, None, None])
            self.register_buffer(f"shift{layer}", shift[:, None, None])
        self.pools_first = [bool((getattr(self, f"scale{layer}") > 0).all()) for layer in range(_N_LAYERS)]
        self.classifier = crepe.classifier

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalised frames (B, 1024) -> probability of each of the 360 pitch bins (B, 360)."""
        x = F.pad(frames, (254, 254))
        x = x.view(len(x), -1, 1, _STRIDE).permute(0, 3, 2, 1)  # (B, 4, 1, time), channels last as it lies
        for layer in range(_N_LAYERS):
            if layer:
                x = F.pad(x, (31, 32))
            x = F.conv2d(x, getattr(self, f"weight{layer}"), getattr(self, f"bias{layer}"))
            scale, shift = getattr(self, f"scale{layer}"), getattr(self, f"shift{layer}")
            if self.pools_first[layer]:
                x = torch.addcmul(shift, torch.maximum(x[..., ::2], x[..., 1::2]).relu_(), scale)
            else:
                x = torch.addcmul(shift, x.relu_(), scale)
                x = torch.maximum(x[..., ::2], x[..., 1::2])
        return torch.sigmoid(self.classifier(x[:, :, 0].transpose(1, 2).flatten(1)))


@functools.lru_cache(maxsize=1)
def network(model: str, device: str) -> tuple[FastCrepe, torch.device]:
    """CREPE of one size ("full" or "tiny") on `device`, read once per process."""
    where = torch_device(device)
    torchcrepe.load.model("cpu", model)
    return FastCrepe(torchcrepe.infer.model).eval().to(where), where


def probabilities(audio: np.ndarray, n_frames: int, options: dict, device: str) -> np.ndarray:
    """Probability of each pitch bin, (n_frames, 360) float32, of audio (n_samples,) at 16 kHz; 0 below the level floor.

    Silent frames do not go through the network. Batches have one size, the last filled up: sums are split alike, so
    a frame's figures do not depend on how many there are.
    """
    net, where = network(options["model"], device)
    found = np.zeros((n_frames, torchcrepe.PITCH_BINS), np.float32)
    first = 0
    for block in fine.blocks(audio, SAMPLE_RATE_HZ, WINDOW_SAMPLES, n_frames):
        windows = np.lib.stride_tricks.sliding_window_view(block, WINDOW_SAMPLES)[:: SAMPLE_RATE_HZ // 100]
        mean_square = np.einsum("tn,tn->t", windows, windows) / WINDOW_SAMPLES
        sounding = np.flatnonzero(fine.rms_dbfs(mean_square) >= options["level_floor_dbfs"])
        for start in range(0, len(sounding), options["batch_frames"]):
            batch = sounding[start : start + options["batch_frames"]]
            frames = np.zeros((options["batch_frames"], WINDOW_SAMPLES), np.float32)
            frames[: len(batch)] = windows[batch]
            with torch.inference_mode(), _exact_on_gpus():
                given = net(_normalised(torch.from_numpy(frames).to(where)))
            found[first + batch] = given[: len(batch)].cpu().numpy()
        first += len(windows)
    return found


def _exact_on_gpus() -> contextlib.AbstractContextManager:
    """No TF32 in cuDNN's convolutions, and none that varies between runs: devices agree to rounding."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def _normalised(frames: torch.Tensor) -> torch.Tensor:
    frames = frames - frames.mean(dim=1, keepdim=True)  # as torchcrepe.preprocess does
    return frames / frames.std(dim=1, keepdim=True).clamp(min=1e-10)


def track(audio: np.ndarray, n_frames: int, options: dict, device: str) -> tuple[np.ndarray, np.ndarray]:
    """f0 in Hz and periodicity (0 to 1) of each fine frame, both (n_frames,), of audio (n_samples,) at 16 kHz.

    Every frame has an f0; one that is silent has periodicity 0.
    """
    found = probabilities(audio, n_frames, options, device)
    return crepe_decoding.decode(found, options["fmin_hz"], options["fmax_hz"], options["decoder"])
