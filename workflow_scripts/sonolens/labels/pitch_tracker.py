"""CREPE as a pitch tracker: torchcrepe's weights, evaluated several times faster and decoded without dither.

torchcrepe.decode adds noise from numpy's global generator to every pitch, and its predict() decodes each batch by
itself; here a recording gives the same track to the last bit, on one kind of device, whatever is labelled with it.
"""

import functools

from sonolens import torchaudio_absent  # noqa: F401 (must come before torchcrepe)
from sonolens.encoders import huge_pages  # noqa: F401 (must come before the first tensor)

# isort: split
import numpy as np
import torch
import torchcrepe

from sonolens.device import torch_device
from sonolens.labels import crepe_decoding, crepe_network, fine

SAMPLE_RATE_HZ = torchcrepe.SAMPLE_RATE
WINDOW_SAMPLES = torchcrepe.WINDOW_SIZE
# Frames through the network at once. No option: in a batch of another size sums may be split otherwise, and labels
# would differ in the last bit. With the full model they take 0.2 GB on a CPU, 1.5 GB on a GPU.
BATCH_FRAMES = {"cpu": 64, "cuda": 512}
# Frames whose windows are cut on the device at once, and whose probabilities come back together
BLOCK_FRAMES = 6 * 512


@functools.lru_cache(maxsize=1)
def network(model: str, device: str) -> tuple[crepe_network.FastCrepe, torch.device]:
    """CREPE of one size ("full" or "tiny") on `device`, read once per process."""
    where = torch_device(device)
    torch.backends.cuda.matmul.allow_tf32 = False  # devices agree to rounding
    torchcrepe.load.model("cpu", model)
    return crepe_network.FastCrepe(torchcrepe.infer.model).eval().to(where), where


def probabilities(audio: np.ndarray, n_frames: int, options: dict, device: str) -> np.ndarray:
    """Probability of each pitch bin, (n_frames, 360) float32, of audio (n_samples,) at 16 kHz; 0 below the level floor.

    Silent frames do not go through the network. What a frame gets depends on its recording alone: batches hold frames
    of one recording and have one size, the last filled up.
    """
    net, where = network(options["model"], device)
    found, first = np.zeros((n_frames, torchcrepe.PITCH_BINS), np.float32), 0
    for stretch in fine.blocks(audio, SAMPLE_RATE_HZ, WINDOW_SAMPLES, n_frames, BLOCK_FRAMES):
        windows = fine.windows(stretch, SAMPLE_RATE_HZ, WINDOW_SAMPLES)
        level_dbfs = fine.rms_dbfs(fine.mean_square(windows))
        sounding = np.flatnonzero(level_dbfs >= options["level_floor_dbfs"])
        if len(sounding):
            found[first + sounding] = _in_batches(net, torch.from_numpy(stretch).to(where), sounding)
        first += len(windows)
    return found


def _in_batches(net: crepe_network.FastCrepe, stretch: torch.Tensor, frames: np.ndarray) -> np.ndarray:
    """What the network gives of some `frames` (N,) of a stretch of audio, which lies on its device: (N, 360)."""
    windows = stretch.unfold(0, WINDOW_SAMPLES, SAMPLE_RATE_HZ // fine.FINE_FRAMES_PER_S)
    size = BATCH_FRAMES[stretch.device.type]
    filled = np.resize(frames, -(-len(frames) // size) * size)  # repeats them
    with torch.inference_mode():
        batches = torch.from_numpy(filled).to(stretch.device).split(size)
        given = torch.cat([net(crepe_network.normalised(windows[batch])) for batch in batches])
    return given[: len(frames)].cpu().numpy()


def track(audio: np.ndarray, n_frames: int, options: dict, device: str) -> tuple[np.ndarray, np.ndarray]:
    """f0 in Hz and periodicity (0 to 1) of each fine frame, both (n_frames,), of audio (n_samples,) at 16 kHz.

    Every frame has an f0; one that is silent has periodicity 0.
    """
    found = probabilities(audio, n_frames, options, device)
    return crepe_decoding.decode(found, options["fmin_hz"], options["fmax_hz"], options["decoder"])
