"""Speed and memory of encoding with the paper's encoders, beside the authors' way: one recording after another, whole.

    PYTHONPATH=workflow_scripts:tests python tests/benchmarks/encoding.py [--encoders encodec] [--threads 1] [--hour]

Networks of the released sizes with random weights, on the CPU. The plain way is what the authors' examples do: for
EnCodec the package's encode and the quantiser's decode, for WavTokenizer its encoder and quantiser as they are, for
DiffRhythm-VAE encode_export of the TorchScript file. One JSON line a figure:

    short   clips of about one and about three seconds, all of different lengths: seconds of audio a second of both, and
            the ratio (median and range over interleaved rounds), the largest difference of the latents
    long    one recording: the same, and the peak memory of a process that does it one way or the other
    hour    with --hour: the peak memory of a process that encodes an hour, ours only

Each way of `long` runs in a process of its own, which is where it gets its memory from.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import sonolens.encoders.loading
import sonolens.torchaudio_absent  # noqa: F401  (must come before encodec)

# isort: split
import numpy as np
import torch
from encodec.modules import SEANetEncoder
from encodec.quantization import ResidualVectorQuantizer

import encodec_files
import oobleck
import wavtokenizer_files
from sonolens import experiment, plugins
from sonolens.encoders.contract import Encoder, encode_batch

WAVTOKENIZER = "medium_music_audio_75token"
# Seconds of one long recording: as much as the plain way can hold, or finish
LONG_SECONDS = {"encodec": 240, "wavtokenizer": 240, "diffrhythm_vae": 20}
N_CLIPS = {"encodec": 24, "wavtokenizer": 24, "diffrhythm_vae": 4}


def files_of(module: str, folder: Path) -> list[str]:
    """Released files with random weights, written once."""
    if module == "encodec":
        return [str(next(folder.glob("encodec_24khz-*.th"), None) or encodec_files.write(folder, "24khz"))]
    if module == "wavtokenizer":
        names = [folder / f"{WAVTOKENIZER}.{kind}" for kind in ("ckpt", "yaml")]
        return (
            [str(name) for name in names] if names[1].exists() else wavtokenizer_files.write_files(folder, WAVTOKENIZER)
        )
    path = folder / "vae_model.pt"
    if not path.exists():
        oobleck.write(path, oobleck.Oobleck())
    return [str(path)]


def ours(module: str, files: list[str]) -> Encoder:
    options: dict = {}
    experiment.check(options, plugins.card("encoders", module)["options"])
    return plugins.load("encoders", module).load(files, options, "cpu")


def plain(module: str, files: list[str]) -> Callable[[np.ndarray], np.ndarray]:
    """audio (n_channels, n_samples) -> latents (n_frames, d_latent), as the authors do it."""
    if module == "encodec":
        model = encodec_files.upstream("24khz")
        model.set_target_bandwidth(6.0)

        def encode(x: torch.Tensor) -> torch.Tensor:
            ((codes, _),) = model.encode(x)
            return model.quantizer.decode(codes.transpose(0, 1))[0].T

    elif module == "wavtokenizer":
        encoder, quantizer = wavtokenizer_as_it_is()

        def encode(x: torch.Tensor) -> torch.Tensor:
            return quantizer.decode(quantizer.vq.encode(encoder(x), n_q=1))[0].T

    else:
        model = torch.jit.load(files[0]).eval()

        def encode(x: torch.Tensor) -> torch.Tensor:
            whole = torch.nn.functional.pad(x, (0, -x.shape[-1] % 2048))
            return model.encode_export(whole)[0, :64].T

    def run(audio: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return encode(torch.from_numpy(audio)[None]).numpy()

    return run


def wavtokenizer_as_it_is() -> tuple[torch.nn.Module, torch.nn.Module]:
    """The encoder and the quantiser of its authors' code, which are EnCodec's with other parameters."""
    encoder = SEANetEncoder(dimension=512, ratios=wavtokenizer_files.VARIANTS[WAVTOKENIZER][1]).eval()
    quantizer = ResidualVectorQuantizer(dimension=512, n_q=1, bins=4096).eval()
    weights = wavtokenizer_files.state(WAVTOKENIZER)
    for name, module in (("encoder", encoder), ("quantizer", quantizer)):
        prefix = f"feature_extractor.encodec.{name}."
        module.load_state_dict({key.removeprefix(prefix): weights[key] for key in weights if key.startswith(prefix)})
    return encoder, quantizer


def clips(encoder: Encoder, seconds: float, count: int) -> list[np.ndarray]:
    """Noise of `count` lengths around `seconds`."""
    rng = np.random.default_rng(0)
    lengths = (seconds * encoder.sample_rate_hz * rng.uniform(0.7, 1.3, count)).astype(int)
    return [(0.2 * rng.standard_normal((encoder.n_channels, n))).astype(np.float32) for n in lengths]


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def short_clips(module: str, files: list[str], rounds: int) -> None:
    encoder, encode = ours(module, files), plain(module, files)
    for seconds in (1, 3):
        audios = clips(encoder, seconds, N_CLIPS[module])
        total = sum(audio.shape[1] for audio in audios) / encoder.sample_rate_hz
        pairs = []
        for _ in range(rounds + 1):  # the first is not counted
            theirs_s = timed(lambda audios=audios: [encode(audio) for audio in audios])
            pairs.append((theirs_s, timed(lambda audios=audios: encode_batch(encoder, audios))))
        ratios = sorted(theirs / own for theirs, own in pairs[1:])
        both = zip(encode_batch(encoder, audios), map(encode, audios), strict=True)
        # frames of another code, of a near tie, count as one difference each and not as how far apart codes are
        is_same = [np.isclose(own, theirs, atol=1e-3).all(axis=1) for own, theirs in both]
        say(
            module,
            f"short, {seconds} s",
            plain_speed=total / min(theirs for theirs, _ in pairs[1:]),
            our_speed=total / min(own for _, own in pairs[1:]),
            ratio=statistics.median(ratios),
            ratio_range=[ratios[0], ratios[-1]],
            frames_alike=float(np.concatenate(is_same).mean()),
        )


def one_way(module: str, way: str, seconds: float, folder: Path, threads: int) -> dict:
    """Seconds and peak megabytes of a new process that encodes one recording."""
    command = [sys.executable, __file__, "--one-way", way, module, str(seconds), str(folder), "--threads", str(threads)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def report_one_way(way: str, module: str, seconds: float, folder: Path) -> None:
    files = files_of(module, folder)
    encoder = ours(module, files)
    encode = encoder.encode if way == "ours" else plain(module, files)
    rng = np.random.default_rng(0)
    shape = (encoder.n_channels, int(seconds * encoder.sample_rate_hz))
    audio = rng.standard_normal(shape, dtype=np.float32)
    audio *= 0.2
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    taken_s = timed(lambda: encode(audio))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": taken_s, "peak_mb": peak_mb, "before_mb": before_mb}))


def say(module: str, figure: str, **numbers: object) -> None:
    rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in numbers.items()}
    if "ratio_range" in rounded:
        rounded["ratio_range"] = [round(ratio, 3) for ratio in rounded["ratio_range"]]
    print(json.dumps({"encoder": module, "figure": figure, **rounded}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--encoders", nargs="+", default=list(LONG_SECONDS), choices=list(LONG_SECONDS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hour", action="store_true")
    parser.add_argument("--one-way", nargs=4, metavar=("way", "module", "seconds", "folder"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore", FutureWarning)
    if arguments.one_way:
        way, module, seconds, folder = arguments.one_way
        report_one_way(way, module, float(seconds), Path(folder))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for module in arguments.encoders:
            short_clips(module, files_of(module, folder), arguments.rounds)
            seconds = LONG_SECONDS[module]
            theirs, own = (one_way(module, way, seconds, folder, arguments.threads) for way in ("plain", "ours"))
            say(
                module,
                f"long, {seconds} s",
                plain_speed=seconds / theirs["seconds"],
                our_speed=seconds / own["seconds"],
                ratio=theirs["seconds"] / own["seconds"],
                plain_peak_mb=theirs["peak_mb"],
                our_peak_mb=own["peak_mb"],
            )
            if arguments.hour:
                own = one_way(module, "ours", 3600, folder, arguments.threads)
                say(module, "hour", our_speed=3600 / own["seconds"], our_peak_mb=own["peak_mb"])


if __name__ == "__main__":
    main()
