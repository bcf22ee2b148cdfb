"""A trained cell with all that steering needs of it, from files."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from sonolens.encoders.geometry import FrameGeometry
from sonolens.files import read_json
from sonolens.labels import bins
from sonolens.labels.bins import Bins
from sonolens.latents import Scaling
from sonolens.sae import weights
from sonolens.sae.model import SparseAutoencoder


class Probe(NamedTuple):
    """A linear classifier of one attribute with its classes; row k of its weights is the control vector of class k."""

    weight: Tensor  # (K, F)
    bias: Tensor  # (K,)
    bins: Bins


class Cell(NamedTuple):
    """An autoencoder, the scaling of what it reads, and its probes by attribute."""

    model: SparseAutoencoder
    scaling: Scaling
    probes: dict[str, Probe]

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return self.model.W_enc.device

    def scaled(self, latents: np.ndarray) -> Tensor:
        """Latents (B, D) of the encoder as the model reads them."""
        return torch.from_numpy(self.scaling.apply(latents)).to(self.device)

    def latents(self, x: Tensor) -> np.ndarray:
        """Scaled latents (B, D) as the encoder's decoder reads them."""
        return self.scaling.invert(x.cpu().numpy())


def load(
    model_path: str | Path,
    probe_paths: Mapping[str, str | Path],
    bins_paths: Mapping[str, str | Path],
    device: str | torch.device = "cpu",
) -> Cell:
    """Read a model and its probes, paths by attribute. Raises ValueError naming the file that does not fit."""
    model, scaling = weights.load(model_path, device)
    probes = {}
    for attribute, path in probe_paths.items():
        probe = read_probe(path, bins_paths[attribute], device)
        if probe.weight.shape[1] != model.n_features:
            raise ValueError(
                f"{path} reads {probe.weight.shape[1]} features and {model_path} has {model.n_features}: they are of "
                "different cells"
            )
        probes[attribute] = probe
    return Cell(model.requires_grad_(False), scaling, probes)


def read_probe(path: str | Path, bins_path: str | Path, device: str | torch.device = "cpu") -> Probe:
    """Read a probe and its classes. Raises ValueError naming the file if it is damaged or of other classes."""
    try:
        tensors = load_file(path, device=str(device))
        weight, bias = tensors["weight"], tensors["bias"]
    except Exception as error:
        raise ValueError(f"{path} is not a probe of this workflow ({error}); delete it and run again") from error
    classes = bins.read(bins_path)
    if len(bias) != classes.n_classes:
        raise ValueError(f"{path} knows {len(bias)} classes and {bins_path} {classes.n_classes}; fit the probe again")
    return Probe(weight, bias, classes)


class Loading(NamedTuple):
    """What a cell.json says of its encoder: how it is loaded, and when its frames are."""

    name: str
    module: str
    options: dict
    weights: list[str]
    geometry: FrameGeometry


def read_loading(path: str | Path) -> Loading:
    """The encoder of a cell.json, as choosing.choose wrote it."""
    stored = read_json(path)
    encoder = stored["loading"]
    geometry = FrameGeometry.of(encoder["geometry"])
    return Loading(stored["encoder"], encoder["module"], encoder["options"], encoder["weights"], geometry)
