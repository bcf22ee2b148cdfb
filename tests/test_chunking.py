"""Chunked decoding gives the result of one piece, whatever the length, in bounded memory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonolens.encoders.chunking import chunks, decode_in_chunks

HOP = 4


def decode_neighbourhood(latents: np.ndarray, first_frame: int) -> np.ndarray:
    """A toy decoder: hop i is the sum of frames i - 1 .. i + 1, plus a number that follows from the frame's index."""
    padded = np.pad(latents[:, 0], 1)
    level = padded[:-2] + padded[1:-1] + padded[2:] + np.sin(first_frame + np.arange(len(latents)))
    return np.repeat(level, HOP)[None]


@given(n_frames=st.integers(0, 60), chunk_frames=st.integers(1, 20), context_frames=st.integers(0, 8))
def test_chunks_cover_every_frame_once_and_in_order(n_frames, chunk_frames, context_frames):
    cut = list(chunks(n_frames, chunk_frames, context_frames))
    covered = [frame for chunk in cut for frame in range(chunk.start, chunk.stop)]
    assert covered == list(range(n_frames))
    for chunk in cut:
        assert 0 <= chunk.read_start <= chunk.start < chunk.stop <= chunk.read_stop <= n_frames
        assert chunk.read_start in (0, chunk.start - context_frames)
        assert chunk.read_stop in (n_frames, chunk.stop + context_frames)


def test_chunks_of_known_numbers():
    assert [tuple(chunk) for chunk in chunks(7, 3, 1)] == [(0, 3, 0, 4), (3, 6, 2, 7), (6, 7, 5, 7)]


def test_too_little_context_shows_at_the_seams():
    latents = np.ones((20, 1), np.float32)
    chunked = decode_in_chunks(decode_neighbourhood, latents, HOP, chunk_frames=5, context_frames=0)
    differs = (chunked != decode_neighbourhood(latents, 0))[0, ::HOP]
    assert set(np.flatnonzero(differs)) >= {4, 5, 9, 10, 14, 15}


@given(n_frames=st.integers(1, 50), chunk_frames=st.integers(1, 12))
def test_decoding_in_chunks_is_decoding_in_one_piece(n_frames, chunk_frames):
    latents = np.random.default_rng(n_frames).standard_normal((n_frames, 3)).astype(np.float32)
    chunked = decode_in_chunks(decode_neighbourhood, latents, HOP, chunk_frames, context_frames=1)
    assert chunked.shape == (1, n_frames * HOP)
    np.testing.assert_allclose(chunked, decode_neighbourhood(latents, 0), atol=1e-6)


@settings(max_examples=5)
@given(n_frames=st.integers(100, 5000))
def test_no_piece_is_longer_than_a_chunk_and_its_context(n_frames):
    seen = []

    def decode(latents, first_frame):
        seen.append(len(latents))
        return decode_neighbourhood(latents, first_frame)

    decode_in_chunks(decode, np.zeros((n_frames, 1), np.float32), HOP, chunk_frames=20, context_frames=3)
    assert max(seen) <= 26


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="no latents"):
        decode_in_chunks(decode_neighbourhood, np.zeros((0, 3), np.float32), HOP, 5, 1)
    with pytest.raises(ValueError, match="chunk_frames"):
        list(chunks(5, 0, 1))
