"""Audio in MP4 containers (m4a), which libsndfile does not read: decoded by FFmpeg's libraries, through PyAV.

A lossy codec begins with samples of its own and ends with padding. The container says where the recording lies within
them; what is read here is the recording.
"""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

av.logging.set_level(av.logging.PANIC)  # what is wrong is said by errors, and named


class Unreadable(ValueError):
    """No recording, or a damaged one."""


class Mp4Recording:
    """A file that is open for reading; a context manager. Has what soundfile.SoundFile has of it. Raises Unreadable."""

    def __init__(self, path: str | Path):
        try:
            self._container = av.open(str(path))
        except (av.error.FFmpegError, ValueError) as error:
            raise Unreadable(str(error)) from error
        streams = self._container.streams.audio
        if not streams or streams[0].duration is None:
            self._container.close()
            raise Unreadable("there is no sound in it" if not streams else "it does not say how long it is")
        self._stream = streams[0]
        self.samplerate, self.channels = self._stream.rate, self._stream.channels
        self.frames = round(self._stream.duration * self._stream.time_base * self.samplerate)

    def __enter__(self) -> "Mp4Recording":
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def blocks(self) -> Iterator[np.ndarray]:
        """The recording, (n, n_channels) float32 each, in order. Raises Unreadable where it breaks off."""
        planar = av.AudioResampler(format="fltp")  # the rate and the channels stay
        n_left = self.frames
        try:
            for frame in self._container.decode(self._stream):
                for piece in planar.resample(frame):
                    block = piece.to_ndarray().T[:n_left]
                    n_left -= len(block)
                    yield block
        except (av.error.FFmpegError, ValueError) as error:
            raise Unreadable(
                f"it breaks off after {self.frames - n_left} of {self.frames} samples ({error})"
            ) from error

    def read(self) -> np.ndarray:
        """All of it, (n_samples, n_channels) float32. Raises Unreadable if a part is missing."""
        frames = np.concatenate([np.zeros((0, self.channels), np.float32), *self.blocks()])
        if len(frames) < self.frames:
            raise Unreadable(f"{len(frames)} of {self.frames} samples can be read")
        return frames
