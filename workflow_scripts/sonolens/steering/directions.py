"""Where the directions come from that are not the probe's: means of classes, and chance."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from safetensors.torch import load_file
from safetensors.torch import save as as_bytes
from torch import Tensor

from sonolens.device import torch_device
from sonolens.files import read_json, replacing, write_json
from sonolens.labels import bins
from sonolens.labels.bins import Bins
from sonolens.latents import LatentStore, ScaledFrames, Scaling, split_runs
from sonolens.probe_cell import read_labelled
from sonolens.probes import Inputs, Labelled, class_mean_inputs
from sonolens.sae import weights
from sonolens.steering import choosing
from sonolens.steering.methods import Method


def measure(
    inputs: Mapping[str, str | list[str]],
    outputs: Mapping[str, str],
    attribute: str,
    wanted: Sequence[str] | int,
    device: str,
) -> None:
    """Write the classes to steer to, and for each the difference of class means in code space and in latent space.

    The difference is the mean over the train frames of class k less the mean over all that have a class. inputs:
    latents, frames, manifests, scaling, labels, bins, model. outputs: classes (JSON), directions (safetensors: code
    (K', F) and latent (K', D)). Raises ValueError naming the class if one does not occur in the train split.
    """
    where = torch_device(device)
    store, scaling = LatentStore(inputs["latents"]), Scaling.read(inputs["scaling"])
    runs, class_of_frame = read_labelled(inputs)
    rows = split_runs(runs, "train")
    classes, in_train = bins.read(inputs["bins"]), class_of_frame[rows[:]]
    n_frames = np.bincount(in_train[in_train >= 0], minlength=classes.n_classes)
    indices = choosing.class_indices(wanted, classes, n_frames, attribute)
    _refuse_absent(indices, classes, n_frames, attribute)
    scaled = ScaledFrames(store, rows, scaling)
    model = weights.load(inputs["model"], where)[0].requires_grad_(False)
    tensors = {}
    for space, reads in (("code", model), ("latent", None)):
        means = class_mean_inputs(Inputs(scaled, reads, where), Labelled.of(in_train, classes.n_classes))
        tensors[space] = (means - _overall(means, n_frames))[indices].cpu().contiguous()
    with replacing(outputs["directions"]) as temporary:
        temporary.write_bytes(as_bytes(tensors))
    listed = [
        {
            "index": index,
            "name": classes.class_names[index],
            "centre": None if np.isnan(classes.centres[index]) else float(classes.centres[index]),
            "n_train_frames": int(n_frames[index]),
        }
        for index in indices
    ]
    write_json(outputs["classes"], {"attribute": attribute, "unit": classes.unit, "classes": listed})


def _refuse_absent(indices: list[int], classes: Bins, n_frames: np.ndarray, attribute: str) -> None:
    absent = [classes.class_names[index] for index in indices if not n_frames[index]]
    if absent:
        present = [name for name, n in zip(classes.class_names, n_frames, strict=True) if n]
        raise ValueError(
            f"steering.classes.{attribute}: no frame of the train split is of the class {absent[0]!r}, so that nothing "
            f"leads there; classes that occur: {', '.join(present)}"
        )


def _overall(means: Tensor, n_frames: np.ndarray) -> Tensor:
    """Mean over all frames (F,) from those of the classes (K, F)."""
    share = torch.from_numpy(n_frames / n_frames.sum()).to(means)
    return share @ means


class Directions:
    """Directions of all methods towards one attribute's classes, each as long as the paper's w_k.

    One length for all, so that a factor means the same for every method.
    """

    def __init__(self, code_probe: Tensor, latent_probe: Tensor, means_path: str, classes_path: str, seed: int):
        """code_probe (K, F) and latent_probe (K, D): weights of the two probes."""
        self.classes = read_json(classes_path)["classes"]
        means = load_file(means_path, device=str(code_probe.device))
        indices = [one["index"] for one in self.classes]
        self._found = {
            ("code", "probe"): code_probe[indices],
            ("latent", "probe"): latent_probe[indices],
            ("code", "class_mean"): means["code"],
            ("latent", "class_mean"): means["latent"],
            ("code", "random"): _random(code_probe[indices], seed),
            ("latent", "random"): _random(latent_probe[indices], seed),
        }

    def of(self, method: Method, position: int) -> Tensor:
        """The direction of a method towards the class at `position` in `classes`: (F,) or (D,)."""
        direction = self._found[method.space, method.direction][position]
        return direction * (self._found["code", "probe"][position].norm() / direction.norm())


def _random(like: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(like.shape, generator=generator).to(like)
