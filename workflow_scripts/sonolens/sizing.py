"""How much memory and time a job asks for, from what it is: the bytes of its input, its widths, hours of audio.

Every Snakemake process reads this, so nothing heavy is imported. An estimate is a bound for slow machines, not a
forecast: one that is too high waits a little longer in the queue, one that is too low costs an attempt. And where it
was too low nevertheless, the second attempt asks for twice as much, the third for three times.

Times are of one processor core unless the config says `device: cuda`: with `auto` a job may land on a node whose GPU
cannot be used, and has to end in time there too.
"""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

# What a process takes before it has any data. Measured: 250 MB without torch, 410 MB with librosa, 480 to 600 MB with
# torch on a CPU. On a GPU the driver's context and CUDA's libraries lie in the node's memory too, 2 to 3 GB of it.
PLAIN_MB, TORCH_MB, CUDA_MB = 1000, 1500, 3500
# Of all data, for what is not counted: allocators keep what was freed, and pages of mapped files count as used.
MARGIN = 1.25
# Start-up: measured 3 s, but minutes where Python's packages lie on a busy shared file system.
START_SECONDS, SHORTEST_MINUTES = 180, 10

# Frames that are shuffled are held in memory up to this: shuffling.RESIDENT_BYTES (a test holds the two together).
HELD_BYTES = 2 << 30
# A row of latents that is read from disk instead, at its slowest: a page over a network file system.
ROW_READ_SECONDS = 1e-4
# Of a latent frame, its row in the tables while they are joined. Measured: 70 (training), 160 (probes).
TRAINING_TABLE_BYTES, PROBE_TABLE_BYTES = 150, 320
# Of a byte of Parquet, what its table takes while labels are joined. Measured: 5; while they are checked, up to 13.
TABLE_BYTES, TRUTH_TABLE_BYTES = 20, 30
# Frames of a chunk where features are many (sae/blocks.chunk_frames, of latents 512 wide); where they are few, 2 MiB.
CHUNK_FRAMES = 256
# Classes of an attribute at most (pitch has 66): the width of a probe's output.
CLASSES = 128

# Products of matrices, in fp32. In these loops a core of an AMD Zen 5 reaches 120 GFLOP/s, one of ten years ago half of
# that; the smallest GPU found in clusters (T4) is bound by its memory to about 2 TFLOP/s.
FLOPS = {"core": 40e9, "gpu": 1.5e12}
# Of an optimiser's step, whatever its size: Python, and the launch of kernels.
STEP_SECONDS = 5e-3

# Seconds of audio a second. Measured on a core: encoding 700 (minivae, minirvq), amplitude and timbre 1100, CREPE tiny
# 12, decoding with it 12. CREPE full, 1.2, is what counts here; for a GPU all that is known is its arithmetic, 42 GFLOP
# a second of audio. The card of a large encoder has a speed of its own for a core; on a GPU all are faster than ten
# times real time.
ENCODING_SPEED = {"core": 1.0, "gpu": 10.0}
ARITHMETIC_SPEED = 20.0
CREPE_SPEED = {"core": 0.4, "gpu": 10.0}
HEARING_SPEED = {"core": 0.2, "gpu": 3.0}
# extraction.GROUP_SECONDS (a test holds the two together): clips up to so much audio are encoded together
GROUP_SECONDS = 120
# A recording while it is read: as the file has it, mixed down, resampled, and the copy that is contiguous.
AUDIO_COPIES = 4
FINE_FRAMES_PER_S = 100
# Of the codes of an excerpt that is steered: h, f, what is added, the norm's terms, and the sum
CODE_COPIES = 6
# Of a fine frame: its row while labels are written (measured: 50), and where they are read with the clip's name as
# text; and, of the recording in hand, CREPE's 360 probabilities in fp32 with, in two bytes each, whence the best path
# to each came (measured: 2100).
LABEL_ROW_BYTES, FINE_ROW_BYTES, CREPE_BYTES = 75, 150, 360 * 8


class Need(NamedTuple):
    """What a job takes at its first attempt."""

    megabytes: float
    seconds: float


class Audio(NamedTuple):
    """Some of a dataset's recordings: how much there is, and the largest."""

    hours: float
    longest_seconds: float
    largest_bytes: float  # of one recording as 32-bit samples, at its own rate, all channels


def memory_mb(megabytes: float, attempt: int) -> int:
    """Megabytes to ask for, times the attempt.

    Not doubled each time: an attempt may have failed for another reason than memory (a lost node), several times, and
    32 times as much after five retries would be more than any node has.
    """
    return 100 * math.ceil(megabytes / 100) * attempt


def runtime_minutes(seconds: float, attempt: int, longest: int) -> int:
    """Minutes to ask for, times the attempt, from SHORTEST_MINUTES to `longest`.

    `longest` is what the cluster grants at most: a training that takes longer goes on where it was at the next attempt.
    """
    return min(max(SHORTEST_MINUTES, math.ceil(seconds / 60)) * attempt, longest)


def n_latent_frames(paths: Iterable[str], d_latent: int, dtype: str) -> int:
    """Latent frames in some shards (latents.npy), by their size. Raises FileNotFoundError naming the shard."""
    itemsize = {"float16": 2, "float32": 4}[dtype]
    return sum(Path(path).stat().st_size for path in paths) // (d_latent * itemsize)


def n_scaled_frames(scaling_path: str, train_share: float) -> int:
    """Latent frames of an encoder by its scaling.json, which counts those of the train split.

    One small file instead of every shard: a plan asks this twice for each of hundreds of jobs. Shares of groups are not
    quite shares of frames; the difference is within MARGIN.
    """
    return math.ceil(json.loads(Path(scaling_path).read_text())["n_frames"] / train_share)


def audio_of(paths: Iterable[str], part: str, name: str | None = None) -> Audio:
    """What datasets' shards.json say of one of their `part`s ("shards" or "splits"), or of all of them."""
    found = []
    for path in paths:
        parts = json.loads(Path(path).read_text())[part]
        found += [Audio(**parts[key]) for key in (parts if name is None else [name])]
    return Audio(
        sum(audio.hours for audio in found),
        max(audio.longest_seconds for audio in found),
        max(audio.largest_bytes for audio in found),
    )


def training(
    n_frames: int,
    d_latent: int,
    n_features: int,
    *,
    steps: int,
    batch_frames: int,
    history_rows: int,
    validation_share: float,
    device: str,
) -> Need:
    """One sparse autoencoder (sae/training.py): five products of matrices a frame, two where it is only measured."""
    # Weights, gradients and sums of them, Adam's two moments, a transpose and copies in bf16; for a checkpoint twice
    # again, all but the gradients. And three chunks of codes.
    state_bytes = 4 * 2 * d_latent * n_features * (6 + 2 * 3) + 3 * 4 * n_features * CHUNK_FRAMES
    n_measured = n_frames * (validation_share * history_rows + 1)
    flop = 2 * d_latent * n_features * (5 * steps * batch_frames + 2 * n_measured)
    n_bytes = _held_bytes(n_frames, d_latent) + n_frames * TRAINING_TABLE_BYTES + state_bytes
    n_read = n_frames if _is_held(n_frames, d_latent) else steps * batch_frames + n_measured
    seconds = flop / _rate(FLOPS, device) + steps * STEP_SECONDS + n_read * ROW_READ_SECONDS
    return _need(_torch_mb(device), n_bytes, seconds)


def probing(
    n_frames: int,
    d_latent: int,
    n_features: int | None,
    *,
    n_attributes: int,
    max_epochs: int,
    batch_frames: int,
    device: str,
) -> Need:
    """Probes of some attributes (probes.py), of the codes of a cell or of the latents themselves (n_features None)."""
    width = n_features or d_latent
    encoding_flop = 2 * d_latent * width if n_features else 0
    n_passes = max_epochs + 2
    flop = n_frames * n_passes * (encoding_flop + n_attributes * 4 * CLASSES * width)
    state_bytes = 4 * width * (2 * d_latent + n_attributes * 10 * CLASSES)
    logits_bytes = n_frames * 4 * CLASSES  # of two splits, a few copies
    n_bytes = _held_bytes(n_frames, d_latent) + n_frames * PROBE_TABLE_BYTES + state_bytes + logits_bytes
    n_read = n_frames * (1 if _is_held(n_frames, d_latent) else n_passes)
    n_steps = max_epochs * n_frames / batch_frames
    seconds = flop / _rate(FLOPS, device) + n_steps * STEP_SECONDS + n_read * ROW_READ_SECONDS
    return _need(_torch_mb(device), n_bytes, seconds)


def scaling(n_frames: int, d_latent: int) -> Need:
    """Mean and scale of latents (latents.measure_scaling), in blocks of 100 000 frames in fp64."""
    n_bytes = n_frames * TRAINING_TABLE_BYTES + 100_000 * d_latent * 8 * 4
    return _need(PLAIN_MB, n_bytes, n_frames * ROW_READ_SECONDS)


def joining(paths: Iterable[str], with_truth: bool) -> Need:
    """Tables of labels read whole (fit_bins, align_labels, check_labels). Raises FileNotFoundError naming the table."""
    size = sum(Path(path).stat().st_size for path in paths)
    n_bytes = size * (TRUTH_TABLE_BYTES if with_truth else TABLE_BYTES)
    return _need(PLAIN_MB, n_bytes, n_bytes / 10e6)  # measured above 100 MB/s


class Network(NamedTuple):
    """What an encoder's card says of its cost; without, that of a small one."""

    network_mb: float = 0  # weights, and what it computes of the pieces in hand
    core_speed: float = ENCODING_SPEED["core"]  # seconds of audio a second, on one slow core; encoding, and decoding

    def seconds(self, audio_seconds: float, device: str) -> float:
        """Of encoding, or of decoding, so much audio."""
        return audio_seconds / _rate({"core": self.core_speed, "gpu": ENCODING_SPEED["gpu"]}, device)


def extraction(
    audio: Audio, frames_per_s: float, d_latent: int, samples_per_s: int, network: Network, device: str
) -> Need:
    """Latents of a shard (extraction.py): the recordings in hand, and three times the latents of all of them."""
    seconds = audio.hours * 3600
    in_hand = AUDIO_COPIES * 4 * GROUP_SECONDS * samples_per_s
    n_bytes = _recording_bytes(audio, samples_per_s) + in_hand + 3 * 4 * d_latent * frames_per_s * seconds
    return _need(_torch_mb(device) + network.network_mb, n_bytes, network.seconds(seconds, device))


def labelling(audio: Audio, has_network: bool, device: str) -> Need:
    """Fine labels of a shard (labels/labelling.py), by a network (CREPE) or by arithmetic."""
    seconds = audio.hours * 3600
    n_bytes = _recording_bytes(audio, 16_000) + seconds * FINE_FRAMES_PER_S * LABEL_ROW_BYTES
    if not has_network:
        return _need(PLAIN_MB, n_bytes, seconds / ARITHMETIC_SPEED)
    n_bytes += audio.longest_seconds * FINE_FRAMES_PER_S * CREPE_BYTES
    return _need(_torch_mb(device), n_bytes, seconds / _rate(CREPE_SPEED, device))


def codec_training(train: Audio, samples_per_s: int, device: str) -> Need:
    """A codec that the workflow trains (codec_fitting.py), its train split in memory.

    How many steps it takes is the encoder's own affair: two hours, 250 s were measured, and it goes on where it was.
    """
    n_bytes = train.hours * 3600 * samples_per_s * 4 + _recording_bytes(train, samples_per_s)
    activations_mb = 1000  # measured 150
    return _need(_torch_mb(device) + activations_mb, n_bytes, 7200 + train.hours * 3600 / ARITHMETIC_SPEED)


def hearing(
    audio: Audio,
    seconds_heard: float,
    samples_per_s: int,
    network: Network,
    device: str,
    *,
    n_features: int = 0,
    d_latent: int = 0,
) -> Need:
    """Sound that is encoded, decoded and tracked: `seconds_heard` of it from some `audio`, maybe through a cell."""
    n_bytes = _recording_bytes(audio, samples_per_s) + audio.hours * 3600 * FINE_FRAMES_PER_S * FINE_ROW_BYTES
    n_bytes += min(audio.longest_seconds, seconds_heard) * FINE_FRAMES_PER_S * CREPE_BYTES
    n_bytes += 4 * n_features * (4 * d_latent + CLASSES)
    seconds = seconds_heard / _rate(HEARING_SPEED, device) + 2 * network.seconds(seconds_heard, device)
    return _need(_torch_mb(device) + network.network_mb, n_bytes, seconds)


def steering(hearing: Need, n_frames: float, n_features: int) -> Need:
    """Sounds that are steered (steering/evaluation.py): beside hearing them, some copies of one excerpt's codes."""
    return hearing._replace(megabytes=hearing.megabytes + MARGIN * CODE_COPIES * 4 * n_frames * n_features / 1e6)


class Flow(NamedTuple):
    """What a generator's card says of its cost; without, that of a small one."""

    flop_per_frame: float = 1e7  # of one velocity
    network_mb: float = 200  # weights, and what it computes of one prompt
    d_latent: int = 64
    n_frames: int = 128


def generating(flow: Flow, n_prompts: int, batch_prompts: int, n_points: int, n_features: int, device: str) -> Need:
    """Paths of some prompts (tracing/trace.py): two velocities a point, and four views read by two sets of probes."""
    reading_flop = 4 * 2 * n_features * (flow.d_latent + 6 * CLASSES)
    flop = n_prompts * n_points * flow.n_frames * (2 * flow.flop_per_frame + reading_flop)
    n_bytes = batch_prompts * flow.n_frames * flow.d_latent * 4 * 10 + n_prompts * flow.n_frames * flow.d_latent * 4
    # of the model: the encoder's weights and the probes'
    n_bytes += 4 * n_features * (4 * flow.d_latent + 12 * CLASSES)
    process_mb = _torch_mb(device) + flow.network_mb * (1 + batch_prompts / 4)
    return _need(process_mb, n_bytes, flop / _rate(FLOPS, device) + n_prompts * n_points * STEP_SECONDS)


def training_flow(n_frames: int, device: str) -> Need:
    """A generator that the workflow trains (generators/miniflow.py).

    How many steps it takes is its own affair: two hours, 190 s were measured, and it goes on where it was.
    """
    activations_mb = 1000  # measured 250
    return _need(_torch_mb(device) + activations_mb, n_frames * TRAINING_TABLE_BYTES, 7200)


def embedding_prompts(has_model: bool, device: str) -> Need:
    """Prompts as vectors: looked up, or embedded one by one by MuQ-MuLan (measured 3.2 GB, 0.23 s each on a core)."""
    return _need(_torch_mb(device) + (4500 if has_model else 0), 0, 3600 if has_model else 0)


def together(first: Need, *others: Need) -> Need:
    """One job that does all of it in one process."""
    needs = (first, *others)
    return Need(sum(need.megabytes for need in needs), sum(need.seconds for need in needs))


def _need(process_mb: float, n_bytes: float, seconds: float) -> Need:
    return Need(process_mb + MARGIN * n_bytes / 1e6, START_SECONDS + seconds)


def _torch_mb(device: str) -> int:
    return TORCH_MB if device == "cpu" else CUDA_MB


def _rate(rates: dict[str, float], device: str) -> float:
    """The rate that can be relied on under the config's `device`."""
    return rates["gpu" if device == "cuda" else "core"]


def _held_bytes(n_frames: int, d_latent: int) -> int:
    """Most that the frames which are shuffled take (shuffling.ShuffledFrames): all, or two pools of them."""
    return min(n_frames * d_latent * 4, HELD_BYTES)


def _is_held(n_frames: int, d_latent: int) -> bool:
    """Whether frames are surely read once only."""
    return n_frames * d_latent * 4 <= HELD_BYTES


def _recording_bytes(audio: Audio, samples_per_s: int) -> float:
    """The largest recording as it is read, at its own rate and at that of whoever works on it."""
    return AUDIO_COPIES * (audio.largest_bytes + 4 * audio.longest_seconds * samples_per_s)
