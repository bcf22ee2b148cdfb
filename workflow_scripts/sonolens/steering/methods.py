"""Ways to steer: the paper's, and the simpler ones that it has to be better than.

Every method adds a direction to something. What differs is to what (the code of the autoencoder, or the scaled latent
itself, without any autoencoder), where the direction comes from, and whether the code's norm is restored.
"""

from typing import NamedTuple


class Method(NamedTuple):
    """One way to steer towards a class."""

    name: str  # in tables
    space: str  # "code" or "latent": what the direction is added to, and what stays where it is for α = 0
    direction: str  # "probe", "class_mean" or "random"
    renormalises: bool  # RMSNorm after the sum; nothing to restore for latents


PAPER = Method("probe", "code", "probe", True)
METHODS = [
    PAPER,
    Method("probe_without_norm", "code", "probe", False),
    Method("class_mean", "code", "class_mean", True),
    Method("random", "code", "random", True),
    Method("latent_probe", "latent", "probe", False),
    Method("latent_class_mean", "latent", "class_mean", False),
    Method("latent_random", "latent", "random", False),
]


# Sounds that nothing is added to, and the space that each belongs to: the last two are what its methods give for α = 0
ORIGINAL = "original"
AT_ZERO = {"codec": "latent", "sae": "code"}
NOT_STEERED = {ORIGINAL: "latent"} | AT_ZERO


def named(name: str) -> Method:
    """The method called `name`."""
    return next(method for method in METHODS if method.name == name)
