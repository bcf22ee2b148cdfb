"""Recordings as m4a, encoded as telephones do."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write(path: Path, sound: np.ndarray, sample_rate_hz: int) -> None:
    """sound (n_channels, n_samples) as AAC in an MP4 container."""
    layout = "mono" if len(sound) == 1 else "stereo"
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("aac", rate=sample_rate_hz, layout=layout)
        stream.bit_rate = 160_000
        whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound, np.float32), format="fltp", layout=layout)
        whole.sample_rate, whole.pts, whole.time_base = sample_rate_hz, 0, Fraction(1, sample_rate_hz)
        fifo = av.AudioFifo()
        fifo.write(whole)
        while frame := fifo.read(1024, partial=True):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
