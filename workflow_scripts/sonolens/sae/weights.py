"""A trained autoencoder on disk: its weights, and the two constants that scale what it reads."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save as as_bytes

from sonolens.files import replacing
from sonolens.latents import Scaling
from sonolens.sae.model import SparseAutoencoder


def save(model: SparseAutoencoder, scaling: Scaling, path: str | Path) -> None:
    """Weights and the two scaling constants as safetensors, (latent_mean (D,), latent_scale ())."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    tensors["latent_mean"] = torch.from_numpy(scaling.mean.copy())
    tensors["latent_scale"] = torch.tensor(scaling.scale, dtype=torch.float64)
    with replacing(path) as temporary:
        temporary.write_bytes(as_bytes(tensors))


def load(path: str | Path, device: str | torch.device = "cpu") -> tuple[SparseAutoencoder, Scaling]:
    """What `save` wrote. Raises ValueError naming the file if it is no such model."""
    try:
        with safe_open(path, framework="pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a mapping)
        scaling = Scaling(tensors.pop("latent_mean").numpy(), float(tensors.pop("latent_scale")))
        model = SparseAutoencoder(tensors["W_dec"].shape[0], tensors["W_dec"].shape[1])
        model.load_state_dict(tensors)
    except Exception as error:
        message = f"{path} is not a sparse autoencoder of this workflow ({error}); delete it and run again"
        raise ValueError(message) from error
    return model.to(device), scaling
