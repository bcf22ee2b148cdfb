"""From CREPE's probabilities per pitch bin to one pitch per frame."""

import numpy as np

N_BINS = 360
CENTS_PER_BIN = 20
_FIRST_BIN_CENTS = 1997.3794084376191  # above 10 Hz
_LOCAL_BINS = 4  # to each side: the local mean of Kim et al. 2018
_REACH_BINS = 12  # a pitch that glides moves less than this in 10 ms
_JUMP = 1e-5  # probability of a jump to anywhere, a new note


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
    searched = probabilities[:, allowed]
    chosen = allowed[_DECODERS[decoder](searched)]
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
    score = np.log(probabilities.astype(np.float64) + 1e-6)
    reach = np.arange(-_REACH_BINS, _REACH_BINS + 1)
    near = np.log((_REACH_BINS + 1 - np.abs(reach)) / (_REACH_BINS + 1) ** 2)
    came_from = np.empty((n_frames, n_bins), np.int16)
    best = np.zeros(n_bins)
    padded = np.full(n_bins + 2 * _REACH_BINS, -np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _REACH_BINS + 1)
    bins = np.arange(n_bins)
    for frame in range(n_frames):
        padded[_REACH_BINS : _REACH_BINS + n_bins] = best
        glides = windows + near
        step = glides.argmax(axis=1)
        glide, jump = glides[bins, step], best.max() + np.log(_JUMP)
        jumps = jump > glide
        came_from[frame] = np.where(jumps, best.argmax(), bins + reach[step])
        best = np.where(jumps, jump, glide) + score[frame]
    path = np.empty(n_frames, np.int64)
    state = int(best.argmax()) if n_frames else 0
    for frame in range(n_frames - 1, -1, -1):
        path[frame] = state
        state = came_from[frame, state]
    return path


_DECODERS = {"argmax": argmax_path, "viterbi": viterbi_path}
