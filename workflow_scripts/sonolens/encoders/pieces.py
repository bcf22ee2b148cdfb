"""Long and many recordings: cut into pieces that are encoded in batches, with the result of each recording alone.

A piece is read with enough context on both sides that its kept frames do not see its borders. So a shorter piece may be
padded to the length of its batch: what the padding touches is not kept. Only the end of a recording is encoded without
any padding behind it, since networks treat their input's ends in ways of their own (reflection, zeros in every layer).
Where they reflect, a frame at an end depends on what is beside it on the other side too, at most `reach` away.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

# A batch takes a piece only while it is at least this share of the batch's longest: padding is work too
SHORTEST_SHARE = 0.8
# A recording is not cut for the sake of a batch if its pieces together are longer than so many times itself
MOST_WORK = 1.1


class Reach(NamedTuple):
    """Frames to either side that a frame of the output depends on."""

    left: int
    right: int


class Piece(NamedTuple):
    """A stretch of frames [start, stop) of one recording, and the wider stretch of samples that it is computed from."""

    recording: int
    start: int
    stop: int
    first_frame: int  # of what is read
    first_sample: int
    stop_sample: int
    is_end: bool  # the samples end with the recording: nothing may follow them

    @property
    def n_samples(self) -> int:
        return self.stop_sample - self.first_sample


def pieces_of(recording: int, n_samples: int, hop_samples: int, reach: Reach, longest_frames: int) -> Iterator[Piece]:
    """Cut one recording: pieces of about equal length that read at most `longest_frames`, and its end.

    Raises ValueError if pieces of this length are too short for the reach.
    """
    most_kept = longest_frames - reach.left - reach.right
    # Less than this of a recording's beginning does not hold all that its first frames see
    least_kept_first = reach.left + 1
    if most_kept < least_kept_first:
        raise ValueError(f"pieces of {longest_frames} frames are too short for a reach of {tuple(reach)}")
    n_frames, n_whole = -(-n_samples // hop_samples), n_samples // hop_samples
    # Frames before this one see nothing of the end
    body_stop = n_whole - reach.right
    if body_stop < least_kept_first:
        body_stop = 0
    n_pieces = -(-body_stop // most_kept)
    bounds = [body_stop * part // n_pieces for part in range(n_pieces + 1)] if n_pieces else [0]
    if n_pieces > 1:
        bounds[1] = max(bounds[1], least_kept_first)
    for start, stop in pairwise(bounds):
        first = max(start - reach.left, 0)
        stop_sample = (stop + reach.right) * hop_samples
        yield Piece(recording, start, stop, first, first * hop_samples, stop_sample, False)
    if body_stop < n_frames:
        first = max(min(body_stop - reach.left, n_frames - 1 - reach.left - reach.right), 0)
        yield Piece(recording, body_stop, n_frames, first, first * hop_samples, n_samples, True)


def batches(pieces: Sequence[Piece], hop_samples: int, batch_frames: int) -> Iterator[list[Piece]]:
    """Pieces of similar length together, at most `batch_frames` a batch; ends only with ends of the same length."""
    batch: list[Piece] = []
    for piece in sorted(pieces, key=lambda piece: (piece.is_end, -piece.n_samples)):
        if batch:
            longest = batch[0].n_samples
            fits = (len(batch) + 1) * -(-longest // hop_samples) <= batch_frames
            is_alike = piece.n_samples == longest if piece.is_end else piece.n_samples >= SHORTEST_SHARE * longest
            if not (fits and is_alike and piece.is_end == batch[0].is_end):
                yield batch
                batch = []
        batch.append(piece)
    if batch:
        yield batch


def encode_in_pieces(
    encode: Callable[[np.ndarray], np.ndarray],
    audios: Sequence[np.ndarray],
    hop_samples: int,
    reach: Reach,
    batch_frames: int,
) -> list[np.ndarray]:
    """Encode recordings (n_channels, n_samples), any number of any length; latents (n_frames, d) float32 of each.

    `encode` takes (B, n_channels, n) to (B, ceil(n / hop), d). For each recording the result is that of
    encode(audio[None])[0], if a frame of it depends on `reach` at most; what is left is the rounding of sums. Memory is
    that of batch_frames frames at once, beside input and output. Raises ValueError if `encode` gives another number of
    frames.
    """
    pieces = _all_pieces([audio.shape[-1] for audio in audios], hop_samples, reach, batch_frames)
    latents: list[np.ndarray | None] = [None] * len(audios)
    for batch in batches(pieces, hop_samples, batch_frames):
        for piece, encoded in zip(batch, encode(_stacked(batch, audios)), strict=True):
            if piece.is_end and len(encoded) != -(-piece.n_samples // hop_samples):
                raise ValueError(f"encode gave {len(encoded)} frames for {piece.n_samples} samples, hop {hop_samples}")
            own = latents[piece.recording]
            if own is None:
                n_frames = -(-audios[piece.recording].shape[-1] // hop_samples)
                own = latents[piece.recording] = np.empty((n_frames, encoded.shape[-1]), np.float32)
            own[piece.start : piece.stop] = encoded[piece.start - piece.first_frame : piece.stop - piece.first_frame]
    missing = [recording for recording, own in enumerate(latents) if own is None]
    if missing:
        raise ValueError(f"audio of no samples cannot be encoded (recordings {missing})")
    return latents


def _all_pieces(lengths: list[int], hop_samples: int, reach: Reach, batch_frames: int) -> list[Piece]:
    """Pieces of recordings of these lengths in samples.

    One that fits stays whole if it is alone, has company of its own length, or would be much more work in pieces.
    """
    of_length = Counter(lengths)
    pieces = []
    for recording, n_samples in enumerate(lengths):
        n_frames = -(-n_samples // hop_samples)
        cut = list(pieces_of(recording, n_samples, hop_samples, reach, batch_frames))
        is_dear = sum(piece.n_samples for piece in cut) > MOST_WORK * n_samples
        if 0 < n_frames <= batch_frames and (is_dear or of_length[n_samples] > 1 or len(lengths) == 1):
            cut = [Piece(recording, 0, n_frames, 0, 0, n_samples, True)]
        pieces += cut
    return pieces


def _stacked(batch: list[Piece], audios: Sequence[np.ndarray]) -> np.ndarray:
    """The pieces' samples (B, n_channels, n), zeros behind those that are shorter than the first."""
    n_channels = audios[batch[0].recording].shape[0]
    stacked = np.zeros((len(batch), n_channels, batch[0].n_samples), np.float32)
    for row, piece in zip(stacked, batch, strict=True):
        row[:, : piece.n_samples] = audios[piece.recording][:, piece.first_sample : piece.stop_sample]
    return stacked
