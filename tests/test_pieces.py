"""Many recordings in pieces and batches give, each, the result of its own whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonolens.encoders.pieces import Reach, batches, encode_in_pieces, pieces_of

HOP = 4


def encode_neighbourhood(audio: np.ndarray, left: int = 2, right: int = 1) -> np.ndarray:
    """A toy encoder (B, 1, n) -> (B, T, d): the hops i - left .. i + right, reflected at both ends as real ones do.

    So what stands behind a recording is seen by its last frames, and the first see more of the beginning.
    """
    padded = np.pad(audio[:, 0], ((0, 0), (0, -audio.shape[2] % HOP)), mode="edge")
    hops = padded.reshape(len(audio), -1, HOP).sum(axis=2)
    n_frames = hops.shape[1]
    missing = max(0, max(left, right) + 1 - n_frames)  # too short to be reflected: zeros first
    around = np.pad(np.pad(hops, ((0, 0), (0, missing))), ((0, 0), (left, right)), mode="reflect")
    return np.stack([around[:, k : k + n_frames] for k in range(left + right + 1)], axis=2).astype(np.float32)


def recordings(lengths: list[int]) -> list[np.ndarray]:
    return [np.random.default_rng([n, k]).standard_normal((1, n)).astype(np.float32) for k, n in enumerate(lengths)]


REACHES = st.builds(Reach, st.integers(0, 3), st.integers(0, 3))


@settings(max_examples=200)
@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=8), reach=REACHES, batch_frames=st.integers(10, 80))
def test_each_recording_gets_the_latents_of_its_own_whole(lengths, reach, batch_frames):
    def encode(audio):
        return encode_neighbourhood(audio, *reach)

    audios = recordings(lengths)
    encoded = encode_in_pieces(encode, audios, HOP, reach, batch_frames)
    for audio, latents in zip(audios, encoded, strict=True):
        np.testing.assert_array_equal(latents, encode(audio[None])[0])


@pytest.mark.parametrize("reach", [Reach(1, 1), Reach(2, 0)])
def test_too_short_a_reach_shows(reach):
    audios = recordings([200, 90])
    encoded = encode_in_pieces(encode_neighbourhood, audios, HOP, reach, 12)
    assert any(
        (latents != encode_neighbourhood(audio[None])[0]).any() for audio, latents in zip(audios, encoded, strict=True)
    )


@settings(max_examples=100)
@given(
    lengths=st.lists(st.integers(1, 2000), min_size=1, max_size=30), reach=REACHES, batch_frames=st.integers(10, 100)
)
def test_no_batch_is_larger_than_the_bound_and_padding_stays_small(lengths, reach, batch_frames):
    seen = []

    def encode(audio):
        seen.append(audio.shape[0] * -(-audio.shape[2] // HOP))
        return encode_neighbourhood(audio, *reach)

    encode_in_pieces(encode, recordings(lengths), HOP, reach, batch_frames)
    assert max(seen) <= batch_frames
    pieces = [piece for n in lengths for piece in pieces_of(0, n, HOP, reach, batch_frames)]
    for batch in batches(pieces, HOP, batch_frames):
        n_real = sum(piece.n_samples for piece in batch)
        assert n_real >= 0.8 * len(batch) * batch[0].n_samples


def test_recordings_of_one_length_stay_whole_and_together():
    shapes = []

    def encode(audio):
        shapes.append(audio.shape)
        return encode_neighbourhood(audio)

    encode_in_pieces(encode, recordings([41] * 5), HOP, Reach(2, 1), batch_frames=33)
    assert shapes == [(3, 1, 41), (2, 1, 41)]


def test_what_would_be_much_more_work_in_pieces_stays_whole():
    shapes = []

    def encode(audio):
        shapes.append(audio.shape[2])
        return encode_neighbourhood(audio, 3, 3)

    encode_in_pieces(encode, recordings([20 * HOP, 20 * HOP + 1]), HOP, Reach(3, 3), batch_frames=200)
    assert sorted(shapes) == [20 * HOP, 20 * HOP + 1]
    shapes.clear()
    encode_in_pieces(encode, recordings([90 * HOP, 90 * HOP + 1]), HOP, Reach(3, 3), batch_frames=200)
    assert sum(shapes) < 1.1 * 181 * HOP and max(shapes) <= 90 * HOP and len(shapes) == 3  # both bodies, two ends


def test_pieces_cover_every_frame_once():
    pieces = list(pieces_of(0, 4 * HOP * 25 + 3, HOP, Reach(2, 1), 20))
    covered = [frame for piece in pieces for frame in range(piece.start, piece.stop)]
    assert covered == list(range(101))
    assert [piece.is_end for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert len({piece.stop - piece.start for piece in pieces[:-1]}) <= 2  # of about equal length


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="no samples"):
        encode_in_pieces(encode_neighbourhood, [np.zeros((1, 0), np.float32)], HOP, Reach(0, 0), 5)
    with pytest.raises(ValueError, match=r"too short for a reach of \(3, 3\)"):
        encode_in_pieces(encode_neighbourhood, recordings([400]), HOP, Reach(3, 3), 9)
    with pytest.raises(ValueError, match="gave 3 frames for 16 samples"):
        encode_in_pieces(lambda audio: np.zeros((1, 3, 1)), recordings([16]), HOP, Reach(0, 0), 5)
