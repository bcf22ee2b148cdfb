"""Networks that only ever compute: frozen, folded, in the number format that was asked for."""

import contextlib
import warnings
from collections.abc import Iterator

import torch
from torch import nn

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@contextlib.contextmanager
def former_weight_norm() -> Iterator[None]:
    """While a network of the `encodec` package is built: its weight_norm is the one that released files have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def network_dtype(precision: str, device: str) -> torch.dtype:
    """The format a network computes in: `precision` on a GPU, float32 on a CPU, where halves are no faster."""
    if precision != "float32" and torch.device(device).type == "cpu":
        print(f"precision {precision} is for GPUs; this CPU computes in float32")
        return torch.float32
    # By default cuDNN's convolutions round float32 to 10 bits of mantissa, and a code would be another one
    torch.backends.cudnn.allow_tf32 = False
    return DTYPES[precision]


def frozen(module: nn.Module, device: str, dtype: torch.dtype) -> nn.Module:
    """`module` for inference on `device`; weight norms are folded once instead of at every call."""
    for layer in module.modules():
        if hasattr(layer, "weight_g"):
            nn.utils.remove_weight_norm(layer)
    return module.to(device, dtype).eval().requires_grad_(False)
