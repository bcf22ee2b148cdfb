"""DiffRhythm's transformer as released, with weights that follow from their keys, and a style in a file.

The keys and shapes stand in data/diffrhythm_cfm_*keys*.tsv, taken from the released code, not from ours.
"""

from pathlib import Path

import numpy as np
import torch

from deterministic_weights import fill

DATA = Path(__file__).parent / "data"
REFERENCE = DATA / "diffrhythm_cfm_tiny_2048.npz"
TINY = "tiny_2048_keys"
# Of the tiny network, to which no shape testifies
N_HEADS = 2
DURATION = "transformer.duration_time_embed."


def shapes(table: str) -> dict[str, tuple[int, ...]]:
    """Key and shape of every tensor in the table diffrhythm_cfm_<table>.tsv."""
    lines = (DATA / f"diffrhythm_cfm_{table}.tsv").read_text().splitlines()
    rows = [line.split("\t")[:2] for line in lines]
    return {key: tuple(int(length) for length in shape.replace("x", ",").split(",")) for key, shape in rows}


def tiny_shapes(has_duration: bool = False) -> dict[str, tuple[int, ...]]:
    """Of a network of two blocks, of songs or of the length that was shorter."""
    of_songs = {key: shape for key, shape in shapes("keys_6144").items() if key.startswith(DURATION)}
    return shapes(TINY) | (of_songs if has_duration else {})


def state(has_duration: bool = False) -> dict[str, torch.Tensor]:
    """Reproducible float32 weights of the tiny network, by key."""
    return {key: torch.from_numpy(fill(key, shape)) for key, shape in tiny_shapes(has_duration).items()}


def write_checkpoint(path: Path, weights: dict[str, torch.Tensor], dtype: torch.dtype = torch.float16) -> Path:
    """A file as released; float32 where the numbers count."""
    torch.save({"model_state_dict": {key: weight.to(dtype) for key, weight in weights.items()}}, path)
    return path


def write_files(folder: Path, has_duration: bool = False, dtype: torch.dtype = torch.float16) -> list[str]:
    """Checkpoint and negative style under `folder`, as `load` takes them."""
    folder.mkdir(parents=True, exist_ok=True)
    with np.load(REFERENCE) as reference:
        np.save(folder / "vocal.npy", reference["negative_style"])
    return [str(write_checkpoint(folder / "cfm_model.pt", state(has_duration), dtype)), str(folder / "vocal.npy")]
