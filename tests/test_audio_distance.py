"""The log-spectral distance against values worked out by hand."""

import numpy as np
import pytest

from sonolens.audio_distance import (
    FLOOR_DB,
    RESOLUTIONS_SAMPLES,
    log_spectral_distance_db,
    multi_resolution_log_spectral_distance_db,
)

RATE_HZ = 16_000


def noise(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))
    return (level * samples).astype(np.float32)


def test_a_recording_is_at_no_distance_from_itself():
    assert log_spectral_distance_db(noise(1), noise(1)) == 0.0
    assert multi_resolution_log_spectral_distance_db(noise(1), noise(1)) == 0.0


@pytest.mark.parametrize("n_fft", RESOLUTIONS_SAMPLES)
@pytest.mark.parametrize("gain_db", [-6.0, 3.0])
def test_a_gain_is_its_own_distance(n_fft, gain_db):
    # noise at 0.1 lies some 40 dB above the floor in every bin but by rare chance
    louder = (noise(1) * 10 ** (gain_db / 20)).astype(np.float32)
    assert log_spectral_distance_db(noise(1), louder, n_fft) == pytest.approx(abs(gain_db), abs=0.01)


def test_one_window_by_hand():
    n_fft, bins = 16, 9
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    spike, twice = np.zeros(n_fft, np.float32), np.zeros(n_fft, np.float32)
    spike[8], twice[8] = 0.5, 1.0
    # a spike's spectrum is flat: 20·log10(2) in every bin
    assert log_spectral_distance_db(spike, twice, n_fft) == pytest.approx(20 * np.log10(2), abs=1e-4)
    # against silence: from the floor up to the spike's level, the same in every bin
    level = 20 * np.log10(0.5 * window[8] / (window.sum() / 2))
    assert log_spectral_distance_db(spike, np.zeros_like(spike), n_fft) == pytest.approx(level - FLOOR_DB, abs=1e-3)
    # a sine on a bin centre fills three bins of the Hann window, at 0, -6 and -6 dB of full scale
    sine = np.sin(2 * np.pi * 4 * np.arange(n_fft) / n_fft).astype(np.float32)
    expected = np.sqrt((80.0**2 + 2 * (80 - 20 * np.log10(2)) ** 2) / bins)
    assert log_spectral_distance_db(sine, np.zeros_like(sine), n_fft) == pytest.approx(expected, abs=0.01)


def test_silent_frames_do_not_flatter():
    sounding, louder = noise(0.5), noise(0.5) * np.float32(2)
    pause = np.zeros(4 * RATE_HZ, np.float32)
    with_pause = log_spectral_distance_db(np.concatenate([sounding, pause]), np.concatenate([louder, pause]))
    # what differs are the three frames that are partly pause
    assert with_pause == pytest.approx(log_spectral_distance_db(sounding, louder), abs=0.3)


def test_sound_made_up_in_a_pause_of_the_reference_is_not_seen_and_lost_sound_is():
    assert np.isnan(log_spectral_distance_db(np.zeros(4096, np.float32), noise(4096 / RATE_HZ)))
    assert log_spectral_distance_db(noise(0.5), np.zeros(RATE_HZ // 2, np.float32)) > 30


def test_long_recordings_are_worked_through_in_blocks_with_the_same_result():
    # 40 s are several blocks of 512 frames; a gain that changes half-way averages over all frames alike
    reference = noise(40)
    estimate = reference.copy()
    estimate[20 * RATE_HZ :] *= 2
    assert log_spectral_distance_db(reference, estimate) == pytest.approx(20 * np.log10(2) / 2, abs=0.01)


def test_the_multi_resolution_distance_is_the_mean():
    pair = noise(1), noise(1, seed=1)
    expected = np.mean([log_spectral_distance_db(*pair, n_fft) for n_fft in (512, 1024, 2048)])
    assert multi_resolution_log_spectral_distance_db(*pair) == pytest.approx(expected)


def test_recordings_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="two waveforms"):
        log_spectral_distance_db(np.zeros(100, np.float32), np.zeros(101, np.float32))
    with pytest.raises(ValueError, match="got"):
        log_spectral_distance_db(np.zeros((1, 100), np.float32), np.zeros((1, 100), np.float32))


def test_audio_shorter_than_a_window_is_one_frame():
    assert log_spectral_distance_db(noise(0.01), noise(0.01) * np.float32(2)) == pytest.approx(6.0, abs=0.2)
