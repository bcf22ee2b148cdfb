"""From CREPE's probabilities per pitch bin to one pitch per frame."""

import numpy as np

from sonolens.kernels import kernel

N_BINS = 360
CENTS_PER_BIN = 20
_FIRST_BIN_CENTS = 1997.3794084376191  # above 10 Hz
_LOCAL_BINS = 4  # to each side: the local mean of Kim et al. 2018
_REACH_BINS = 12  # a pitch that glides moves less than this in 10 ms
_JUMP = 1e-5  # probability of a jump to anywhere, a new note
_BLOCK_FRAMES = 4096  # whose scores are there at once


def bin_cents() -> np.ndarray:
    """Centre of each pitch bin in cents above 10 Hz, (360,)."""
    return _FIRST_BIN_CENTS + CENTS_PER_BIN * np.arange(N_BINS)


def decode(probabilities: np.ndarray, fmin_hz: float, fmax_hz: float, decoder: str) -> tuple[np.ndarray, np.ndarray]:
    """f0 in Hz and periodicity of each frame, both (T,), from probabilities (T, 360).

    A bin is chosen by `decoder` among those from fmin_hz to fmax_hz; the pitch is the mean of the bins around it,
    weighted by probability, held within the same range. Periodicity is the probability at the bin.
    """
    low, high = (1200 * np.log2(hz / 10) for hz in (fmin_hz, fmax_hz))
    allowed = np.flatnonzero((bin_cents() >= low - CENTS_PER_BIN) & (bin_cents() <= high + CENTS_PER_BIN))
    chosen = allowed[0] + _DECODERS[decoder](probabilities[:, allowed[0] : allowed[-1] + 1])
    rows = np.arange(len(probabilities))
    around = chosen[:, None] + np.arange(-_LOCAL_BINS, _LOCAL_BINS + 1)
    weight = np.where((around >= 0) & (around < N_BINS), probabilities[rows[:, None], around.clip(0, N_BINS - 1)], 0)
    weight = weight.astype(np.float64) + 1e-12  # a silent frame has no probability at all
    cents = (weight * (_FIRST_BIN_CENTS + CENTS_PER_BIN * around)).sum(axis=1) / weight.sum(axis=1)
    f0_hz = 10 * 2 ** (cents.clip(low, high) / 1200)
    return f0_hz.astype(np.float32), probabilities[rows, chosen]


def argmax_path(probabilities: np.ndarray) -> np.ndarray:
    """The most probable bin of each frame, (T, B) -> (T,)."""
    return probabilities.argmax(axis=1)


def viterbi_path(probabilities: np.ndarray) -> np.ndarray:
    """The best sequence of bins, (T, B) -> (T,): near bins are likely to follow, any other may with a small chance.

    torchcrepe's own Viterbi forbids jumps beyond 220 cents in 10 ms, so that every new note is a glide.
    """
    n_frames, n_bins = probabilities.shape
    reach = np.arange(-_REACH_BINS, _REACH_BINS + 1)
    near = np.log((_REACH_BINS + 1 - np.abs(reach)) / (_REACH_BINS + 1) ** 2)
    best, came_from = np.zeros(n_bins), np.empty((n_frames, n_bins), np.int16)
    # what the search works with, beside: made here, since numba takes long to compile what makes arrays
    padded, glide, step = np.full(n_bins + 2 * _REACH_BINS, -np.inf), np.empty(n_bins), np.empty(n_bins, np.int64)
    for first in range(0, n_frames, _BLOCK_FRAMES):
        block = slice(first, first + _BLOCK_FRAMES)
        score = np.log(probabilities[block].astype(np.float64) + 1e-6)
        _search(score, near, np.log(_JUMP), best, came_from[block], padded, glide, step)
    path = np.empty(n_frames, np.int64)
    _trace_back(came_from, best.argmax(), path)
    return path


@kernel
def _search(score, near, jump_score, best, came_from, padded, glide, step):
    """Go on from `best` (B,), the scores of the best paths to each bin, with the frames of `score` (b, B).

    near (2·reach + 1,): of a step by −reach, … reach bins. Of equals the lowest bin is taken. `padded` has −∞ beyond
    the ends. Writes best and came_from (b, B).
    """
    n_frames, n_bins = score.shape
    reach = near.shape[0] // 2
    for frame in range(n_frames):
        highest = 0
        for j in range(n_bins):
            padded[reach + j] = best[j]
            glide[j] = -np.inf
            if best[j] > best[highest]:
                highest = j
        jump = best[highest] + jump_score
        for k in range(near.shape[0]):
            for j in range(n_bins):  # without a branch: several bins in one instruction
                candidate = padded[j + k] + near[k]
                is_better = candidate > glide[j]
                glide[j] = candidate if is_better else glide[j]
                step[j] = k if is_better else step[j]
        for j in range(n_bins):
            jumps = jump > glide[j]
            came_from[frame, j] = highest if jumps else j + step[j] - reach
            best[j] = (jump if jumps else glide[j]) + score[frame, j]


@kernel
def _trace_back(came_from, last, path):
    """Fill path (T,) from its end, where it is in bin `last`."""
    state = last
    for frame in range(path.shape[0] - 1, -1, -1):
        path[frame] = state
        state = came_from[frame, state]


_DECODERS = {"argmax": argmax_path, "viterbi": viterbi_path}
