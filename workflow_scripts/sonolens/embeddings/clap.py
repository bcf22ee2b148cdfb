"""LAION-CLAP (Wu, Chen, Zhang et al. 2023) as an embedding, by transformers, from a folder of its files."""

from pathlib import Path

from sonolens.encoders import huge_pages  # noqa: F401 (must come before the first tensor)

# isort: split
import numpy as np
import torch
from safetensors import SafetensorError
from transformers import ClapFeatureExtractor, ClapModel

from sonolens.device import torch_device
from sonolens.embeddings.batches import in_batches, windows_of
from sonolens.embeddings.contract import Embedding, checked_audio, checked_weights

FILES = ("config.json", "model.safetensors", "preprocessor_config.json")
SAMPLE_RATE_HZ = 48000
# One by one: a window is 10 s, and keeps a device busy by itself
BATCH_WINDOWS = {"cpu": 1, "cuda": 1}
# The keys that are used of a model
PARTS = ("audio_model.", "audio_projection.")


class ClapEmbedding:
    """Windows of 10 s at 48 kHz, side by side, vectors of length 1; CLAP's words are not used.

    Silence is a sound like others: the same vector each time.
    """

    name, sample_rate_hz = "clap", SAMPLE_RATE_HZ

    def __init__(self, model, extractor, device: torch.device):
        self.audio_model = model.audio_model.float().eval().requires_grad_(False).to(device)
        self.projection = model.audio_projection.float().eval().requires_grad_(False).to(device)
        self.extractor, self.device = extractor, device
        self.d_embedding = model.config.projection_dim
        self.window_samples = extractor.nb_max_samples

    def embed(self, audio: np.ndarray) -> np.ndarray:
        """audio (n_samples,) at 48 kHz -> (n_windows, d_embedding) float32; contract.Embedding."""
        audio = checked_audio(self, audio, self.window_samples)
        windows = windows_of(audio, self.window_samples, self.window_samples)
        return in_batches(self._embed, windows, np.arange(len(windows)), BATCH_WINDOWS, self.device)

    def _embed(self, windows: torch.Tensor) -> torch.Tensor:
        """windows (B, window_samples) -> (B, d_embedding)."""
        given = self.extractor(list(windows.cpu().numpy()), sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        spectrogram = given["input_features"].to(self.device, torch.float32)
        # Said here: the extractor of a fused model calls one window of a batch longer than it is, drawn at random
        is_longer = torch.zeros(len(windows), 1, dtype=torch.bool, device=self.device)
        heard = self.audio_model(input_features=spectrogram, is_longer=is_longer).pooler_output
        return torch.nn.functional.normalize(self.projection(heard), dim=-1)


def load(weights: list[str], options: dict, device: str) -> Embedding:
    """CLAP from a folder that transformers' save_pretrained wrote, as laion/clap-htsat-unfused is one.

    Raises ValueError, naming the folder, for files that are missing, cannot be read or hold other weights.
    """
    folder = Path(checked_weights("clap", weights, f"a folder with {', '.join(FILES)}"))
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder} is no folder of a CLAP of transformers: it lacks {', '.join(missing)}")
    try:
        extractor = ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
        model, found = ClapModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, SafetensorError) as error:
        raise ValueError(f"{folder} cannot be read as a CLAP of transformers ({error})") from error
    # transformers only warns, and fills what is missing with random numbers
    random = sorted(key for key in found["missing_keys"] if key.startswith(PARTS))
    if random:
        keys = "key" if len(random) == 1 else "keys"
        raise ValueError(f"{folder} holds other weights than a CLAP has; {len(random)} {keys} missing: {random[0]}")
    if extractor.sampling_rate != SAMPLE_RATE_HZ:
        raise ValueError(f"{folder} is a CLAP of {extractor.sampling_rate} Hz; this embedding has {SAMPLE_RATE_HZ} Hz")
    return ClapEmbedding(model, extractor, torch_device(device))
