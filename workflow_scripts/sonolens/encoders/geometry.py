"""When the latent frames of an encoder are. Light: the alignment of labels reads it without loading the encoder."""

from typing import NamedTuple

import numpy as np


class FrameGeometry(NamedTuple):
    """Frame i stands for the time (i + offset)·hop / sample_rate; offset is 0.5 unless the card declares another.

    An encoder that works segment by segment, each overlapping the next (EnCodec at 48 kHz), starts counting hops anew
    at every segment: the first of them begins at sample 0, the next `segment_stride_samples` later.
    """

    sample_rate_hz: int
    hop_samples: int
    frame_offset_frames: float = 0.5  # as fits in thousandths
    segment_samples: int | None = None
    segment_stride_samples: int | None = None

    @classmethod
    def of(cls, constants: dict) -> "FrameGeometry":
        """That of a card, or of any mapping with these constants among others."""
        return cls(**{name: constants[name] for name in cls._fields if name in constants})

    def at(self, offset_frames: float) -> "FrameGeometry":
        """The same hops, standing for another moment."""
        return self._replace(frame_offset_frames=offset_frames)

    @property
    def period_frames(self) -> int:
        """After this many frames all repeats, `period_samples` later."""
        return 1 if self.segment_samples is None else -(-self.segment_samples // self.hop_samples)

    @property
    def period_samples(self) -> int:
        """Samples by which a recording can be shifted so that each frame becomes another frame."""
        return self.hop_samples if self.segment_stride_samples is None else self.segment_stride_samples

    def first_sample(self, frame_index: np.ndarray) -> np.ndarray:
        """The sample (int64) at which the hop of frame i begins."""
        period, within = np.divmod(np.asarray(frame_index, np.int64), self.period_frames)
        return period * self.period_samples + within * self.hop_samples

    def frame_time_s(self, frame_index: np.ndarray) -> np.ndarray:
        """The time in seconds (float64) that frame i stands for."""
        return (self.first_sample(frame_index) + self.frame_offset_frames * self.hop_samples) / self.sample_rate_hz

    def n_frames(self, n_samples: int) -> int:
        """Latent frames of a recording: every sample is in one."""
        if self.segment_samples is None:
            return -(-n_samples // self.hop_samples)
        starts = range(0, n_samples, self.period_samples)
        return sum(-(-min(self.segment_samples, n_samples - start) // self.hop_samples) for start in starts)
