"""Where a job computes."""

import contextlib
import os
from collections.abc import Iterator

import torch

from sonolens.jobs import life


def torch_device(choice: str) -> torch.device:
    """The device for `choice`: "cpu", "cuda", or "auto" (a GPU if one can be used, said on the log).

    Raises RuntimeError for "cuda" where no GPU can be used.
    """
    has_gpu = torch.cuda.is_available()
    if choice == "cuda" and not has_gpu:
        raise RuntimeError(
            "config key `device` is 'cuda', but this node has no usable GPU; ask for one (resources: gpu=1) "
            "or set `device: auto`"
        )
    device = torch.device("cuda" if has_gpu and choice != "cpu" else "cpu")
    print(f"device: {device}")
    life.facts["device"] = f"cuda: {torch.cuda.get_device_name()}" if device.type == "cuda" else "cpu"
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given and choice == "auto" and not has_gpu:
        life.note("no_gpu", f"this job was given GPU {given}, but torch finds none that it can use: the CPU computes")
    return device


@contextlib.contextmanager
def torch_threads(n_threads: int) -> Iterator[None]:
    """Let what torch does in this thread use `n_threads` cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
