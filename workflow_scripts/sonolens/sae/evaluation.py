"""How sparse a trained autoencoder is and how well it reconstructs, over all frames of a split, block by block."""

from dataclasses import dataclass

import numpy as np
import torch

from sonolens.latents import ScaledFrames
from sonolens.sae.codes import CodeBlocks
from sonolens.sae.model import SparseAutoencoder

# Share of a sum of squares that sums in float64 leave over of frames that are all the same
ALIKE = 1e-12


@dataclass(frozen=True)
class Evaluation:
    """Sums over the frames of a split. N frames, D = d_latent, F = n_features."""

    squared_error: np.ndarray  # (N,) ‖x − x̂‖²
    x_sum: np.ndarray  # (D,) sum of x
    x_square_sum: float  # sum of ‖x‖²
    n_active: np.ndarray  # (F,) frames in which a feature is active
    hidden_norm: float  # mean ‖h‖₂

    @property
    def n_frames(self) -> int:
        return len(self.squared_error)

    @property
    def mse(self) -> float:
        """Mean over frames of ‖x − x̂‖²."""
        return float(self.squared_error.mean())

    @property
    def explained_variance(self) -> float:
        """1 − Σ‖x − x̂‖² / Σ‖x − mean(x)‖²."""
        total = self.x_square_sum - (self.x_sum**2).sum() / self.n_frames
        return float(1 - self.squared_error.sum() / total)

    @property
    def l0(self) -> float:
        """Active features per frame."""
        return float(self.n_active.sum() / self.n_frames)

    @property
    def sparsity(self) -> float:
        """Share of inactive features."""
        return 1 - self.l0 / len(self.n_active)

    @property
    def dead_share(self) -> float:
        """Share of features that no frame of the split activates."""
        return float((self.n_active == 0).mean())


@torch.no_grad()
def evaluate(model: SparseAutoencoder, frames: ScaledFrames) -> Evaluation:
    """Run the model over `frames`; memory is bounded by two blocks of codes.

    Raises ValueError if all frames are alike: nothing of them can be explained.
    """
    device = model.W_enc.device
    n_active = torch.zeros(model.n_features, dtype=torch.int64, device=device)
    squared_error, hidden_norm, x_square_sum = [], 0.0, 0.0
    x_sum = np.zeros(model.d_latent)
    code_blocks = CodeBlocks(model)
    is_active = model.W_enc.new_empty(code_blocks.block_frames, model.n_features)
    for start in range(0, len(frames), code_blocks.block_frames):
        block = frames[slice(start, start + code_blocks.block_frames)]
        x = torch.from_numpy(block).to(device)
        codes = code_blocks(x)
        decoded = codes.times(model.W_dec.T).mul_(codes.r).add_(model.b_dec)
        squared_error.append((x - decoded).square().sum(dim=1).cpu().numpy())
        n_active += torch.gt(codes.h, 0, out=is_active[: len(x)]).sum(dim=0).long()  # of floats: the fastest
        hidden_norm += float(code_blocks.hidden_norms(len(x)).double().sum())
        x_sum += block.sum(axis=0, dtype=np.float64)
        x_square_sum += float((block.astype(np.float64) ** 2).sum())
    if x_square_sum - (x_sum**2).sum() / len(frames) <= ALIKE * x_square_sum:
        raise ValueError(
            f"all {len(frames)} latents of a split are alike: the encoder hears nothing in its recordings, or takes "
            "the same code for all; look at its weights, and at results/codecs/*/quality.json"
        )
    return Evaluation(
        squared_error=np.concatenate(squared_error).astype(np.float64),
        x_sum=x_sum,
        x_square_sum=x_square_sum,
        n_active=n_active.cpu().numpy(),
        hidden_norm=hidden_norm / len(frames),
    )


def explained_variance_interval(
    squared_error: np.ndarray, x: ScaledFrames, clip_codes: np.ndarray, seed: int, n_resamples: int = 1000
) -> tuple[float, float]:
    """Bootstrap 95 % interval of the explained variance, clips drawn with replacement.

    squared_error (N,), clip_codes (N,) whole numbers. Frames of one clip are alike, so clips and not frames are drawn.
    """
    clips = np.unique(clip_codes, return_inverse=True)[1]
    n_clips = clips.max() + 1
    residual = np.bincount(clips, squared_error, n_clips)
    total = np.zeros(len(squared_error))
    mean = np.mean([x[slice(s, s + 65536)].mean(axis=0) for s in range(0, len(x), 65536)], axis=0)
    for start in range(0, len(x), 65536):
        total[start : start + 65536] = ((x[slice(start, start + 65536)] - mean) ** 2).sum(axis=1)
    variance = np.bincount(clips, total, n_clips)
    drawn = np.random.default_rng([seed, 1]).integers(0, n_clips, (n_resamples, n_clips))
    varies = variance[drawn].sum(axis=1) > 0  # clips of one note on a coarse codec may be of one code
    values = 1 - residual[drawn][varies].sum(axis=1) / variance[drawn][varies].sum(axis=1)
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def activation_frequency(n_active: np.ndarray, n_frames: int) -> dict:
    """Histogram over features of log10(share of frames in which a feature is active); dead features are not in it.

    n_active: (F,). Twenty bins from 1e-5 to 1; rarer ones fall into the first.
    """
    edges = np.linspace(-5, 0, 21)
    alive = n_active[n_active > 0]
    counts, _ = np.histogram(np.clip(np.log10(alive / n_frames), -5, 0), bins=edges)
    return {"log10_edges": edges.round(6).tolist(), "counts": counts.tolist()}
