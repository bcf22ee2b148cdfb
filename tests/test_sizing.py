"""What jobs ask for: enough for what was measured, more for larger jobs, and more at each attempt."""

import re
from pathlib import Path

import numpy as np
import pytest

from sonolens import extraction, latents, plugins, shuffling, sizing, tables
from sonolens.datasets import manifest
from sonolens.files import write_json
from sonolens.sizing import Audio

ROOT = Path(__file__).parents[1]
LONGEST = 1440
GRID = {"steps": 20_000, "batch_frames": 4096, "history_rows": 20, "validation_share": 0.1, "device": "auto"}
DEMO_GRID = GRID | {"steps": 1000, "batch_frames": 1024, "device": "cpu"}
PROBE = {"n_attributes": 3, "max_epochs": 30, "batch_frames": 1024, "device": "cpu"}
DEMO_FRAMES = 72_000
SHARD = Audio(hours=0.2, longest_seconds=20, largest_bytes=1.28e6)  # of the demo
TEST = Audio(hours=0.04, longest_seconds=20, largest_bytes=1.28e6)
TRAIN = Audio(hours=0.32, longest_seconds=20, largest_bytes=1.28e6)
SMALL = sizing.Network()  # a card that says nothing of its cost
EXCERPT = Audio(2.5 / 3600, 2.5, 0)


def steering(n_sounds: int) -> sizing.Need:
    """Of the demo: excerpts of 2.5 s, 50 frames a second, at most 2048 features."""
    heard = sizing.hearing(EXCERPT, 2.5 * n_sounds, 16_000, SMALL, "cpu", n_features=2048, d_latent=64)
    return sizing.steering(heard, 125, 2048)


def generating(n_generated: int, n_heard: int = 0) -> sizing.Need:
    """Of the demo: 128 frames, 2.56 s, of a cell of at most 2048 features."""
    need = sizing.generating(sizing.Flow(), n_generated, 6, 32, 2048, "cpu")
    sound = sizing.Audio(2.56 / 3600, 2.56, 0)
    return sizing.together(need, sizing.hearing(sound, 2.56 * n_heard, 16_000, SMALL, "cpu")) if n_heard else need


# Megabytes (max_rss) and seconds of the demo on a core of an AMD Zen 5, the largest of several jobs each.
MEASURED_IN_THE_DEMO = {
    "train_sae, 256 features": (sizing.training(DEMO_FRAMES, 64, 256, **DEMO_GRID), 576, 8),
    "train_sae, 2048 features": (sizing.training(DEMO_FRAMES, 64, 2048, **DEMO_GRID), 585, 27),
    "fit_probes, 256 features": (sizing.probing(DEMO_FRAMES, 64, 256, **PROBE), 586, 6),
    "fit_probes, 2048 features": (sizing.probing(DEMO_FRAMES, 64, 2048, **PROBE), 589, 12),
    "fit_raw_probes": (sizing.probing(DEMO_FRAMES, 64, None, **PROBE), 583, 5),
    "train_codec": (sizing.codec_training(TRAIN, 16_000, "cpu"), 752, 251),
    "extract_latents": (sizing.extraction(SHARD, 50, 64, 16_000, SMALL, "cpu"), 485, 5),
    "label_frames_on_gpu, pitch by CREPE tiny": (sizing.labelling(SHARD, True, "cpu"), 601, 61),
    "label_frames, amplitude": (sizing.labelling(SHARD, False, "cpu"), 413, 6),
    "evaluate_codec": (sizing.hearing(TEST, 140, 16_000, SMALL, "cpu"), 673, 17),
    "decode_excerpts": (sizing.hearing(TEST, 60, 16_000, SMALL, "cpu"), 590, 6),
    "measure_scaling": (sizing.scaling(DEMO_FRAMES, 64), 192, 1),
    "find_directions": (sizing.probing(DEMO_FRAMES, 64, 2048, **PROBE | {"n_attributes": 1, "max_epochs": 1}), 400, 5),
    "encode_steering_excerpts": (sizing.hearing(TEST, 15, 16_000, SMALL, "cpu"), 590, 12),
    "embed_originals": (sizing.labelling(TEST, True, "cpu"), 523, 10),
    "steer_cell": (steering(60 * 6), 628, 256),
    "train_generator": (sizing.training_flow(DEMO_FRAMES, "cpu"), 725, 182),
    "trace_generation": (generating(18), 594, 12),
    "render_generation": (generating(2, 20), 593, 17),
    "measure_samples": (generating(36, 78), 827, 25),
    "steer_generation": (generating(6 * 21, 6 * 21), 785, 103),
}
# The same functions on more frames (64 wide, one step or two epochs): megabytes without the pages of mapped files, of
# which 128 bytes a frame (fp16) are in max_rss and can be given back.
MEASURED_ON_MORE_FRAMES = {
    "train_sae": (sizing.training(1_600_000, 64, 256, **DEMO_GRID), 1262 - 205),
    "fit_probes": (sizing.probing(1_600_000, 64, 256, **PROBE), 1263 - 205),
    "fit_raw_probes": (sizing.probing(1_600_000, 64, None, **PROBE), 1275 - 205),
    "measure_scaling": (sizing.scaling(1_600_000, 64), 822 - 205),
}


@pytest.mark.parametrize("job", MEASURED_IN_THE_DEMO)
def test_estimates_cover_what_the_demo_took(job):
    need, megabytes, seconds = MEASURED_IN_THE_DEMO[job]
    assert 1.5 * megabytes <= sizing.memory_mb(need.megabytes, 1) <= 10 * megabytes
    assert 2 * seconds <= 60 * sizing.runtime_minutes(need.seconds, 1, LONGEST)


@pytest.mark.parametrize("job", MEASURED_ON_MORE_FRAMES)
def test_estimates_cover_what_more_frames_took_and_are_near_it(job):
    need, megabytes = MEASURED_ON_MORE_FRAMES[job]
    assert 1.2 * megabytes <= need.megabytes <= 4 * megabytes


def test_the_papers_largest_cell_is_asked_for_in_hours_on_a_core_and_in_minutes_on_a_gpu():
    on_core = sizing.training(540_000, 64, 16_384, **GRID)
    on_gpu = sizing.training(540_000, 64, 16_384, **(GRID | {"device": "cuda"}))
    # 120 GFLOP/s were measured: 2 h; a third of that is what an old core does
    assert 2 * 3600 < on_core.seconds < 8 * 3600
    assert 5 * 60 < on_gpu.seconds < 30 * 60
    assert on_core.megabytes == on_gpu.megabytes  # `auto` may find a GPU, with CUDA's libraries in the node's memory
    assert sizing.training(540_000, 64, 16_384, **(GRID | {"device": "cpu"})).megabytes < on_gpu.megabytes


def test_later_attempts_ask_for_more_up_to_what_the_cluster_grants():
    assert [sizing.memory_mb(1490.0, attempt) for attempt in (1, 2, 3)] == [1500, 3000, 4500]
    assert [sizing.runtime_minutes(3590.0, attempt, 150) for attempt in (1, 2, 3)] == [60, 120, 150]
    assert sizing.runtime_minutes(1e6, 1, LONGEST) == LONGEST
    assert sizing.runtime_minutes(1.0, 1, LONGEST) == sizing.SHORTEST_MINUTES


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        (sizing.training(10**5, 64, 512, **GRID), sizing.training(10**6, 64, 512, **GRID)),
        (sizing.training(10**5, 64, 512, **GRID), sizing.training(10**5, 64, 16_384, **GRID)),
        (sizing.training(10**5, 64, 512, **GRID), sizing.training(10**5, 512, 512, **GRID)),
        (sizing.probing(10**5, 64, 512, **PROBE), sizing.probing(10**6, 64, 512, **PROBE)),
        (sizing.probing(10**5, 64, 512, **PROBE), sizing.probing(10**5, 64, 16_384, **PROBE)),
        (
            sizing.extraction(SHARD, 50, 64, 16_000, SMALL, "auto"),
            sizing.extraction(TRAIN, 50, 64, 16_000, SMALL, "auto"),
        ),
        (sizing.labelling(SHARD, True, "auto"), sizing.labelling(SHARD._replace(hours=3), True, "auto")),
        (sizing.labelling(SHARD, False, "auto"), sizing.labelling(SHARD, True, "auto")),
        (sizing.codec_training(SHARD, 16_000, "auto"), sizing.codec_training(TRAIN, 16_000, "auto")),
        (sizing.hearing(TEST, 60, 16_000, SMALL, "auto"), sizing.hearing(TRAIN, 600, 16_000, SMALL, "auto")),
        (
            sizing.extraction(SHARD, 50, 64, 16_000, SMALL, "cpu"),
            sizing.extraction(SHARD, 50, 64, 16_000, sizing.Network(1500, 0.25), "cpu"),
        ),
        (
            sizing.hearing(TEST, 60, 16_000, SMALL, "cpu"),
            sizing.hearing(TEST, 60, 16_000, sizing.Network(1500, 0.25), "cpu"),
        ),
        (sizing.scaling(10**5, 64), sizing.scaling(10**7, 64)),
        (generating(10), generating(1000)),
        (
            sizing.generating(sizing.Flow(), 10, 4, 32, 1024, "cuda"),
            sizing.generating(sizing.Flow(2.5e9, 5600, 64, 2048), 10, 4, 32, 1024, "cuda"),
        ),
        (sizing.embedding_prompts(False, "cpu"), sizing.embedding_prompts(True, "cpu")),
    ],
)
def test_more_data_and_wider_dictionaries_need_more(smaller, larger):
    assert larger.megabytes > smaller.megabytes
    assert larger.seconds > smaller.seconds


@pytest.mark.parametrize(
    ("module", "peak_mb", "speed"),
    [("diffrhythm_vae", 1553, 0.43), ("encodec", 935, 16.7), ("wavtokenizer", 1357, 17.7)],
)
def test_cards_cover_what_their_encoder_took(module, peak_mb, speed):
    """Peak of the process and seconds of audio a second, on a core (tests/benchmarks/encoding.py)."""
    card = plugins.card("encoders", module)
    network = sizing.Network(**{name: card[name] for name in sizing.Network._fields})
    need = sizing.extraction(SHARD, 75, 128, 88_200, network, "cpu")
    assert need.megabytes > 1.5 * peak_mb
    assert need.seconds - sizing.START_SECONDS > 1.5 * SHARD.hours * 3600 / speed


def test_audio_in_hand_is_that_of_extraction():
    assert sizing.GROUP_SECONDS == extraction.GROUP_SECONDS


def test_a_recording_of_hours_is_counted_whole():
    longer = SHARD._replace(longest_seconds=7200, largest_bytes=4 * 7200 * 48_000 * 2)
    more_mb = sizing.labelling(longer, True, "cpu").megabytes - sizing.labelling(SHARD, True, "cpu").megabytes
    # as 32-bit samples 2.8 GB, and 720 000 frames of 360 probabilities in fp32 and as many steps of a path
    assert more_mb > 2765 + 720_000 * 360 * 6 / 1e6


@pytest.mark.parametrize(
    ("audio", "has_network", "peak_mb"),
    [
        (Audio(5, 20, 4 * 20 * 44_100 * 2), False, 284),  # 900 clips in stereo, timbre
        (Audio(5, 1200, 4 * 1200 * 44_100 * 2), False, 750),  # 15 recordings, amplitude
        (Audio(1, 3600, 4 * 3600 * 16_000), True, 1617),  # one recording, pitch, a network that takes nothing
    ],
)
def test_estimates_cover_what_labels_of_hours_took(audio, has_network, peak_mb):
    assert 1.2 * peak_mb < sizing.labelling(audio, has_network, "cpu").megabytes < 5 * peak_mb


def test_the_probabilities_of_an_hour_are_counted():
    hour = Audio(1, 3600, 4 * 3600 * 16_000)
    by_network, by_arithmetic = (sizing.labelling(hour, has_network, "cpu").megabytes for has_network in (True, False))
    assert by_network - by_arithmetic > sizing.TORCH_MB - sizing.PLAIN_MB + 360_000 * 2100 / 1e6  # bytes measured


def test_frames_beyond_the_budget_are_read_from_disk_and_take_time_instead_of_memory():
    assert sizing.HELD_BYTES == shuffling.RESIDENT_BYTES == 2 * shuffling.POOL_BYTES
    n_held = sizing.HELD_BYTES // (4 * 64)
    held, hundredfold = (sizing.training(n, 64, 1024, **GRID) for n in (n_held, 100 * n_held))
    table_mb = sizing.MARGIN * 100 * n_held * sizing.TRAINING_TABLE_BYTES / 1e6
    assert hundredfold.megabytes - table_mb < sizing.CUDA_MB + sizing.MARGIN * sizing.HELD_BYTES / 1e6 + 200
    assert hundredfold.seconds > held.seconds + GRID["steps"] * GRID["batch_frames"] * sizing.ROW_READ_SECONDS


def test_nothing_asks_for_less_than_a_process_takes():
    nothing = Audio(0, 0, 0)
    for device, floor_mb in (("cpu", sizing.TORCH_MB), ("auto", sizing.CUDA_MB), ("cuda", sizing.CUDA_MB)):
        needs = [
            sizing.training(0, 64, 64, **(GRID | {"device": device, "steps": 1})),
            sizing.probing(0, 64, None, **(PROBE | {"device": device})),
            sizing.extraction(nothing, 50, 64, 16_000, SMALL, device),
            sizing.labelling(nothing, True, device),
            sizing.codec_training(nothing, 16_000, device),
            sizing.hearing(nothing, 0, 16_000, SMALL, device),
        ]
        assert min(need.megabytes for need in needs) >= floor_mb
        assert min(need.seconds for need in needs) >= sizing.START_SECONDS
    assert sizing.scaling(0, 64).megabytes >= sizing.PLAIN_MB


def test_latent_frames_are_counted_by_the_files(latent_files, tmp_path):
    paths = latent_files(np.zeros((1000, 64), np.float32))["latents"]
    assert sizing.n_latent_frames(paths, 64, "float32") == 1000 + 1  # the two headers are half a frame each
    missing = str(tmp_path / "missing.npy")
    with pytest.raises(FileNotFoundError) as caught:
        sizing.n_latent_frames([*paths, missing], 64, "float32")
    assert caught.value.filename == missing  # as Snakemake recognises an input that is yet to be made


def test_frames_are_known_from_the_scaling_of_the_train_split(latent_files, tmp_path):
    files = latent_files(np.random.default_rng(0).normal(size=(1000, 4)).astype(np.float32))  # 60 % are to train on
    path = str(tmp_path / "scaling.json")
    with pytest.raises(FileNotFoundError) as caught:
        sizing.n_scaled_frames(path, 0.6)
    assert caught.value.filename == path
    latents.measure_scaling(files["latents"], files["frames"], files["manifests"], path)
    assert sizing.n_scaled_frames(path, 0.6) == 1000


def test_tables_are_counted_by_the_files(tmp_path):
    (tmp_path / "labels.parquet").write_bytes(bytes(10**6))
    plain, with_truth = (sizing.joining([str(tmp_path / "labels.parquet")], truth) for truth in (False, True))
    assert sizing.PLAIN_MB + 20 < plain.megabytes < with_truth.megabytes


def test_shards_and_splits_are_summed_up_in_hours(latent_files, tmp_path):
    files = latent_files(np.zeros((1000, 64), np.float32))  # ten clips of a second at 16 kHz, 6:2:2
    used = tables.read(files["manifests"][0], tables.MANIFEST)
    used.loc[1, "duration_s"] = 3.0  # in shard 1, in the train split
    path = str(tmp_path / "shards.json")
    write_json(path, manifest.summary(used, n_shards=3))
    assert sizing.audio_of([path], "shards", "0") == Audio(pytest.approx(5 / 3600), 1.0, 64_000)
    assert sizing.audio_of([path], "shards", "1") == Audio(pytest.approx(7 / 3600), 3.0, 192_000)
    assert sizing.audio_of([path], "shards", "2") == Audio(0.0, 0.0, 0.0)  # no clip fell into it
    assert sizing.audio_of([path, path], "splits", "train") == Audio(pytest.approx(2 * 8 / 3600), 3.0, 192_000)
    assert sizing.audio_of([path], "splits") == Audio(pytest.approx(12 / 3600), 3.0, 192_000)


def resources() -> dict[str, str]:
    """Text of the resources of each rule that has any of its own."""
    text = "".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    blocks = re.split(r"^(?:use )?rule (?:\w+ as )?(\w+)(?: with)?:$", text, flags=re.MULTILINE)[1:]
    found = {}
    for rule, block in zip(blocks[::2], blocks[1::2], strict=True):
        own = re.search(r"^    resources:\n((?:        .*\n)+)", block, re.MULTILINE)
        if own:
            found[rule] = own[1]
    return found


def test_memory_and_time_of_every_rule_grow_with_the_attempt():
    for rule, text in resources().items():
        assert re.search(r"mem_mb=memory\(", text), rule
        assert re.search(r"runtime=minutes\(", text), rule


def test_only_what_computes_on_a_gpu_asks_for_one():
    # train_objective_sae, fit_raw_probes and fit_objective_probe take the resources of the rule that they are made of
    assert {rule for rule, text in resources().items() if "gpu=1" in text} == {
        "train_codec", "evaluate_codec", "extract_latents", "label_frames_on_gpu", "train_sae", "decode_excerpts",
        "evaluate_sae_audio", "fit_probes", "trace_clips", "measure_frame_time",
        "encode_steering_excerpts", "embed_originals", "find_directions", "steer_cell", "render_steered",
        "train_generator", "embed_prompts", "fit_shuffled_probes", "trace_generation", "render_generation",
        "measure_samples", "steer_generation",
    }  # fmt: skip


def test_what_can_be_resumed_knows_how_often_to_save():
    assert {rule for rule, text in resources().items() if "checkpoint_s=" in text} == {
        "train_codec", "extract_latents", "label_frames", "label_frames_on_gpu", "train_sae", "steer_cell",
        "train_generator", "trace_generation", "measure_samples", "steer_generation",
    }  # fmt: skip


def test_every_attribute_says_whether_it_wants_a_gpu():
    assert {module: plugins.card("labels", module)["gpu"] for module in plugins.available("labels")} == {
        "amplitude": False,
        "pitch": True,
        "timbre": False,
    }
