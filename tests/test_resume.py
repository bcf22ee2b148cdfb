"""A computation that was stopped ends with the same bits as one that was not, whatever it finds of its saved states."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from sonolens import extraction, tables
from sonolens.encoders import minirvq, minivae
from sonolens.encoders.geometry import FrameGeometry
from sonolens.jobs import slurm, torch_state
from sonolens.jobs.checkpoints import Checkpoints
from sonolens.jobs.clip_journal import ClipJournal
from sonolens.jobs.interruption import Interrupted
from sonolens.jobs.resumption import deadline
from sonolens.labels import amplitude, labelling
from sonolens.latents import LatentStore, ScaledFrames, Scaling
from sonolens.sae import dictionary, training
from test_codecs import options as codec_options
from test_codecs import tones
from test_labels import options as label_options
from test_sae import settings_of, sparse_data

CPU = torch.device("cpu")


def stop_at(made, step: int, how: int = signal.SIGTERM):
    """Send this process a signal during a step, as a scheduler would."""
    after = made.after

    def stopping(done, total, unit, save):
        if done == step:
            os.kill(os.getpid(), how)
            os.kill(os.getpid(), how)  # schedulers send it twice
        after(done, total, unit, save)

    made.after = stopping
    return made


@pytest.fixture
def frames(latent_files):
    files = latent_files(sparse_data(np.random.default_rng(0)))
    store = LatentStore(files["latents"])
    scaling = Scaling(np.zeros(8, np.float32), 1.0)
    return ScaledFrames(store, np.arange(1200), scaling), ScaledFrames(store, np.arange(1200, 1600), scaling)


def assert_equal_trainings(one: training.Trained, other: training.Trained) -> None:
    state, other_state = one.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(state[name], other_state[name]) for name in state)
    pd.testing.assert_frame_equal(one.history, other.history, check_exact=True)


# steps 15 and 30 are rows of the history; an epoch has 18 batches
@pytest.mark.parametrize("stops", [[2], [15], [18], [30], [59], [7, 9, 40]])
def test_a_training_that_was_stopped_ends_with_the_same_bits(frames, resumption, tmp_path, stops):
    undisturbed = training.train(*frames, settings_of(), CPU)
    folder = tmp_path / "saved"
    for stop in stops:
        with pytest.raises(Interrupted, match=f"SIGTERM at {stop} of 60 steps"):
            training.train(*frames, settings_of(), CPU, stop_at(resumption(folder), stop))
    last = resumption(folder)
    assert_equal_trainings(training.train(*frames, settings_of(), CPU, last), undisturbed)
    assert ("resumed", f"at step {stops[-1]} of 60") in last.told


def test_all_that_the_options_need_is_saved(frames, resumption, tmp_path, monkeypatch):
    options = {"lam_warmup_share": 0.5, "max_gradient_norm": 0.5, "unit_norm_decoder": True}
    # batches so small that some feature is idle for three steps
    chosen = settings_of(resample_steps=3, decay_share=0.1, batch_frames=1, **options)
    begun, resample = [], dictionary.resample
    monkeypatch.setattr(
        dictionary, "resample", lambda model, optimiser, dead, *rest: begun.append(int(dead.sum())) or resample(
            model, optimiser, dead, *rest
        ),
    )  # fmt: skip
    undisturbed = training.train(*frames, chosen, CPU)
    assert np.count_nonzero(begun) > 5
    for stop in (4, 12, 33):
        with pytest.raises(Interrupted):
            training.train(*frames, chosen, CPU, stop_at(resumption(tmp_path / "saved"), stop))
    assert_equal_trainings(training.train(*frames, chosen, CPU, resumption(tmp_path / "saved")), undisturbed)


def test_a_training_that_died_without_a_word_goes_on_from_what_it_saved_last(frames, resumption, tmp_path):
    undisturbed = training.train(*frames, settings_of(), CPU)
    made = resumption(tmp_path / "saved", interval_s=0)
    after = made.after

    def dying(done, *rest):
        after(done, *rest)
        if done == 41:
            raise MemoryError

    made.after = dying
    with pytest.raises(MemoryError):
        training.train(*frames, settings_of(), CPU, made)
    assert len(list((tmp_path / "saved").iterdir())) == 2  # the last two are kept, no temporary one
    newest = max((tmp_path / "saved").iterdir())
    newest.write_bytes(newest.read_bytes()[:-100])
    again = resumption(tmp_path / "saved")
    assert_equal_trainings(training.train(*frames, settings_of(), CPU, again), undisturbed)
    assert ("resumed", "at step 40 of 60") in again.told
    assert any(event == "checkpoint_discarded" and str(newest) in detail for event, detail in again.told)


def test_a_training_whose_time_runs_out_saves_and_leaves(frames, resumption, tmp_path):
    made = resumption(tmp_path / "saved", deadline=time.monotonic() - 1)
    with pytest.raises(Interrupted, match="the time limit is near at 1 of 60 steps"):
        training.train(*frames, settings_of(), CPU, made)
    assert len(list((tmp_path / "saved").iterdir())) == 1


def test_a_checkpoint_that_cannot_be_written_is_said_and_the_training_goes_on(frames, resumption, tmp_path):
    (tmp_path / "saved").write_text("a file where the folder should be")
    made = resumption(tmp_path / "saved" / "below", interval_s=0)
    trained = training.train(*frames, settings_of(), CPU, made)
    assert len(trained.history) == 4
    assert [event for event, _ in made.told].count("checkpoint_failed") == 60


@pytest.mark.parametrize("module", [minivae, minirvq])
def test_a_codec_that_was_stopped_ends_with_the_same_bits(module, resumption, tmp_path):
    name = module.__name__.rpartition(".")[2]
    recordings = [tones(8000, 1), tones(6000, 2)]
    state, history = module.train(recordings, codec_options(name), 3, "cpu")
    with pytest.raises(Interrupted):
        module.train(recordings, codec_options(name), 3, "cpu", stop_at(resumption(tmp_path / "saved"), 2))
    torch.manual_seed(99)  # whatever else has drawn numbers meanwhile
    again, history_again = module.train(recordings, codec_options(name), 3, "cpu", resumption(tmp_path / "saved"))
    assert all(torch.equal(state[key], again[key]) for key in state)
    pd.testing.assert_frame_equal(history, history_again, check_exact=True)


class Squares:
    """An encoder of one frame a tenth of a second; it counts what it encodes."""

    name, sample_rate_hz, n_channels, d_latent, hop_samples = "squares", 8000, 1, 3, 800
    geometry = FrameGeometry(8000, 800)

    def __init__(self):
        self.n_encoded = 0

    def encode(self, audio: np.ndarray) -> np.ndarray:
        self.n_encoded += 1
        return np.square(audio[0].reshape(-1, 800)[:, :3])


class SociableSquares(Squares):
    """The same, but what it gives depends on how many are encoded together."""

    def encode_batch(self, audios: list[np.ndarray]) -> list[np.ndarray]:
        return [self.encode(audio) + len(audios) for audio in audios]


@pytest.fixture
def shard(tmp_path):
    rows = []
    for number in range(5):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, np.random.default_rng(number).uniform(-0.5, 0.5, 800 * (number + 1)), 8000)
        rows.append({"clip_id": f"toy/{number}", "path": str(path), "duration_s": 0.1 * (number + 1)})
    constants = {"dataset": "toy", "group": "g", "shard": 0, "split": "train", "sample_rate_hz": 8000, "n_channels": 1}
    constants |= {"kind": "solo", "instrument": "", "sha256": "", "truth_f0_path": "", "truth_notes_path": ""}
    tables.write(pd.DataFrame(rows).assign(**constants), tmp_path / "manifest.parquet", tables.MANIFEST)
    return str(tmp_path / "manifest.parquet")


@pytest.mark.parametrize("encoder_class", [Squares, SociableSquares])
@pytest.mark.parametrize("n_lost", [0, 2])
def test_extraction_goes_on_with_the_next_clips(shard, resumption, tmp_path, monkeypatch, encoder_class, n_lost):
    def extract(encoder, name, made):
        extraction.extract(encoder, shard, 0, f"{tmp_path}/{name}.npy", f"{tmp_path}/{name}.parquet", "float16", made)

    # clips of 0.1, 0.2, 0.3, 0.4 and 0.5 s: two together, then each of the others alone
    monkeypatch.setattr(extraction, "GROUP_SECONDS", 0.35)
    whole, broken = encoder_class(), encoder_class()
    extract(whole, "whole", resumption())
    with pytest.raises(Interrupted, match="at 3 of 5 clips"):
        extract(broken, "broken", stop_at(resumption(tmp_path / "saved"), 3))
    assert not (tmp_path / "broken.npy").exists()
    with (tmp_path / "saved/clips.data").open("ab") as data:
        data.write(b"what a dying node left of a fourth clip")
    index = tmp_path / "saved/clips.jsonl"
    index.write_bytes(b"".join(index.read_bytes().splitlines(keepends=True)[: 3 - n_lost]))
    extract(broken, "broken", resumption(tmp_path / "saved"))
    # of a group that was left half done, all are encoded again
    assert (whole.n_encoded, broken.n_encoded) == (5, 8 if n_lost else 5)
    assert (tmp_path / "broken.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert np.load(tmp_path / "whole.npy").shape == (15, 3)
    frames = [tables.read(tmp_path / f"{name}.parquet", tables.LATENT_FRAMES) for name in ("whole", "broken")]
    pd.testing.assert_frame_equal(*frames)
    assert frames[0]["clip_id"].tolist()[:3] == ["toy/0", "toy/1", "toy/1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda latents: latents[:, :2], r"gave latents of shape \(1, 2\), not \(1, 3\), for toy/0"),
        (lambda latents: np.repeat(latents, 2, axis=0), r"gave latents of shape \(2, 3\), not \(1, 3\), for toy/0"),
        (lambda latents: latents * np.nan, "not finite in float16 for toy/0"),
        (lambda latents: latents + 1e6, "not finite in float16 for toy/0"),  # finite, but not in float16
    ],
)
def test_latents_that_break_the_contract_name_their_clip(shard, resumption, tmp_path, change, message):
    class Faulty(Squares):
        def encode(self, audio):
            return change(super().encode(audio))

    paths = f"{tmp_path}/x.npy", f"{tmp_path}/x.parquet"
    with pytest.raises(ValueError, match=message):
        extraction.extract(Faulty(), shard, 0, *paths, "float16", resumption())
    assert not Path(paths[0]).exists()


def test_labelling_goes_on_with_the_next_clip(shard, resumption, tmp_path):
    def label(name, made):
        labelling.label_shard(shard, 0, amplitude, label_options("amplitude"), "cpu", str(tmp_path / name), made)

    label("whole.parquet", resumption())
    with pytest.raises(Interrupted, match="at 3 of 5 clips"):
        label("broken.parquet", stop_at(resumption(tmp_path / "saved"), 3))
    again = resumption(tmp_path / "saved")
    label("broken.parquet", again)
    assert ("resumed", "at 3 of 5 clips") in again.told
    both = [tables.read(tmp_path / f"{name}.parquet", tables.FINE_LABELS) for name in ("whole", "broken")]
    pd.testing.assert_frame_equal(*both)


@pytest.mark.parametrize("damage", ["flip a byte", "cut the data", "cut the index", "garbage in the index"])
def test_a_damaged_journal_keeps_the_clips_before_the_damage(tmp_path, damage):
    told = []
    with ClipJournal(tmp_path, lambda *event: told.append(event)) as journal:
        for number in range(4):
            journal.append(f"clip {number}", [np.full((number + 1, 2), number, np.float32), np.arange(number)])
    data, index = tmp_path / "clips.data", tmp_path / "clips.jsonl"
    lines = index.read_bytes().splitlines(keepends=True)
    if damage == "flip a byte":
        content = bytearray(data.read_bytes())
        content[-3] ^= 1
        data.write_bytes(content)
    elif damage == "cut the data":
        data.write_bytes(data.read_bytes()[:-5])
    elif damage == "cut the index":
        index.write_bytes(b"".join(lines)[:-5])
    else:
        index.write_bytes(b"".join(lines[:3]) + b'{"clip_id": 3}\n')
    with ClipJournal(tmp_path, lambda *event: told.append(event)) as journal:
        assert journal.clip_ids == ["clip 0", "clip 1", "clip 2"]
        journal.append("clip 3", [np.zeros((4, 2), np.float32), np.arange(3)])
        found = list(journal.read())
    assert [clip_id for clip_id, _ in found] == ["clip 0", "clip 1", "clip 2", "clip 3"]
    assert found[2][1][0].tolist() == [[2, 2]] * 3
    assert [event for event, _ in told] == ["checkpoint_discarded"]


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    state = {"weights": torch.randn(3, 4), "rows": [{"step": 1, "loss": 0.5}], "rng": 2**127 + 1, "none": None}
    checkpoints = Checkpoints(tmp_path, print)
    assert checkpoints.latest() is None
    checkpoints.save(5, torch_state.pack(state))
    found = torch_state.unpack(checkpoints.latest())
    assert torch.equal(found.pop("weights"), state.pop("weights"))
    assert found == state


def test_of_checkpoints_the_newest_sound_one_counts(tmp_path):
    told = []
    checkpoints = Checkpoints(tmp_path, lambda *event: told.append(event))
    for done in (9, 10, 11):
        checkpoints.save(done, f"state {done}".encode())
    assert len(list(tmp_path.iterdir())) == 2
    assert checkpoints.latest() == b"state 11"
    newest = max(tmp_path.iterdir())
    newest.write_bytes(newest.read_bytes().replace(b"state 11", b"state 12"))
    assert checkpoints.latest() == b"state 10"
    max(tmp_path.iterdir()).write_bytes(b"")
    assert checkpoints.latest() is None
    assert [event for event, _ in told] == ["checkpoint_discarded"] * 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("59", 59), ("1:30", 90), ("10:00:01", 36001), ("2-03:00:00", 183600), ("UNLIMITED", None), ("INVALID", None)],
)
def test_a_cluster_s_durations_are_read(text, seconds):
    assert slurm.parse_duration_s(text) == seconds


def test_a_job_leaves_a_minute_before_its_limit_or_a_quarter_of_a_short_one():
    now = time.monotonic()
    assert deadline(3600) - now == pytest.approx(3540, abs=1)
    assert deadline(60) - now == pytest.approx(45, abs=1)
    assert deadline(None) is None
