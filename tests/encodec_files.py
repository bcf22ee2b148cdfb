"""Files as the authors of EnCodec released them, with weights that any implementation can rebuild."""

import hashlib
from pathlib import Path

import torch

from sonolens import torchaudio_absent  # noqa: F401 (must come before encodec)

# isort: split
from encodec import EncodecModel

from deterministic_weights import fill
from sonolens.encoders.networks import former_weight_norm

BUILD = {"24khz": EncodecModel.encodec_model_24khz, "48khz": EncodecModel.encodec_model_48khz}


def upstream(model: str) -> EncodecModel:
    """The package's own model with those weights."""
    with former_weight_norm():
        built = BUILD[model](pretrained=False).eval()
    state = built.state_dict()
    for key, tensor in state.items():
        tensor.copy_(torch.from_numpy(fill(key, tuple(tensor.shape))))
        # what the last convolution gives should be of the size of the codes, or they all are the same
        if key.startswith("encoder.model.15.") and key.endswith("weight_g"):
            tensor.mul_(4)
    return built


def write(folder: Path, model: str) -> Path:
    """`encodec_<model>-<first eight digits of its sha256>.th`: a plain state dict."""
    temporary = folder / "state.th"
    torch.save(upstream(model).state_dict(), temporary)
    digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    return temporary.rename(folder / f"encodec_{model}-{digest[:8]}.th")
