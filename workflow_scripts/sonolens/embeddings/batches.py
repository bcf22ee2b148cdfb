"""Windows through a network in batches of one size.

In a batch of another size a network's sums may be split otherwise, and an embedding would depend on what else is
embedded with it. So the last batch is filled up, and batches never hold windows of two recordings.
"""

from collections.abc import Callable

import numpy as np
import torch

# Windows at once where they are embedded on a CPU and on a GPU. No option: numbers differ in the last bit.
Sizes = dict[str, int]


def windows_of(audio: np.ndarray, window_samples: int, hop_samples: int) -> np.ndarray:
    """The whole windows of audio (n_samples,), at least one window long: a view, (n_windows, window_samples)."""
    return np.lib.stride_tricks.sliding_window_view(audio, window_samples)[::hop_samples]


def in_batches(
    network: Callable[[torch.Tensor], torch.Tensor],
    windows: np.ndarray,
    chosen: np.ndarray,
    sizes: Sizes,
    device: torch.device,
) -> np.ndarray:
    """What `network`, (B, window_samples) -> (B, d) on `device`, gives of the windows `chosen` (N,), N ≥ 1: (N, d)."""
    size = sizes[device.type]
    filled = np.resize(chosen, -(-len(chosen) // size) * size)  # repeats them
    with torch.inference_mode():
        given = [network(torch.from_numpy(windows[part]).to(device)).cpu() for part in filled.reshape(-1, size)]
    return torch.cat(given)[: len(chosen)].float().numpy()
