"""What a generator is: a velocity field from noise to an encoder's latents, steered by a vector per prompt.

Time t runs from 0, noise, to 1, data: X_t = (1 − t)·X_0 + t·X_1 is what it was trained on, and its velocity points from
X_0 to X_1 (rectified flow: Liu, Gong and Liu 2023, arXiv 2209.03003; Lipman et al. 2023, arXiv 2210.02747).
"""

from typing import Protocol

import numpy as np
from torch import Tensor


class Generator(Protocol):
    """A trained flow seen from the outside.

    A module of this folder offers one by `load(weights, options, device) -> Generator`, weights being a list of paths;
    its constants stand in the card beside it (`<module>.yaml`). What its prompts are, the module says as well:
    `write_prompts(prompts_path, weights, options, output_path, device)` writes tracing/schemas.PROMPT_VECTORS, from the
    configured prompts or, where the card says `prompts: own`, from nothing (prompts_path None). One that the workflow
    itself trains (`trained: true`) also offers `train` (generators/miniflow.py).
    """

    name: str
    d_latent: int
    n_frames: int  # of all that it generates
    d_condition: int

    def velocity(self, x: Tensor, t: float, condition: Tensor) -> Tensor:
        """x (B, n_frames, d_latent) float32 at time t under condition (B, d_condition): velocity like x, in float32.

        Classifier-free guidance is part of it, and so is the device and precision of the network. A row depends on the
        others by rounding alone.
        """
        ...

    def latents(self, x: Tensor) -> np.ndarray:
        """x (..., d_latent), on the way or at its end -> latents as the encoder gives them, float32."""
        ...
