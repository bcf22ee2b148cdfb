"""Speed and memory of labelling, files to Parquet, beside torchcrepe's own `predict` and librosa called file by file.

    PYTHONPATH=workflow_scripts python tests/benchmarks/labelling.py [--quick] [--threads 1] [--rounds 3]

Clips of the embedded corpus (three solos, a mix), stereo at 44.1 kHz, on the CPU. Ours is what a job does, the file of
its output and its journal included. The plain way is what its authors' examples do: each file loaded by librosa at
16 kHz, torchcrepe.predict with its Viterbi decoder, periodicity and default batches, librosa's rms and
spectral_centroid; windows are moved by half a hop, so that both ways look at the same samples. One JSON line a figure:

    all three    pitch (tiny), amplitude and timbre
    pitch, tiny / pitch, full / amplitude / timbre

each with seconds of audio a second of both ways, the ratio (median and range over rounds), the peak memory of both and
how equal the labels are: of pitch, frames that both call voiced and lie within 1, 10 and 50 cents (torchcrepe adds a
random dither of up to 20 cents), frames on whose voicing both agree, and how many frames of the solos' known pitch each
finds within 50 cents; of the others, the largest and the median difference. "silent" are frames below level_floor_dbfs,
which ours leaves out and torchcrepe does not. Every measurement is a process of its own, the two ways in turn; a clip
of a second is labelled before the clock starts.

The two Viterbi decoders differ on purpose (labels/crepe_decoding.py). So two lines a size of CREPE show that all before
it is equal: "network", the largest difference of a probability, and "argmax", labels of a solo without any path.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import soxr

from sonolens import experiment, plugins, tables

RATE_HZ = 16_000
ATTRIBUTES = ("pitch", "amplitude", "timbre")
# figure: attributes, CREPE's size, seconds of each clip, how often the four clips are there; the same with --quick
FIGURES = {
    "all three": (ATTRIBUTES, "tiny", 12, 1, (5, 1)),
    "pitch, tiny": (("pitch",), "tiny", 12, 1, (5, 1)),
    "pitch, full": (("pitch",), "full", 3, 1, (1, 1)),
    "amplitude": (("amplitude",), "tiny", 20, 12, (10, 4)),
    "timbre": (("timbre",), "tiny", 20, 12, (10, 4)),
}


def write_clips(folder: Path, seconds: int, n_times: int) -> None:
    """Clips with their manifest and the solos' pitch, and one of a second in a shard of its own."""
    from sonolens.datasets import chorales, rendering
    from sonolens.labels.fine import fine_time_s
    from sonolens.labels.truth import truth_at

    plans = [plan for plan in chorales.plan_clips(8, seed=0) if plan.kind != "drums"]
    chosen = [plan for plan in plans if plan.kind == "solo"][:3] + [plan for plan in plans if plan.kind == "mix"][:1]
    settings = {"clip_seconds": seconds, "sample_rate_hz": 44_100}
    clips, time_s = [rendering.render(plan, 0, settings) for plan in chosen], fine_time_s(np.arange(100 * seconds))
    truths = [truth_at(time_s, rendering.truth_f0(clip.tones, seconds, 0.001))[0] for clip in clips[:3]]
    np.save(folder / "truth.npy", np.concatenate([*truths, np.full(len(time_s), np.nan)] * n_times))
    sounds, rows = [clip.audio for clip in clips] * n_times, []
    for number, sound in enumerate([sounds[0][:44_100], *sounds]):
        path = folder / f"{number:03d}.wav"
        soundfile.write(path, np.stack([sound, 0.7 * sound], axis=1), 44_100)
        rows.append({"clip_id": f"chorales/{number:03d}", "path": str(path), "shard": int(number > 0)})
        rows[-1]["duration_s"] = len(sound) / 44_100
    constants = {"dataset": "chorales", "group": "", "split": "train", "sample_rate_hz": 44_100, "n_channels": 2}
    constants |= {"kind": "solo", "instrument": "", "truth_f0_path": "", "truth_notes_path": "", "sha256": ""}
    tables.write(pd.DataFrame(rows).assign(**constants), folder / "manifest.parquet", tables.MANIFEST)


def options_of(attribute: str, model: str) -> dict:
    options = {"model": model} if attribute == "pitch" else {}
    experiment.check(options, plugins.card("labels", attribute)["options"])
    return options


def ours(folder: Path, attributes: list[str], model: str) -> Callable[[int], dict]:
    """A function that labels a shard as jobs do: {attribute: (value, weight)}, both (T,), clips one after another."""
    from sonolens.jobs.interruption import Interruption
    from sonolens.jobs.lease import Lease
    from sonolens.jobs.resumption import Resumption
    from sonolens.labels import labelling

    modules = {name: plugins.load("labels", name) for name in attributes}

    def label(shard: int) -> dict:
        found = {}
        for name, module in modules.items():
            saved, output = folder / f"saved~{name}~{shard}", folder / f"{name}~{shard}.parquet"
            lease = Lease(saved, "key", {})
            resumption = Resumption(saved, float("inf"), lambda *_: None, Interruption(), lease)
            options = options_of(name, model)
            manifest = str(folder / "manifest.parquet")
            labelling.label_shard(manifest, shard, module, options, "cpu", str(output), resumption)
            found[name] = output
        return found

    return label


def plain(folder: Path, attributes: list[str], model: str) -> Callable[[int], dict]:
    """The same with torchcrepe and librosa, file by file; weight is periodicity for pitch, nothing for the others."""
    import sonolens.torchaudio_absent  # noqa: F401 (must come before torchcrepe)

    # isort: split
    import librosa
    import torch
    import torchcrepe

    manifest = tables.read(folder / "manifest.parquet", tables.MANIFEST)
    measures: dict[str, Callable[[np.ndarray], tuple]] = {}
    if "pitch" in attributes:
        options = options_of("pitch", model)

        def track(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            later = torch.from_numpy(np.append(audio[80:], np.zeros(80, np.float32)))[None]
            f0_hz, periodicity = torchcrepe.predict(
                later,
                RATE_HZ,
                hop_length=160,
                fmin=options["fmin_hz"],
                fmax=options["fmax_hz"],
                model=model,
                return_periodicity=True,
            )
            return 69 + 12 * np.log2(f0_hz[0].numpy() / 440), periodicity[0].numpy()

        measures["pitch"] = track
    if "amplitude" in attributes:
        measures["amplitude"] = lambda audio: (
            20
            * np.log10(
                librosa.feature.rms(y=np.pad(audio, (176, 336)), frame_length=512, hop_length=160, center=False)
            ),
        )
    if "timbre" in attributes:
        measures["timbre"] = lambda audio: (
            librosa.feature.spectral_centroid(
                y=np.pad(audio, (432, 592)), sr=RATE_HZ, n_fft=1024, hop_length=160, center=False
            ),
        )

    def label(shard: int) -> dict:
        found = {name: [] for name in measures}
        for clip in manifest[manifest["shard"] == shard].itertuples():
            audio, _ = librosa.load(clip.path, sr=RATE_HZ)
            n_frames = -(-len(audio) // 160)
            for name, measure in measures.items():
                found[name].append([np.ravel(part)[:n_frames] for part in measure(audio)])
        return {name: [np.concatenate(part) for part in zip(*clips, strict=True)] for name, clips in found.items()}

    return label


def report_one_way(way: str, folder: Path, attributes: list[str], model: str) -> None:
    """Label the clip of a second to warm up, then the others for the clock; the labels lie under `folder`."""
    label = {"ours": ours, "plain": plain}[way](folder, attributes, model)
    label(0)
    start = time.perf_counter()
    found = label(1)
    seconds = time.perf_counter() - start
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if way == "ours":
        read = {name: tables.read(path, tables.FINE_LABELS) for name, path in found.items()}
        found = {name: [table["value"], table["weight"]] for name, table in read.items()}
    np.savez(
        folder / f"{way}.npz", **{f"{name}{i}": part for name, parts in found.items() for i, part in enumerate(parts)}
    )
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb}))


def one_way(way: str, figure: str, files: Path, threads: int) -> dict:
    """What a new process says that labels the same files in one way."""
    attributes, model = FIGURES[figure][:2]
    with tempfile.TemporaryDirectory(dir=files.parent) as saved:
        folder = Path(saved)
        (folder / "manifest.parquet").write_bytes((files / "manifest.parquet").read_bytes())
        command = [sys.executable, __file__, "--one-way", way, str(folder), json.dumps(attributes), model]
        done = subprocess.run([*command, "--threads", str(threads)], check=True, capture_output=True, text=True)
        with np.load(folder / f"{way}.npz") as labels:
            return json.loads(done.stdout.splitlines()[-1]) | {"labels": dict(labels)}


def pitch_equality(own: dict, theirs: dict) -> dict:
    """Shares of frames: within some cents where both are voiced, and of equal voicing where it is not silent."""
    threshold = options_of("pitch", "tiny")["periodicity_threshold"]
    is_voiced, was_voiced = own["pitch1"] >= threshold, theirs["pitch1"] >= threshold
    cents = 100 * np.abs(own["pitch0"] - theirs["pitch0"])[is_voiced & was_voiced]
    shares = {f"within_{limit}_cents": float((cents <= limit).mean()) for limit in (1, 10, 50)}
    is_silent = own["pitch1"] == 0
    alike = float((is_voiced == was_voiced)[~is_silent].mean())
    return shares | {"voicing_alike": alike, "silent": float(is_silent.mean())}


def share_right(labels: dict, truth_midi: np.ndarray) -> float:
    """Of the frames with a known pitch those labelled voiced and within 50 cents of it."""
    is_voiced = labels["pitch1"] >= options_of("pitch", "tiny")["periodicity_threshold"]
    is_right = is_voiced & (np.abs(labels["pitch0"] - truth_midi) <= 0.5)
    return float(is_right[np.isfinite(truth_midi)].mean())


def equality(attribute: str, own: dict, theirs: dict, truth_midi: np.ndarray) -> dict:
    """How equal the labels of both ways are."""
    value, reference = own[f"{attribute}0"], theirs[f"{attribute}0"]
    assert value.shape == reference.shape, "both ways have one value every 10 ms"
    if attribute == "pitch":
        right = {"plain_right": share_right(theirs, truth_midi), "our_right": share_right(own, truth_midi)}
        return pitch_equality(own, theirs) | right
    if attribute == "amplitude":
        reference = np.maximum(reference, options_of("amplitude", "tiny")["floor_dbfs"])
    difference = np.abs(value - reference)[np.isfinite(value)]
    unit = {"amplitude": "db", "timbre": "hz"}[attribute]
    return {f"largest_{unit}": float(difference.max()), f"median_{unit}": float(np.median(difference))}


def compare(figure: str, is_quick: bool, rounds: int, threads: int) -> None:
    """Both ways in turn, `rounds` times."""
    attributes, _, seconds, n_times, quick = FIGURES[figure]
    seconds, n_times = quick if is_quick else (seconds, n_times)
    with tempfile.TemporaryDirectory() as name:
        files = Path(name) / "files"
        files.mkdir()
        write_clips(files, seconds, n_times)
        truth_midi = np.load(files / "truth.npy")
        pairs = [[one_way(way, figure, files, threads) for way in ("plain", "ours")] for _ in range(rounds)]
    n_seconds = 4 * seconds * n_times
    ratios = sorted(theirs["seconds"] / own["seconds"] for theirs, own in pairs)
    theirs, own = pairs[0]
    equal = {}
    for attribute in attributes:
        equal |= equality(attribute, own["labels"], theirs["labels"], truth_midi)
    say(
        figure,
        audio_s=n_seconds,
        plain_speed=n_seconds / min(theirs["seconds"] for theirs, _ in pairs),
        our_speed=n_seconds / min(own["seconds"] for _, own in pairs),
        ratio=statistics.median(ratios),
        ratio_range=[round(ratios[0], 2), round(ratios[-1], 2)],
        plain_peak_mb=round(max(theirs["peak_mb"] for theirs, _ in pairs)),
        our_peak_mb=round(max(own["peak_mb"] for _, own in pairs)),
        **equal,
    )


def compare_without_path(model: str, n_seconds: int) -> None:
    """CREPE's probabilities of tones and noise, then labels of a solo by argmax, ours against torchcrepe's."""
    import torch

    from sonolens.labels import pitch, pitch_tracker

    torchcrepe, rng, time_s = pitch_tracker.torchcrepe, np.random.default_rng(0), np.arange(1024) / RATE_HZ
    f0_hz, loudness = np.geomspace(60, 2000, 64)[:, None], rng.uniform(0, 1, (64, 1))
    audio = np.sin(2 * np.pi * f0_hz * time_s) + loudness * rng.standard_normal((64, 1024))
    frames = (audio - audio.mean(axis=1, keepdims=True)) / audio.std(axis=1, keepdims=True)
    frames = torch.from_numpy(frames.astype(np.float32))
    net, _ = pitch_tracker.network(model, "cpu")
    with torch.inference_mode():
        difference = float((net(frames) - torchcrepe.infer(frames, model, "cpu")).abs().max())
    say(f"network, {model}", largest_difference=difference)
    with tempfile.TemporaryDirectory() as folder:
        write_clips(Path(folder), n_seconds, 1)
        solo = soundfile.read(Path(folder) / "001.wav", dtype="float32")[0].mean(axis=1)
    audio = soxr.resample(solo, 44_100, RATE_HZ).astype(np.float32)
    options = options_of("pitch", model) | {"decoder": "argmax"}
    own = pitch.measure(audio, RATE_HZ, options)
    later = torch.from_numpy(np.append(audio[80:], np.zeros(80, np.float32)))[None]
    decoder = torchcrepe.decode.argmax
    f0, periodicity = torchcrepe.predict(later, RATE_HZ, 160, model=model, decoder=decoder, return_periodicity=True)
    theirs = {"pitch0": pitch.semitones(f0[0].numpy()), "pitch1": periodicity[0].numpy()}
    theirs = {name: part[: len(own.value)] for name, part in theirs.items()}
    say(f"argmax, {model}", **pitch_equality({"pitch0": own.value, "pitch1": own.weight}, theirs))


def say(figure: str, **numbers: object) -> None:
    rounded = {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in numbers.items()}
    print(json.dumps({"figure": figure, **rounded}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--figures", nargs="+", default=list(FIGURES), choices=list(FIGURES))
    parser.add_argument("--quick", action="store_true", help="one round of shorter clips")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one-way", nargs=4, metavar=("way", "folder", "attributes", "model"))
    arguments = parser.parse_args()
    if arguments.one_way:
        from sonolens.jobs.job import use_threads

        use_threads(arguments.threads)
        way, folder, attributes, model = arguments.one_way
        report_one_way(way, Path(folder), json.loads(attributes), model)
        return
    for figure in arguments.figures:
        compare(figure, arguments.quick, 1 if arguments.quick else arguments.rounds, arguments.threads)
    for model, n_seconds in (("tiny", 10), ("full", 2)):
        compare_without_path(model, n_seconds)


if __name__ == "__main__":
    main()
