"""Audio files in and out: one shape, one type, and a reason where a file cannot be used."""

import functools
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

from sonolens.files import replacing

if TYPE_CHECKING:
    from sonolens.mp4_audio import Mp4Recording

SILENCE_PEAK = 1e-4  # -80 dBFS: three steps of 16 bits
MOST_CHANNELS = 2
MP4_SUFFIXES = (".m4a", ".mp4")
BLOCK_FRAMES = 1 << 18


def load(path: str | Path, sample_rate_hz: int, n_channels: int) -> np.ndarray:
    """Read a file as (n_channels, n_samples) float32 at `sample_rate_hz`.

    Stereo becomes mono by its mean, mono becomes stereo by repetition; the rate is changed by soxr (HQ, linear phase,
    no delay). Raises ValueError naming the file if it cannot be read or the channels cannot be had.
    """
    try:
        with _opened(path) as recording:
            file_rate_hz = recording.samplerate
            is_mp4 = _is_mp4(path)
            frames = recording.read() if is_mp4 else recording.read(dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as audio: {_reason(error)}") from error
    if n_channels == 1:
        # channel by channel: numpy's mean over the last axis takes as long as all the rest of reading
        frames = (functools.reduce(np.add, frames.T) / np.float32(frames.shape[1]))[:, None]
    elif frames.shape[1] == 1:
        frames = np.repeat(frames, n_channels, axis=1)
    elif frames.shape[1] != n_channels:
        raise ValueError(f"{path} has {frames.shape[1]} channels; {n_channels} are wanted")
    if file_rate_hz != sample_rate_hz:
        frames = soxr.resample(frames, file_rate_hz, sample_rate_hz, quality="HQ")
    return np.ascontiguousarray(frames.T, dtype=np.float32)


def why_unusable(path: str | Path, shortest_s: float) -> str | None:
    """Why a recording cannot be used, or None if it can.

    The whole file is read, block by block, so that a damaged end or a single NaN is found in bounded memory.
    """
    path = Path(path)
    if not path.is_file():
        return "not a regular file" if path.exists() else "there is no such file (or its name is not UTF-8)"
    if path.stat().st_size == 0:
        return "empty file"
    try:
        with _opened(path) as recording:
            is_mp4 = _is_mp4(path)
            blocks = recording.blocks() if is_mp4 else recording.blocks(BLOCK_FRAMES, dtype="float32", always_2d=True)
            return _why_content_unusable(recording, blocks, shortest_s)
    except (soundfile.LibsndfileError, ValueError, OSError) as error:
        return f"unreadable: {_reason(error)}"


def _is_mp4(path: str | Path) -> bool:
    return Path(path).suffix.lower() in MP4_SUFFIXES


def _opened(path: str | Path) -> "soundfile.SoundFile | Mp4Recording":
    """A recording, open for reading: by libsndfile, or by FFmpeg where that knows the format alone."""
    if _is_mp4(path):
        from sonolens.mp4_audio import Mp4Recording  # jobs that read other files do without FFmpeg

        return Mp4Recording(path)
    return soundfile.SoundFile(path)


def _reason(error: Exception) -> str:
    if isinstance(error, soundfile.LibsndfileError):
        return error.error_string
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _why_content_unusable(
    recording: "soundfile.SoundFile | Mp4Recording", blocks: Iterable[np.ndarray], shortest_s: float
) -> str | None:
    if recording.frames == 0:
        return "empty: no samples"
    if recording.channels > MOST_CHANNELS:
        return f"{recording.channels} channels; mono or stereo is expected"
    if recording.frames < math.ceil(shortest_s * recording.samplerate):
        return f"too short: {recording.frames / recording.samplerate:.3g} s, at least {shortest_s:g} s are needed"
    n_read, peak = 0, 0.0
    for block in blocks:
        if not np.isfinite(block).all():
            return "non-finite samples (NaN or infinity)"
        n_read, peak = n_read + len(block), max(peak, float(np.abs(block).max(initial=0)))
    if n_read < recording.frames:
        return f"damaged: {n_read} of {recording.frames} samples can be read"
    return f"silent: peak below {20 * math.log10(SILENCE_PEAK):g} dBFS" if peak < SILENCE_PEAK else None


def header(path: str | Path) -> tuple[int, int, int]:
    """(n_samples, sample_rate_hz, n_channels) of a file that can be read."""
    with _opened(path) as recording:
        return recording.frames, recording.samplerate, recording.channels


def write_wav(path: str | Path, audio: np.ndarray, sample_rate_hz: int) -> int:
    """Write audio (n_channels, n_samples) as 16-bit WAV; return how many samples were clipped to ±1.

    Full scale is 32767 on both sides, values are rounded to the nearest step, without dither (silence stays zero).
    Raises ValueError on non-finite samples, OSError if the disk is full.
    """
    if audio.ndim != 2 or not np.isfinite(audio).all():
        raise ValueError(f"{path}: audio must be finite and (n_channels, n_samples), not of shape {audio.shape}")
    n_clipped = int((np.abs(audio) > 1.0).sum())
    steps = np.rint(np.clip(audio, -1.0, 1.0) * 32767.0).astype(np.int16)
    encoded = io.BytesIO()  # libsndfile does not say when the disk is full, Python does
    soundfile.write(encoded, steps.T, sample_rate_hz, format="WAV", subtype="PCM_16")
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.getbuffer())
    return n_clipped
