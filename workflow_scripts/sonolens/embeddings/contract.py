"""What an embedding is: windows of sound to vectors whose distribution a Fréchet distance compares (frechet.py)."""

from typing import Protocol

import numpy as np


class Embedding(Protocol):
    """A network that places windows of sound in a space.

    A module of this folder offers one by `load(weights, options, device) -> Embedding`: weights is a list of paths, the
    files that a user has of an embedding whose card (`<module>.yaml`) says `needs_weights: true`, empty for another;
    options have been checked against the card; device is "cpu" or "cuda". Nothing is fetched. A load raises
    ValueError, naming the file, for weights that are not the embedding's.
    """

    name: str
    sample_rate_hz: int
    d_embedding: int

    def embed(self, audio: np.ndarray) -> np.ndarray:
        """audio (n_samples,) float32, one channel at sample_rate_hz -> (n_windows, d_embedding) float32.

        The same audio gives the same numbers, whatever was embedded before it. Windows are whole: a tail that fills
        none is left out, but audio shorter than one window is one, zeros behind it. Each module says what silence
        gives. Raises ValueError for audio of another shape, without samples, or not finite.
        """
        ...


def checked_audio(embedding: Embedding, audio: np.ndarray, window_samples: int) -> np.ndarray:
    """audio (n_samples,) as float32, of at least one window. Raises ValueError as Embedding.embed says."""
    audio = np.asarray(audio, np.float32)
    if audio.ndim != 1 or len(audio) == 0:
        raise ValueError(f"{embedding.name} embeds audio of shape (n_samples,), got {audio.shape}")
    if not np.isfinite(audio).all():
        raise ValueError(f"{embedding.name} was given audio that is not finite")
    return np.pad(audio, (0, max(window_samples - len(audio), 0)))


def checked_weights(module: str, weights: list[str], expected: str) -> str:
    """The one path in `weights`. Raises ValueError, saying what is `expected`, if there are none or more."""
    if len(weights) != 1:
        raise ValueError(f"the embedding {module} needs one path under `weights`, {expected}; got {list(weights)}")
    return weights[0]
