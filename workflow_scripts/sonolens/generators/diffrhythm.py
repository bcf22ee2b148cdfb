"""DiffRhythm (Ning et al. 2025, arXiv 2503.01183) with the transformers that its authors released, without lyrics.

https://huggingface.co/ASLP-lab. It generates latents of DiffRhythm-VAE from noise, all frames at once, under the
embedding of a style by MuQ-MuLan (Zhu et al. 2025, arXiv 2501.01108).
"""

import pickle
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sonolens.encoders.checkpoints import load_strictly
from sonolens.encoders.networks import frozen, network_dtype
from sonolens.encoders.torch_archive import check_archive, unreadable
from sonolens.generators.contract import Generator
from sonolens.generators.diffrhythm_prompts import write_prompts  # noqa: F401  (offered as contract.Generator says)
from sonolens.generators.transformer import FlowTransformer, Sizes

KIND = "a checkpoint of torch"
PREFIX = "transformer."
# Frames that a network was made for; only that of whole songs is told how long they are
MAX_FRAMES, MAX_FRAMES_OF_SONGS = 2048, 6144
# Buffers that follow from sizes alone; other versions of the authors' code save them
BUFFERS = ("freqs_cis", "inv_freq")


class DiffRhythm:
    """The released flow; contract.Generator. Its latents are the encoder's own numbers, at every time."""

    name = "diffrhythm"

    def __init__(self, network: FlowTransformer, negative_style: Tensor, n_frames: int, guidance: float, device: str):
        """network: frozen, on `device`; negative_style (1, d_condition): what guidance leads away from."""
        self.network, self.negative_style = network, negative_style.to(device)
        self.n_frames, self.guidance, self.device = n_frames, guidance, device
        self.d_latent, self.d_condition = network.sizes.d_latent, network.sizes.d_condition
        self.dtype = network.proj_out.weight.dtype
        with torch.no_grad():
            self.words = network.prepare(torch.zeros(1, n_frames, dtype=torch.long, device=device))

    @torch.no_grad()
    def velocity(self, x: Tensor, t: float, condition: Tensor) -> Tensor:
        """x (B, n_frames, d_latent) float32 at time t under condition (B, d_condition) -> guided velocity like x.

        v_c + g (v_c − v_null), v_null being under the negative style. Raises ValueError for other shapes.
        """
        self._check(x, condition)
        n_rows = len(x)
        here = x.to(self.device, self.dtype)
        styles = torch.cat([condition.to(self.device), self.negative_style.expand(n_rows, -1)]).to(self.dtype)
        both = torch.cat([here, here])
        times = torch.full((2 * n_rows,), t, device=self.device)
        start, duration = torch.zeros_like(times), torch.full_like(times, self.n_frames / self.network.sizes.max_frames)
        found = self.network.velocity(both, torch.zeros_like(both), self.words, times, styles, start, duration)
        wanted, null = found.float().chunk(2)
        return (wanted + self.guidance * (wanted - null)).to(x.device)

    def latents(self, x: Tensor) -> np.ndarray:
        """x (..., d_latent) as it is, float32."""
        return x.float().cpu().numpy()

    def _check(self, x: Tensor, condition: Tensor) -> None:
        expected = (self.n_frames, self.d_latent)
        if x.shape[1:] != expected or condition.shape != (len(x), self.d_condition):
            raise ValueError(
                f"{self.name} takes states (B, {self.n_frames}, {self.d_latent}) and styles (B, {self.d_condition}), "
                f"got {tuple(x.shape)} and {tuple(condition.shape)}"
            )


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Weights by key, without PREFIX, mapped from the file rather than read.

    Raises ValueError, naming the file, if it is damaged, cut off, or of another kind.
    """
    check_archive(path, KIND)
    try:
        with warnings.catch_warnings():
            # of TorchScript, which is then refused
            warnings.simplefilter("ignore", UserWarning)
            stored = torch.load(path, weights_only=True, mmap=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise ValueError(unreadable(path, KIND, error)) from error
    state = stored.get("model_state_dict") if isinstance(stored, dict) else None
    if not isinstance(state, dict) or not all(isinstance(weight, Tensor) for weight in state.values()):
        raise ValueError(f"{path} holds no model_state_dict: it is no transformer of DiffRhythm")
    foreign = [key for key in state if not key.startswith(PREFIX)]
    if foreign:
        raise ValueError(
            f"{path} holds {len(foreign)} keys that do not start with {PREFIX} ({', '.join(foreign[:3])}): "
            "it is no transformer of DiffRhythm"
        )
    return {key.removeprefix(PREFIX): weight for key, weight in state.items() if not key.endswith(BUFFERS)}


def sizes_in(state: dict[str, Tensor], n_heads: int, path: str | Path) -> Sizes:
    """Sizes of the network whose weights `state` are; no shape tells the heads.

    Raises ValueError, naming the file, if a weight is missing that tells one.
    """

    def length(key: str, axis: int) -> int:
        if key not in state or state[key].ndim != 2:
            found = f"of shape {tuple(state[key].shape)}" if key in state else "missing"
            raise ValueError(f"{path}: {PREFIX}{key} is {found}: it is no transformer of DiffRhythm")
        return state[key].shape[axis]

    def count(part: str) -> int:
        return len({key.split(".")[part.count(".") + 1] for key in state if key.startswith(f"{part}.")})

    has_duration = any(key.startswith("duration_time_embed.") for key in state)
    return Sizes(
        d_model=length("proj_out.weight", 1),
        depth=count("transformer_blocks"),
        n_heads=n_heads,
        d_ff=length("transformer_blocks.0.mlp.gate_proj.weight", 0),
        d_latent=length("proj_out.weight", 0),
        d_text=length("text_embed.text_embed.weight", 1),
        n_text_blocks=count("text_embed.text_blocks"),
        n_tokens=length("text_embed.text_embed.weight", 0),
        max_frames=MAX_FRAMES_OF_SONGS if has_duration else MAX_FRAMES,
        d_condition=length("norm_out.linear.weight", 1),
        has_duration=has_duration,
    )


def empty_network(sizes: Sizes) -> FlowTransformer:
    """A network of these sizes that holds no numbers yet, on the meta device."""
    with torch.device("meta"):
        return FlowTransformer(sizes)


def read_network(path: str | Path, n_heads: int, device: str, dtype: torch.dtype) -> FlowTransformer:
    """The network in a released file, frozen. Raises ValueError, naming the file, unless all its weights fit."""
    state = read_state(path)
    network = empty_network(sizes_in(state, n_heads, path))
    load_strictly(network, state, path)
    network = frozen(network, device, dtype)
    if not all(torch.isfinite(weight).all() for weight in network.parameters()):
        raise ValueError(f"{path} holds weights that are not finite in {dtype}: it is damaged, or they are too large")
    return network


def read_style(path: str | Path, d_condition: int) -> Tensor:
    """A style (1, d_condition) float32 from a `.npy` file. Raises ValueError, naming it, if it holds another thing."""
    try:
        style = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be read as an array of numpy ({error}); delete it and run again") from error
    if not isinstance(style, np.ndarray) or style.shape != (1, d_condition) or not np.isfinite(style).all():
        found = style.shape if isinstance(style, np.ndarray) else "an archive"
        raise ValueError(f"{path} holds no finite style (1, {d_condition}) but {found}; delete it and run again")
    return torch.from_numpy(style.astype(np.float32))


def precision_of(options: dict, device: str) -> torch.dtype:
    """The number format that the network computes in: if `auto`, on a GPU, that of the released weights."""
    is_cpu = torch.device(device).type == "cpu"
    automatic = "float32" if is_cpu else "float16"
    return network_dtype(automatic if options["precision"] == "auto" else options["precision"], device)


def load(weights: list[str], options: dict, device: str) -> Generator:
    """DiffRhythm from its released weights and its negative style. Raises ValueError, naming the file, for others."""
    checkpoint, negative_style = weights
    network = read_network(checkpoint, options["n_heads"], device, precision_of(options, device))
    n_frames = options["n_frames"] or network.sizes.max_frames
    if n_frames > network.sizes.max_frames:
        raise ValueError(f"n_frames {n_frames} is more than the {network.sizes.max_frames} of {checkpoint}")
    style = read_style(negative_style, network.sizes.d_condition)
    return DiffRhythm(network, style, n_frames, options["guidance"], device)
