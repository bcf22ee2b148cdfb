"""What a cell's probes say of latents: class probabilities, mean over frames, of all attributes at once."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from sonolens.sae.blocks import block_frames
from sonolens.steering.cell import Cell, Probe


class Reader:
    """Several sets of probes on the codes of one cell. Of the codes one block is held at a time."""

    def __init__(self, cell: Cell, probes: Mapping[str, Mapping[str, Probe]]):
        """probes: {name of the set: {attribute: probe}}, all of this cell's codes"""
        self.cell = cell
        self.names = [(of, attribute) for of, attributes in probes.items() for attribute in attributes]
        found = [probes[of][attribute] for of, attribute in self.names]
        self._weight = torch.cat([probe.weight for probe in found]).to(cell.device)
        self._bias = torch.cat([probe.bias for probe in found]).to(cell.device)
        self.n_classes = [len(probe.bias) for probe in found]

    @torch.no_grad()
    def read(self, latents: np.ndarray) -> list[np.ndarray]:
        """Latents (B, N, D) of the encoder -> for each of `names` the mean over N of its softmax, (B, K) float32."""
        n_rows, n_frames, _ = latents.shape
        x = self.cell.scaled(latents.reshape(n_rows * n_frames, -1))
        sums = [torch.zeros(n_rows, n, dtype=torch.float64, device=x.device) for n in self.n_classes]
        row_of_frame = torch.arange(n_rows, device=x.device).repeat_interleave(n_frames)
        size = block_frames(self.cell.model.n_features, x)
        for first in range(0, len(x), size):
            logits = self._logits(x[first : first + size])
            rows = row_of_frame[first : first + size]
            for total, own in zip(sums, logits.split(self.n_classes, dim=1), strict=True):
                total.index_add_(0, rows, own.double().softmax(dim=1))
        return [(total / n_frames).float().cpu().numpy() for total in sums]

    def _logits(self, x: Tensor) -> Tensor:
        """Scaled latents (b, D) -> logits of all probes side by side, (b, ΣK)."""
        return torch.addmm(self._bias, self.cell.model.encode(x).f, self._weight.T)
