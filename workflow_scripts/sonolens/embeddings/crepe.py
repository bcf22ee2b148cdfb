"""CREPE (Kim et al. 2018) as an embedding: the output of its fifth layer, torchcrepe.embed's, with its weights.

The sixth layer, the last one, holds what a linear map needs to tell the pitch and little else; the fifth still tells
sounds of one pitch apart, and is the one that others compare sounds by (Engel et al. 2020, "Self-supervised Pitch
Detection by Inverse Audio Synthesis").
"""

from sonolens import torchaudio_absent  # noqa: F401 (must come before torchcrepe)
from sonolens.encoders import huge_pages  # noqa: F401 (must come before the first tensor)

# isort: split
import numpy as np
import torch
import torchcrepe

from sonolens.device import torch_device
from sonolens.embeddings.batches import in_batches, windows_of
from sonolens.embeddings.contract import Embedding, checked_audio
from sonolens.labels import crepe_network, fine

WINDOW_SAMPLES = torchcrepe.WINDOW_SIZE
D_EMBEDDING = {"tiny": 256, "full": 2048}
N_LAYERS = 5
BATCH_WINDOWS = {"cpu": 64, "cuda": 512}


class FifthLayer(crepe_network.FastCrepe):
    """CREPE as far as the fifth layer, the same as torchcrepe.Crepe.embed to rounding."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """windows (B, 1024), of any level -> (B, 8 · channels), in the order of torchcrepe: channels, then time."""
        return self.layers(crepe_network.normalised(windows), N_LAYERS).permute(1, 2, 0).flatten(1)


class CrepeEmbedding:
    """Windows of 64 ms at 16 kHz, hop_samples apart; those below the level floor are left out.

    CREPE divides each window by its standard deviation, so that a window of dither would count as a loud noise.
    Silence alone gives no embedding, (0, d_embedding). For the same reason a change of level is not seen.
    """

    sample_rate_hz = torchcrepe.SAMPLE_RATE

    def __init__(self, network: FifthLayer, options: dict, device: torch.device):
        self.name = f"crepe_{options['model']}"
        self.d_embedding = D_EMBEDDING[options["model"]]
        self.network, self.device = network.eval().to(device), device
        self.hop_samples, self.level_floor_dbfs = options["hop_samples"], options["level_floor_dbfs"]

    def embed(self, audio: np.ndarray) -> np.ndarray:
        """audio (n_samples,) at 16 kHz -> (n_windows that sound, d_embedding) float32; contract.Embedding."""
        windows = windows_of(checked_audio(self, audio, WINDOW_SAMPLES), WINDOW_SAMPLES, self.hop_samples)
        sounding = np.flatnonzero(fine.rms_dbfs(fine.mean_square(windows)) >= self.level_floor_dbfs)
        if not len(sounding):
            return np.zeros((0, self.d_embedding), np.float32)
        return in_batches(self.network, windows, sounding, BATCH_WINDOWS, self.device)


def load(weights: list[str], options: dict, device: str) -> Embedding:
    """CREPE of the size that the options name, from inside the package torchcrepe.

    Raises ValueError if there are `weights`: it would not use them.
    """
    if weights:
        raise ValueError(f"the embedding crepe has its weights inside torchcrepe; leave out `weights`: {weights}")
    torch.backends.cuda.matmul.allow_tf32 = False  # devices agree to rounding
    torchcrepe.load.model("cpu", options["model"])
    return CrepeEmbedding(FifthLayer(torchcrepe.infer.model), options, torch_device(device))
