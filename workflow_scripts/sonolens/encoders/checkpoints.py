"""Released weights: files of torch.save, read without running code from them, and loaded to the last key."""

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

N_NAMED = 3  # keys that an error names of each kind


def read_checkpoint(path: str | Path) -> object:
    """What torch.save put into `path`, on the CPU. Raises ValueError, naming the file, if it cannot be read."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{path} cannot be read as a checkpoint of torch ({cause}): it is damaged, cut off, or of another "
            "kind; delete it and run again"
        ) from error


def load_strictly(module: nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    """Give `module` the tensors of `state`, each key of one in the other.

    Raises ValueError that names the file and the keys that are missing, surplus or of another shape.
    """
    expected = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    found = {key: tuple(tensor.shape) for key, tensor in state.items()}
    faults = [
        _named("missing", [f"{key} {expected[key]}" for key in expected if key not in found]),
        _named("not expected", [f"{key} {found[key]}" for key in found if key not in expected]),
        _named(
            "of another shape",
            [
                f"{key} {found[key]}, expected {expected[key]}"
                for key in expected
                if key in found and expected[key] != found[key]
            ],
        ),
    ]
    if any(faults):
        raise ValueError(
            f"{path} holds other weights than {type(module).__name__} has: {'; '.join(filter(None, faults))}"
        )
    module.load_state_dict(state, assign=True)


def _named(what: str, keys: list[str]) -> str:
    if not keys:
        return ""
    more = ", …" if len(keys) > N_NAMED else ""
    return f"{len(keys)} {'key' if len(keys) == 1 else 'keys'} {what} ({', '.join(keys[:N_NAMED])}{more})"
