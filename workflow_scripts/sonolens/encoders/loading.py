"""An encoder by the name that the config gives it."""

from sonolens.encoders import huge_pages  # noqa: F401 (must come before the first tensor)

# isort: split
from sonolens import plugins
from sonolens.device import torch_device
from sonolens.encoders import own, own_class
from sonolens.encoders.contract import Encoder


def load_encoder(module: str, weights: list[str], options: dict, device: str) -> Encoder:
    """Load encoder `module`, one of ours or a user's class, from its files of weights to the device of the config."""
    where = str(torch_device(device))
    if own_class.is_own(module):
        loaded = own.load(module, list(weights), options, where)
    else:
        loaded = plugins.load("encoders", module).load(list(weights), options, where)
    print(f"encoder: {loaded.name}, {loaded.sample_rate_hz} Hz, hop {loaded.hop_samples}, d_latent {loaded.d_latent}")
    return loaded
