"""VGGish (Hershey et al. 2017) as an embedding, with the weights that torchvggish released as vggish-10086976.pth.

https://github.com/tensorflow/models/tree/master/research/audioset/vggish, https://github.com/harritaylor/torchvggish.
Neither the PCA and quantisation of AudioSet's features nor the last ReLU, as in Gui et al. 2023 (fadtk): behind it half
of the numbers would be zero, and further from Gaussian.
"""

from sonolens.encoders import huge_pages  # noqa: F401 (must come before the first tensor)

# isort: split
import numpy as np
import torch
from torch import Tensor, nn

from sonolens.device import torch_device
from sonolens.embeddings.batches import in_batches, windows_of
from sonolens.embeddings.contract import Embedding, checked_audio, checked_weights
from sonolens.encoders.checkpoints import load_strictly, read_checkpoint

SAMPLE_RATE_HZ = 16000
FRAME_SAMPLES, FRAME_HOP_SAMPLES, N_FFT = 400, 160, 512
N_FRAMES = 96  # of an example, 0.96 s
N_MELS, LOWEST_HZ, HIGHEST_HZ = 64, 125.0, 7500.0
LOG_OFFSET = 0.01
WINDOW_SAMPLES = (N_FRAMES - 1) * FRAME_HOP_SAMPLES + FRAME_SAMPLES
HOP_SAMPLES = N_FRAMES * FRAME_HOP_SAMPLES
D_EMBEDDING = 128
BATCH_WINDOWS = {"cpu": 8, "cuda": 64}
# Channels of the convolutions, between the poolings
CHANNELS = ((64,), (128,), (256, 256), (512, 512))


class VggishNetwork(nn.Module):
    """The network with the keys of the released file."""

    def __init__(self):
        super().__init__()
        layers, n_channels = [], 1
        for block in CHANNELS:
            for n_out in block:
                layers += [nn.Conv2d(n_channels, n_out, 3, padding=1), nn.ReLU()]
                n_channels = n_out
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        # what four poolings leave of an example, channels last
        n_left = n_channels * (N_FRAMES >> len(CHANNELS)) * (N_MELS >> len(CHANNELS))
        self.embeddings = nn.Sequential(
            nn.Linear(n_left, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, D_EMBEDDING)
        )

    def forward(self, examples: Tensor) -> Tensor:
        """Log-mel spectrograms (B, 96, 64) -> (B, 128)."""
        return self.embeddings(self.features(examples[:, None]).permute(0, 2, 3, 1).flatten(1))


def mel_from_hz(frequency_hz: np.ndarray) -> np.ndarray:
    """HTK's mel scale."""
    return 1127.0 * np.log1p(np.asarray(frequency_hz) / 700.0)


def mel_weights() -> np.ndarray:
    """The share of each bin of a spectrum in each band, (257, 64): triangles along mel, not along Hz; 0 at 0 Hz."""
    edges = np.linspace(mel_from_hz(LOWEST_HZ), mel_from_hz(HIGHEST_HZ), N_MELS + 2)
    bins = mel_from_hz(np.arange(N_FFT // 2 + 1) * SAMPLE_RATE_HZ / N_FFT)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


class VggishEmbedding:
    """Windows of 0.96 s (15600 samples at 16 kHz, as frames reach over their hop), which do not overlap otherwise.

    Silence is a sound like others: the same 128 numbers each time, of log 0.01 in all bands.
    """

    name, sample_rate_hz, d_embedding = "vggish", SAMPLE_RATE_HZ, D_EMBEDDING

    def __init__(self, network: VggishNetwork, device: torch.device):
        self.network, self.device = network.eval().requires_grad_(False).to(device), device
        # periodic, as it is not np.hanning
        hann = 0.5 - 0.5 * torch.cos(2 * torch.pi * torch.arange(FRAME_SAMPLES, dtype=torch.float64) / FRAME_SAMPLES)
        self.hann, self.mel_weights = hann.float().to(device), torch.from_numpy(mel_weights()).float().to(device)

    def embed(self, audio: np.ndarray) -> np.ndarray:
        """audio (n_samples,) at 16 kHz -> (n_windows, 128) float32; contract.Embedding."""
        windows = windows_of(checked_audio(self, audio, WINDOW_SAMPLES), WINDOW_SAMPLES, HOP_SAMPLES)
        return in_batches(
            lambda batch: self.network(self.log_mel(batch)),
            windows,
            np.arange(len(windows)),
            BATCH_WINDOWS,
            self.device,
        )

    def log_mel(self, windows: Tensor) -> Tensor:
        """windows (B, 15600) -> log-mel spectrograms (B, 96, 64): of magnitudes, natural logarithm."""
        frames = windows.unfold(1, FRAME_SAMPLES, FRAME_HOP_SAMPLES)
        magnitude = torch.fft.rfft(frames * self.hann, N_FFT).abs()  # zeros follow the frame
        return torch.log(magnitude @ self.mel_weights + LOG_OFFSET)


def load(weights: list[str], options: dict, device: str) -> Embedding:
    """VGGish from its released file, vggish-10086976.pth.

    Raises ValueError, naming the file and the keys, if it holds other weights or cannot be read.
    """
    path = checked_weights("vggish", weights, "the file vggish-10086976.pth")
    state = read_checkpoint(path)
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ValueError(f"{path} is no state dict of torch, as vggish-10086976.pth is one")
    with torch.device("meta"):
        network = VggishNetwork()
    load_strictly(network, state, path)
    where = torch_device(device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # devices agree to rounding
    return VggishEmbedding(network.float(), where)
