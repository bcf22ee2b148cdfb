"""Audio files in and out."""

import os
import re
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from scipy import signal

import m4a_files
from sonolens import audio


def sine(frequency_hz: float, duration_s: float, sample_rate_hz: int, peak: float = 0.5) -> np.ndarray:
    return peak * np.sin(2 * np.pi * frequency_hz * np.arange(round(duration_s * sample_rate_hz)) / sample_rate_hz)


def test_what_is_written_is_read(tmp_path):
    written = np.stack([sine(440, 1, 16000), sine(550, 1, 16000)])
    assert audio.write_wav(tmp_path / "a.wav", written, 16000) == 0
    read = audio.load(tmp_path / "a.wav", 16000, 2)
    assert read.shape == (2, 16000)
    assert read.dtype == np.float32
    # libsndfile reads 16 bits over 32768, they are written over 32767: 3e-5 of full scale, and half a step
    assert np.abs(read - written).max() < 4e-5


def test_silence_is_written_as_zeros(tmp_path):
    audio.write_wav(tmp_path / "a.wav", np.full((1, 100), 1e-6), 16000)
    assert not audio.load(tmp_path / "a.wav", 16000, 1).any()


def test_beyond_full_scale_is_clipped_and_counted(tmp_path):
    assert audio.write_wav(tmp_path / "a.wav", np.array([[0.0, 1.5, -2.0, 1.0]]), 16000) == 2
    steps, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert steps.tolist() == [0, 32767, -32767, 32767]


@pytest.mark.parametrize("bad", [np.array([[np.nan, 0.0]]), np.array([[np.inf]]), np.zeros(5)])
def test_nonsense_is_not_written(tmp_path, bad):
    with pytest.raises(ValueError, match="finite"):
        audio.write_wav(tmp_path / "a.wav", bad, 16000)
    assert list(tmp_path.iterdir()) == []


def test_stereo_becomes_mono_by_its_mean(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.tile([0.5, -0.25], (100, 1)), 16000, subtype="FLOAT")
    assert np.allclose(audio.load(tmp_path / "a.wav", 16000, 1), 0.125)


def test_mono_becomes_stereo_by_repetition(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.full(100, 0.5), 16000, subtype="FLOAT")
    assert np.allclose(audio.load(tmp_path / "a.wav", 16000, 2), np.full((2, 100), 0.5))


@pytest.mark.parametrize("file_rate_hz", [8000, 22050, 44100, 96000])
def test_resampling_keeps_duration_time_and_pitch(tmp_path, file_rate_hz):
    signal = sine(1000, 1.0, file_rate_hz)
    signal[: file_rate_hz // 2] = 0  # an onset at 0.5 s
    soundfile.write(tmp_path / "a.wav", signal, file_rate_hz, subtype="FLOAT")
    (read,) = audio.load(tmp_path / "a.wav", 16000, 1)
    assert abs(len(read) - 16000) <= 1
    onset_s = np.flatnonzero(np.abs(read) > 0.25)[0] / 16000
    assert abs(onset_s - 0.5) < 0.001
    assert np.abs(np.fft.rfft(read[8000:16000])).argmax() == 500  # bins of 2 Hz


def test_a_text_file_is_named_in_the_error(tmp_path):
    (tmp_path / "notes.wav").write_text("not audio")
    with pytest.raises(ValueError, match=r"notes\.wav cannot be read as audio"):
        audio.load(tmp_path / "notes.wav", 16000, 1)


def test_more_channels_than_can_be_had(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.full((100, 2), 0.5), 16000)
    with pytest.raises(ValueError, match="2 channels; 4 are wanted"):
        audio.load(tmp_path / "a.wav", 16000, 4)


def test_why_unusable(tmp_path):
    """One file for each reason, and the ones just on the good side."""
    long_file = sine(440, 30, 16000)

    def reason(name: str, samples: np.ndarray, **how) -> str | None:
        soundfile.write(tmp_path / name, samples, 16000, **how)
        return audio.why_unusable(tmp_path / name, 0.5)

    assert reason("good.wav", sine(440, 0.5, 16000)) is None
    assert reason("short.wav", sine(440, 0.49, 16000)).startswith("too short: 0.49 s")
    assert reason("silent.wav", np.zeros(16000)).startswith("silent")
    assert reason("soft.wav", sine(440, 1, 16000, peak=2e-4)) is None
    assert reason("softer.wav", sine(440, 1, 16000, peak=5e-5), subtype="FLOAT").startswith("silent")
    assert reason("surround.wav", np.full((16000, 6), 0.5)).startswith("6 channels")
    long_file[-1] = np.nan  # in the last block
    assert reason("nan.wav", long_file, subtype="FLOAT").startswith("non-finite")
    assert reason("header_only.wav", np.zeros(0)) == "empty: no samples"
    (tmp_path / "empty.wav").touch()
    assert audio.why_unusable(tmp_path / "empty.wav", 0.5) == "empty file"
    (tmp_path / "text.wav").write_text("This is not audio." * 100)
    assert audio.why_unusable(tmp_path / "text.wav", 0.5).startswith("unreadable")
    assert audio.why_unusable(tmp_path / "absent.wav", 0.5).startswith("there is no such file")
    (tmp_path / "folder.wav").mkdir()
    assert audio.why_unusable(tmp_path / "folder.wav", 0.5) == "not a regular file"


def test_a_cut_file_is_not_taken_for_a_whole_one(tmp_path):
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.flac", rng.uniform(-0.5, 0.5, 160000), 16000)
    content = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(content[: len(content) // 2])
    reason = audio.why_unusable(tmp_path / "cut.flac", 0.5)
    assert reason is not None
    assert reason.startswith(("damaged", "unreadable"))


def sweep(sample_rate_hz: int, n_samples: int) -> np.ndarray:
    time_s = np.arange(n_samples) / sample_rate_hz
    return (0.4 * np.sin(2 * np.pi * (200 * time_s + 300 * time_s**2)) * (time_s > 0.3)).astype(np.float32)


@pytest.mark.parametrize(("sample_rate_hz", "n_channels"), [(44100, 2), (48000, 1), (22050, 1)])
def test_an_m4a_is_read_where_its_recording_lies(tmp_path, sample_rate_hz, n_channels):
    n_samples = round(2.345 * sample_rate_hz)
    sound = np.stack([sweep(sample_rate_hz, n_samples)] * n_channels)
    m4a_files.write(tmp_path / "a.m4a", sound, sample_rate_hz)
    read = audio.load(tmp_path / "a.m4a", sample_rate_hz, n_channels)
    assert read.dtype == np.float32 and read.shape[0] == n_channels
    assert abs(read.shape[1] - n_samples) <= sample_rate_hz / 1000 + 1  # the container counts in milliseconds
    assert audio.header(tmp_path / "a.m4a") == (read.shape[1], sample_rate_hz, n_channels)
    lag = signal.correlate(read[0], sound[0]).argmax() - (n_samples - 1)
    assert lag == 0
    assert np.abs(read[0, 8000:40000] - sound[0, 8000:40000]).max() < 0.05
    assert audio.why_unusable(tmp_path / "a.m4a", 0.5) is None
    assert audio.load(tmp_path / "a.m4a", 16000, 1).shape[1] == pytest.approx(
        16000 * n_samples / sample_rate_hz, abs=20
    )


def test_what_is_wrong_with_an_m4a_is_said(tmp_path):
    m4a_files.write(tmp_path / "whole.m4a", sweep(44100, 200_000)[None], 44100)
    content = (tmp_path / "whole.m4a").read_bytes()
    (tmp_path / "cut.m4a").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.m4a").write_text("This is not audio.")
    (tmp_path / "empty.m4a").touch()
    m4a_files.write(tmp_path / "silent.m4a", np.zeros((1, 44100)), 44100)
    with av.open(str(tmp_path / "picture.m4a"), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        container.mux(stream.encode(None))
    reason = {path.stem: audio.why_unusable(path, 0.5) for path in tmp_path.glob("*.m4a")}
    assert reason["whole"] is None
    assert re.fullmatch(r"damaged: \d+ of 199994 samples can be read|unreadable: it breaks off after .*", reason["cut"])
    assert reason["text"].startswith("unreadable: ")
    assert reason["empty"] == "empty file"
    assert reason["silent"] == "silent: peak below -80 dBFS"
    assert reason["picture"] == "unreadable: there is no sound in it"
    with pytest.raises(ValueError, match=r"cut.m4a cannot be read as audio: .* of 199994 samples"):
        audio.load(tmp_path / "cut.m4a", 16000, 1)


def test_an_m4a_that_ends_between_two_of_its_packets_is_cut_off_too(tmp_path):
    """FFmpeg takes that for the end."""
    m4a_files.write(tmp_path / "whole.m4a", sweep(44100, 200_000)[None], 44100)
    with av.open(str(tmp_path / "whole.m4a")) as container:
        begins = [packet.pos for packet in container.demux(audio=0) if packet.size]
    (tmp_path / "cut.m4a").write_bytes((tmp_path / "whole.m4a").read_bytes()[: begins[100]])
    reason = audio.why_unusable(tmp_path / "cut.m4a", 0.5)
    assert re.fullmatch(r"damaged: \d+ of 199994 samples can be read", reason)
    with pytest.raises(ValueError, match=r"cut.m4a cannot be read as audio: \d+ of 199994 samples can be read"):
        audio.load(tmp_path / "cut.m4a", 16000, 1)


def test_who_reads_no_m4a_loads_no_ffmpeg():
    command = "import sys; from sonolens import audio; sys.exit('av' in sys.modules)"
    path = {"PYTHONPATH": str(Path(audio.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", command], env=os.environ | path).returncode == 0
