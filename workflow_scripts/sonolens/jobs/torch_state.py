"""The state of a training as bytes: tensors, numbers, text, lists and mappings of them, generators' states included."""

import io

import torch


def pack(state: dict) -> bytes:
    """A state as bytes, tensors of any device among it."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def unpack(packed: bytes) -> dict:
    """What `pack` was given, tensors on the CPU. Nothing is executed that the bytes may ask for."""
    return torch.load(io.BytesIO(packed), map_location="cpu", weights_only=True)
