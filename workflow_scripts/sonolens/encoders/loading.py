"""An encoder by the name that the config gives it."""

from sonolens import plugins
from sonolens.device import torch_device
from sonolens.encoders.contract import Encoder


def load_encoder(module: str, weights: list[str], options: dict, device: str) -> Encoder:
    """Load encoder `module` from its weights files (none, if it has no weights) to the device of the config."""
    loaded = plugins.load("encoders", module).load(*(weights or [None]), options, str(torch_device(device)))
    print(f"encoder: {loaded.name}, {loaded.sample_rate_hz} Hz, hop {loaded.hop_samples}, d_latent {loaded.d_latent}")
    return loaded
