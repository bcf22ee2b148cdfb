"""The paper's three encoders and its generator through the whole workflow: files as released, fetched, to the report.

A fourth encoder beside them is the one that the README shows how to write.
"""

import hashlib
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import encodec_files
import muq_files
import oobleck
import wavtokenizer_files
from file_server import FileServer
from slurm_cluster import wait_until
from sonolens import plugins
from sonolens.encoders import wavtokenizer
from sonolens.generators.transformer import FlowTransformer, Sizes
from workflow_project import ENVIRONMENT, ROOT, append, copy_of_the_project, planned, snakemake

pytestmark = pytest.mark.workflow

WAVTOKENIZER = plugins.card("encoders", "wavtokenizer")["variants"]["medium_music_audio_75token"]["files"]
ENCODEC = plugins.card("encoders", "encodec")["variants"]["24khz"]["files"][0]["name"]
HUB = "https://huggingface.co/novateur/WavTokenizer-medium-music-audio-75token/resolve/main/"
D_LATENT = {"diffrhythm_vae": 64, "encodec": 128, "wavtokenizer": 512, "lapped": 128}
STEERED = ["diffrhythm_vae", "encodec", "lapped"]
HOP_S = {"diffrhythm_vae": 2048 / 44_100, "encodec": 320 / 24_000, "wavtokenizer": 320 / 24_000, "lapped": 0.008}


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> dict[str, Path]:
    """Files in the released formats, narrower networks where the format leaves the width open."""
    folder = tmp_path_factory.mktemp("released")
    oobleck.write(folder / "vae_model.pt", oobleck.Oobleck(width=4))
    names = [file["name"] for file in WAVTOKENIZER]
    write_wavtokenizer(folder, names)
    paths = {"vae_model.pt": folder / "vae_model.pt", ENCODEC: encodec_files.write(folder, "24khz")}
    return paths | {name: folder / name for name in names}


@pytest.fixture(scope="module")
def generator_files(tmp_path_factory) -> dict[str, str]:
    """What DiffRhythm takes to generate from captions, in the released formats: narrow networks, three captions."""
    folder = tmp_path_factory.mktemp("generator")
    torch.manual_seed(0)
    sizes = Sizes(d_model=32, depth=2, n_heads=2, d_ff=64, d_latent=64, d_text=512, n_text_blocks=1, n_tokens=364,
                  max_frames=2048)  # fmt: skip
    weights = {f"transformer.{key}": weight.half() for key, weight in FlowTransformer(sizes).state_dict().items()}
    torch.save({"model_state_dict": weights}, folder / "cfm_model.pt")
    np.save(folder / "vocal.npy", np.full((1, 512), 512**-0.5, np.float32))
    muq_model, muq_tokenizer = muq_files.write_files(folder, ("muq.bin", "tokenizer.json"))
    captions = [("a", "a slow horn"), ("b", "drums and bass, loud"), ("c", "a flute, far away")]
    (folder / "captions.csv").write_text("ytid,caption\n" + "".join(f'{name},"{text}"\n' for name, text in captions))
    cfm = folder / "cfm_model.pt"
    return {
        "cfm_model_1_2.pt": {"source": str(cfm), "sha256": sha256_of(cfm)},
        "vocal.npy": str(folder / "vocal.npy"),
        "muq_mulan_large.bin": str(muq_model),
        "xlm_roberta_base_tokenizer.json": str(muq_tokenizer),
        "musiccaps-public.csv": str(folder / "captions.csv"),
    }


def melody(sample_rate_hz: int, n_notes: int) -> np.ndarray:
    """Quarter seconds of plucked harmonic tones of random pitch and loudness, (n_samples,) float32."""
    rng, time_s = np.random.default_rng(0), np.arange(sample_rate_hz // 4) / sample_rate_hz
    f0_hz, level = rng.uniform(80, 800, (n_notes, 1)), 10 ** rng.uniform(-2, -0.7, (n_notes, 1))
    tones = sum(np.sin(2 * np.pi * k * f0_hz * time_s) / k for k in range(1, 7))
    return (level * np.exp(-6 * time_s) * tones).astype(np.float32).ravel()


def write_wavtokenizer(folder: Path, names: list[str]) -> None:
    """With codes where the network's latents are: to random ones every latent would be nearest to the same."""
    variant = "medium_music_audio_75token"
    weights = wavtokenizer_files.state(variant, is_small=True)
    paths = wavtokenizer_files.write_files(folder, variant, is_small=True, names=names)
    options = {"variant": variant, "latent": "pre_quantised", "bandwidth_id": 0, "precision": "float32"}
    latents = wavtokenizer.load(paths, options, "cpu").encode(melody(24_000, n_notes=80)[None])
    codebook = "feature_extractor.encodec.quantizer.vq.layers.0._codebook.embed"
    rows = np.random.default_rng(0).integers(0, len(latents), len(weights[codebook]))
    weights[codebook] = torch.from_numpy(latents[rows])
    wavtokenizer_files.write_checkpoint(folder / names[0], weights)


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def server(released):
    """A host for what is not on this machine already: EnCodec by its link, WavTokenizer by a mirror of its host."""
    with FileServer() as serving:
        serving.files = {f"/{name}": path.read_bytes() for name, path in released.items() if name != "vae_model.pt"}
        serving.breaks = [1_000_000] * 3  # the first connections are lost, if the file is as long
        yield serving


def own_entry_of_the_readme() -> dict:
    """What the README has in the config for an encoder of one's own."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (entry,) = [yaml.safe_load(block)["encoders"][0] for block in blocks if block.startswith("encoders:")]
    return entry


def write_own_of_the_readme(folder: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (code,) = [block for block in blocks if "class Lapped" in block]
    (folder / "my_codec.py").write_text(code)


def experiment(released: dict[str, Path], generator_files: dict[str, str], server: FileServer) -> dict:
    vae = released["vae_model.pt"]
    return {
        "datasets": [{"name": "chorales", "minutes": 0.6, "clip_seconds": 3, "shards": 1}],
        "encoders": [*({"name": name} for name in D_LATENT if name != "lapped"), own_entry_of_the_readme()],
        "attributes": [{"name": "pitch", "model": "tiny"}, {"name": "amplitude"}],
        "sae": {"expansions": [1], "lams": [0.05]},
        "objective": {"encoders": [], "expansions": [], "lams": []},
        "steering": {"cells": [{"name": "best", "encoders": STEERED}], "alphas": [30], "n_classes": 1}
        | {"clips": 1, "seconds": 0.5},
        "prompts": {"name": "musiccaps", "n": 2},
        "generators": [{"name": "diffrhythm", "encoder": "diffrhythm_vae", "n_frames": 20, "n_heads": 2}],
        "downloads": {
            "accepted_licences": ["stability-ai-community", "cc-by-nc-4.0"],
            "mirrors": {HUB: server.link("")},
            "files": {
                "vae_model.pt": {"source": str(vae), "sha256": sha256_of(vae)},
                ENCODEC: {"source": server.link(ENCODEC), "sha256": sha256_of(released[ENCODEC])},
            }
            | generator_files,
        },
    }


@pytest.fixture(scope="module")
def finished(released, generator_files, server, tmp_path_factory) -> Path:
    folder = copy_of_the_project(tmp_path_factory.mktemp("real"))
    smoke = yaml.safe_load((folder / "tests/smoke.yaml").read_text())
    own = experiment(released, generator_files, server)
    (folder / "changed.yaml").write_text(yaml.safe_dump(smoke | own | {"sae": smoke["sae"] | own["sae"]}))
    write_own_of_the_readme(folder)
    snakemake(folder, overlay="changed.yaml")
    return folder


def test_the_report_has_a_cell_of_each_encoder(finished):
    cells = pd.read_csv(finished / "results/report/tables/cells.csv").set_index("encoder")
    assert cells["dim"].to_dict() == D_LATENT
    assert not cells[["explained_variance", "l0", "pitch_accuracy", "amplitude_raw_latent_accuracy"]].isna().any().any()
    page = (finished / "results/report/index.html").read_text()
    for licence in ("Stability AI Community License", "Attribution-NonCommercial 4.0", "MIT License"):
        assert licence in page
    assert page.count("accepted in the config") == 3


def test_cells_of_a_released_and_of_an_own_encoder_are_steered(finished):
    steering = pd.read_csv(finished / "results/report/tables/steering.csv")
    assert set(steering["encoder"]) == set(STEERED)
    paper = steering[(steering["method"] == "probe") & (steering["class"] == "all")]
    assert len(paper) == 3 * 2 and paper["displacement"].gt(0).all()
    for encoder in STEERED:
        assert list((finished / f"results/report/steering/{encoder}/best").rglob("class~0/alpha~30.wav"))


def test_diffrhythm_generates_from_captions_and_its_path_is_traced(finished):
    folder = finished / "results/generation/diffrhythm"
    prompts = pd.read_parquet(folder / "prompts.parquet")
    assert len(prompts) == 2 and set(prompts["text"]) < {"a slow horn", "drums and bass, loud", "a flute, far away"}
    vectors = np.stack(prompts["vector"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    ends = [np.load(folder / f"traces/shard~{shard}.npy") for shard in range(2)]
    assert [end.shape for end in ends] == [(1, 20, 64)] * 2 and np.isfinite(ends[0]).all()
    generation = pd.read_csv(finished / "results/report/tables/generation.csv")
    assert set(generation["generator"]) == {"diffrhythm"} and set(generation["step"]) == {0, 1, 2, 3}
    for view in ("x_t", "end_estimate"):
        assert (finished / f"results/report/generation/diffrhythm/prompt~0/{view}/step~3.wav").exists()
    page = (finished / "results/report/index.html").read_text()
    assert "DiffRhythm 1.2, 95 s" in page and "muq_mulan_large.bin" in page


def test_an_edit_to_the_generator_generates_anew_and_trains_nothing(finished):
    module = finished / "workflow_scripts/sonolens/generators/diffrhythm.py"
    before = module.read_text()
    append(module, "\n# a comment is an edit\n")
    jobs = planned(finished, "changed.yaml")
    module.write_text(before)
    assert (jobs["embed_prompts"], jobs["trace_generation"]) == (1, 2)
    assert not {"train_sae", "fit_probes", "steer_cell", "fetch_generator_weights"} & set(jobs)


@pytest.mark.parametrize("encoder", D_LATENT)
def test_latents_have_the_encoders_width_and_rate(finished, encoder):
    shard = finished / f"results/latents/{encoder}/chorales/shard~0"
    latents, frames = np.load(shard / "latents.npy"), pd.read_parquet(shard / "frames.parquet")
    manifest = pd.read_parquet(finished / "results/datasets/chorales/manifest.parquet")
    assert latents.shape == (len(frames), D_LATENT[encoder]) and latents.std() > 0.01
    n_frames = frames.groupby("clip_id", observed=True).size()
    expected = np.ceil(manifest.set_index("clip_id")["duration_s"] / HOP_S[encoder] - 1e-9)
    assert n_frames.to_dict() == expected.to_dict()
    aligned = pd.read_parquet(finished / f"results/labels/pitch/aligned/{encoder}.parquet")
    assert len(aligned) == len(frames)


def test_what_the_weights_say_of_time_is_in_the_report(finished):
    times = pd.read_csv(finished / "results/report/tables/frame_times.csv").set_index("encoder")
    assert times.index[times["declared"].isna()].tolist() == ["encodec"]
    assert times.loc["encodec", "used"] == times.loc["encodec", "measured"] < -0.5
    # within half a frame, in a sense that random weights allow: four standard errors
    off = (times["measured"] - times["used"]).abs()
    assert (off < 0.5 + 4 * times["standard_error"]).all()


def test_files_came_whole_and_are_told_of(finished, released, server):
    for name, path in released.items():
        (fetched,) = finished.glob(f"resources/encoders/*/{name}")
        assert fetched.read_bytes() == path.read_bytes()
    assert any(asked for asked in server.ranges), "the broken connection was not taken up where it broke"
    log = (finished / f"logs/fetch_weights/encodec/{ENCODEC}.log").read_text()
    assert "NonCommercial" in log
    assert not list(finished.glob("resources/**/*.part"))


def test_another_mirror_makes_nothing_stale_and_another_file_does(finished):
    before = (finished / "changed.yaml").read_text()
    overlay = yaml.safe_load(before)
    overlay["downloads"]["files"][ENCODEC]["source"] = "https://elsewhere.example.org/encodec.th"
    (finished / "changed.yaml").write_text(yaml.safe_dump(overlay))
    elsewhere = planned(finished, "changed.yaml")
    overlay["downloads"]["files"][ENCODEC]["sha256"] = "0" * 64
    (finished / "changed.yaml").write_text(yaml.safe_dump(overlay))
    jobs = planned(finished, "changed.yaml")
    (finished / "changed.yaml").write_text(before)
    assert set(elsewhere) <= {"audit_results", "write_report"}  # the audit reads the config as it is
    assert (jobs["fetch_weights"], jobs["extract_latents"], jobs["train_sae"]) == (1, 1, 1)


def test_an_edit_to_one_encoder_is_none_to_the_others(finished):
    module = finished / "workflow_scripts/sonolens/encoders/encodec.py"
    before = module.read_text()
    append(module, "\n# a comment is an edit\n")
    jobs = planned(finished, "changed.yaml")
    module.write_text(before)
    assert (jobs["extract_latents"], jobs["train_sae"]) == (1, 1)
    assert "fetch_weights" not in jobs and "label_frames" not in jobs


def test_an_edit_to_the_users_own_file_concerns_its_encoder_alone(finished):
    append(finished / "my_codec.py", "\n# a comment is an edit\n")
    jobs = planned(finished, "changed.yaml")
    write_own_of_the_readme(finished)
    assert (jobs["extract_latents"], jobs["measure_frame_time"], jobs["train_sae"], jobs["fit_probes"]) == (1, 1, 1, 1)
    assert "label_frames" not in jobs
    (finished / "my_codec.py").rename(finished / "elsewhere.py")
    refused = snakemake(finished, "--dry-run", overlay="changed.yaml", fails=True)
    (finished / "elsewhere.py").rename(finished / "my_codec.py")
    assert "there is no file my_codec.py" in refused and "encoders[3].module" in refused


def test_the_users_own_encoder_decodes_what_it_encodes(finished):
    quality = json.loads((finished / "results/codecs/lapped/quality.json").read_text())
    assert quality["all"]["log_spectral_distance_db"]["mean"] < 1e-2
    assert quality["all"]["pitch_kept_share"]["mean"] > 0.99


def test_a_licence_that_is_not_accepted_stops_everything_before_the_first_byte(finished, tmp_path):
    folder = copy_of_the_project(tmp_path)
    write_own_of_the_readme(folder)
    refused = snakemake(folder, "--dry-run", overlay=str(finished / "changed.yaml"), fails=False)
    assert "fetch_weights" in refused
    overlay = yaml.safe_load((finished / "changed.yaml").read_text())
    overlay["downloads"]["accepted_licences"] = ["cc-by-nc-4.0"]
    (folder / "changed.yaml").write_text(yaml.safe_dump(overlay))
    refused = snakemake(folder, overlay="changed.yaml", fails=True)
    assert "vae_model.pt is under the Stability AI Community License" in refused
    assert not (folder / "resources").exists()


def test_a_file_with_another_sum_is_not_kept(finished, released, server, tmp_path):
    folder = copy_of_the_project(tmp_path)
    write_own_of_the_readme(folder)
    overlay = yaml.safe_load((finished / "changed.yaml").read_text())
    del overlay["downloads"]["files"][ENCODEC]
    overlay["downloads"]["mirrors"]["https://dl.fbaipublicfiles.com/encodec/v0/"] = server.link("")
    (folder / "changed.yaml").write_text(yaml.safe_dump(overlay))
    failed = snakemake(folder, f"resources/encoders/encodec/{ENCODEC}", overlay="changed.yaml", fails=True)
    assert "d7cc33bc" in failed and sha256_of(released[ENCODEC])[:8] in failed
    assert not list((folder / "resources").rglob("*.th"))


def test_a_killed_download_goes_on_where_it_was(finished, released, server, tmp_path):
    folder = copy_of_the_project(tmp_path)
    write_own_of_the_readme(folder)
    (folder / "changed.yaml").write_text((finished / "changed.yaml").read_text())
    target = f"resources/encoders/encodec/{ENCODEC}"
    command = ["snakemake", "--profile", "profiles/demo", "--cores", "1", target]
    command += ["--configfile", "config.yaml", "changed.yaml"]
    server.stalls_after = 5_000_000
    running = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, start_new_session=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        _wait_for_a_part(folder / "resources", 4_000_000)
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        server.stalls_after = None
    before = len(server.ranges)
    snakemake(folder, "--unlock", overlay="changed.yaml")
    snakemake(folder, target, overlay="changed.yaml")
    (asked,) = server.ranges[before:]
    assert int(asked.removeprefix("bytes=").removesuffix("-")) >= 4_000_000
    assert (folder / target).read_bytes() == released[ENCODEC].read_bytes()
    events = [json.loads(line)["event"] for path in folder.glob("logs/fetch_weights/**/*.jsonl")
              for line in path.read_text().splitlines()]  # fmt: skip
    assert events.count("finished") == 1


def _wait_for_a_part(folder: Path, n_bytes: int) -> None:
    wait_until(
        lambda: any(path.stat().st_size >= n_bytes for path in folder.rglob(".*part")), 120, "a part of the file"
    )
