"""What every encoder asks of its input, said in one way."""

import numpy as np

from sonolens.encoders.contract import Encoder


def checked_audio(encoder: Encoder, audio: np.ndarray) -> np.ndarray:
    """audio (n_channels, n_samples) as float32. Raises ValueError for another shape and for what is not finite."""
    audio = np.asarray(audio, np.float32)
    if audio.ndim != 2 or audio.shape[0] != encoder.n_channels or audio.shape[1] == 0:
        raise ValueError(f"{encoder.name} encodes audio of shape ({encoder.n_channels}, n_samples), got {audio.shape}")
    if not np.isfinite(audio).all():
        raise ValueError(f"{encoder.name} was given audio that is not finite")
    return audio


def checked_sound(encoder: Encoder, audio: np.ndarray, latents: np.ndarray) -> np.ndarray:
    """What `latents` were decoded to, as it is. Raises ValueError if it is not finite: they are beyond the network."""
    if not np.isfinite(audio).all():
        largest = np.abs(latents).max()
        raise ValueError(f"{encoder.name} cannot decode latents as large as {largest:g}: its numbers overflow")
    return audio


def checked_latents(encoder: Encoder, latents: np.ndarray) -> np.ndarray:
    """latents (n_frames, d_latent) as float32. Raises ValueError for another shape and for what is not finite."""
    latents = np.asarray(latents, np.float32)
    if latents.ndim != 2 or latents.shape[1] != encoder.d_latent or len(latents) == 0:
        raise ValueError(f"{encoder.name} decodes latents of shape (n_frames, {encoder.d_latent}), got {latents.shape}")
    if not np.isfinite(latents).all():
        raise ValueError(f"{encoder.name} was given latents that are not finite")
    return latents
