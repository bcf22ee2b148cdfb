"""Speed and memory of encoding with the paper's encoders, beside the authors' way: one recording after another, whole.

    PYTHONPATH=workflow_scripts:tests python tests/benchmarks/encoding.py [--encoders encodec] [--threads 1] [--hour]

Networks of the released sizes with random weights, on the CPU. The plain way is what the authors' examples do: for
EnCodec the package's encode and the quantiser's decode, for WavTokenizer its encoder and quantiser as they are, for
DiffRhythm-VAE encode_export of the TorchScript file. One JSON line a figure:

    short   clips of about one and about three seconds, all of different lengths
    long    one recording
    hour    with --hour: one of an hour, ours only

each with seconds of audio a second of both ways, the ratio (median and range over rounds), the peak memory of both and
the share of frames that are alike. Every measurement is a process of its own, the two ways in turn.
"""

import argparse
import functools
import json
import os
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
from sonolens.encoders.contract import encode_batch

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


def one_way(module: str, way: str, lengths_s: list[float], folder: Path, threads: int) -> dict:
    """What a new process says that encodes recordings of these lengths in one way; its latents lie under `folder`."""
    # The authors' way knows nothing of huge pages
    environment = os.environ | ({"THP_MEM_ALLOC_ENABLE": "0"} if way == "plain" else {})
    command = [sys.executable, __file__, "--one-way", way, module, json.dumps(lengths_s), str(folder)]
    command += ["--threads", str(threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def report_one_way(way: str, module: str, lengths_s: list[float], folder: Path) -> None:
    """Encode once to warm up if it is short, then for the clock."""
    files, options = files_of(module, folder), {}
    card = plugins.card("encoders", module)
    experiment.check(options, card["options"])
    card = plugins.with_variant(card, options)
    rng = np.random.default_rng(0)
    audios = [
        0.2 * rng.standard_normal((card["n_channels"], int(length_s * card["sample_rate_hz"])), dtype=np.float32)
        for length_s in lengths_s
    ]
    if way == "ours":
        encoder = plugins.load("encoders", module).load(files, options, "cpu")
        work = functools.partial(encode_batch, encoder, audios)
    else:
        encode = plain(module, files)

        def work() -> list[np.ndarray]:
            return [encode(audio) for audio in audios]

    if len(audios) > 1:
        work()
    start = time.perf_counter()
    latents = work()
    seconds = time.perf_counter() - start
    np.savez(folder / f"{way}.npz", *latents)
    print(json.dumps({"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def compare(module: str, figure: str, lengths_s: list[float], folder: Path, rounds: int, threads: int) -> None:
    """Both ways in turn, `rounds` times."""
    pairs = [[one_way(module, way, lengths_s, folder, threads) for way in ("plain", "ours")] for _ in range(rounds)]
    ratios = sorted(theirs["seconds"] / own["seconds"] for theirs, own in pairs)
    with np.load(folder / "plain.npz") as theirs, np.load(folder / "ours.npz") as own:
        # a near tie may take the other code, which is far away: frames are counted, not distances measured
        is_same = [np.isclose(own[name], theirs[name], atol=1e-3).all(axis=1) for name in own.files]
    say(
        module,
        figure,
        plain_speed=sum(lengths_s) / min(theirs["seconds"] for theirs, _ in pairs),
        our_speed=sum(lengths_s) / min(own["seconds"] for _, own in pairs),
        ratio=statistics.median(ratios),
        ratio_range=[ratios[0], ratios[-1]],
        plain_peak_mb=pairs[0][0]["peak_mb"],
        our_peak_mb=pairs[0][1]["peak_mb"],
        frames_alike=float(np.concatenate(is_same).mean()),
    )


def say(module: str, figure: str, **numbers: object) -> None:
    rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in numbers.items()}
    if "ratio_range" in rounded:
        rounded["ratio_range"] = [round(ratio, 3) for ratio in rounded["ratio_range"]]
    print(json.dumps({"encoder": module, "figure": figure, **rounded}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--encoders", nargs="+", default=list(LONG_SECONDS), choices=list(LONG_SECONDS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hour", action="store_true")
    parser.add_argument("--one-way", nargs=4, metavar=("way", "module", "lengths_s", "folder"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore", FutureWarning)
    if arguments.one_way:
        way, module, lengths_s, folder = arguments.one_way
        report_one_way(way, module, json.loads(lengths_s), Path(folder))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for module in arguments.encoders:
            files_of(module, folder)
            spread = np.random.default_rng(1).uniform(0.7, 1.3, N_CLIPS[module])
            for seconds in (1, 3):
                lengths_s = (seconds * spread).tolist()
                compare(module, f"short, {seconds} s", lengths_s, folder, arguments.rounds, arguments.threads)
            seconds = LONG_SECONDS[module]
            compare(module, f"long, {seconds} s", [seconds], folder, 1, arguments.threads)
            if arguments.hour:
                own = one_way(module, "ours", [3600], folder, arguments.threads)
                say(module, "hour", our_speed=3600 / own["seconds"], our_peak_mb=own["peak_mb"])


if __name__ == "__main__":
    main()
