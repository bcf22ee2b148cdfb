"""A recording of one's own, steered by the command: what changes and what does not, against numpy; and what is refused.

The project is tiny and its encoder somebody's own class: latents are blocks of samples, so a frame is heard in its own
40 samples and nowhere else.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.numpy import load_file, save_file

import steer
from sonolens import experiment, plugins
from sonolens.encoders.geometry import FrameGeometry
from sonolens.labels import bins, pitch
from sonolens.latents import Scaling
from sonolens.sae import blocks, weights
from sonolens.sae.model import SparseAutoencoder
from sonolens.steering import cell, envelope, own_file, requests, trained_cells
from sonolens.steering.requests import Target

COMMAND = Path(steer.__file__)
RATE_HZ, HOP = 8000, 40
OFFSET_FRAMES = 0.25  # measured, say; the encoder's own is 0.5
CODEC = """
import numpy as np


class Blocks:
    sample_rate_hz = 8000
    n_channels = 1
    d_latent = 40
    hop_samples = 40

    def __init__(self, device):
        self.device = device

    def encode(self, audio):
        return np.pad(audio, ((0, 0), (0, -audio.shape[1] % 40))).reshape(-1, 40)

    def decode(self, latents):
        return latents.reshape(1, -1)
"""
CHOSEN, OTHER = "blocks/best", "blocks/dim~128/lam~0.01"
N_SAMPLES = 8190  # not a whole number of hops


def options_of(attribute: str, **changes) -> dict:
    experiment.check(changes, plugins.card("labels", attribute)["options"])
    return changes


def write_cell(model_path: Path, probe_path: str, n_features: int, n_classes: dict[str, int], seed: int) -> None:
    """A model near the identity and probes of small random weights."""
    model = SparseAutoencoder(HOP, n_features)
    model.initialise(torch.Generator().manual_seed(seed))
    mean = np.linspace(-0.01, 0.01, HOP, dtype=np.float32)
    weights.save(model, Scaling(mean, 0.1), model_path)
    rng = np.random.default_rng(seed)
    for attribute, n in n_classes.items():
        path = Path(probe_path.format(attribute))
        path.parent.mkdir(parents=True, exist_ok=True)
        weight = 0.05 * rng.standard_normal((n, n_features)).astype(np.float32)
        save_file({"weight": weight, "bias": np.zeros(n, np.float32)}, path)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with what the workflow would have made of it, as far as steering reads it."""
    project = tmp_path_factory.mktemp("project")
    (project / "my_codec.py").write_text(CODEC)
    options = {
        "pitch": options_of("pitch", model="tiny", decoder="argmax"),
        "amplitude": options_of("amplitude", n_classes=4),
    }
    levels = bins.equal_bins(np.linspace(-60, -10, 2000), options["amplitude"], "dBFS")
    for attribute, classes in {"pitch": pitch.fit_bins(None, options["pitch"]), "amplitude": levels}.items():
        bins.write(classes, attribute, project / f"results/labels/{attribute}/bins.json")
    results = project / "results"
    n_classes = {"pitch": 66, "amplitude": 4}
    chosen = results / "steering" / CHOSEN
    write_cell(chosen / "model.safetensors", f"{chosen}/probes/{{}}.safetensors", 64, n_classes, 1)
    other = f"{results}/probes/{OTHER}/{{}}/probe.safetensors"
    write_cell(results / "saes" / OTHER / "model.safetensors", other, 128, n_classes, 2)
    geometry = {"sample_rate_hz": RATE_HZ, "hop_samples": HOP, "frame_offset_frames": OFFSET_FRAMES}
    entries = {
        name: {"module": name, "options": options[name], "bins": f"results/labels/{name}/bins.json"} for name in options
    }
    loading = {"module": "my_codec.py:Blocks", "options": {}, "weights": [], "geometry": geometry}
    described = {"name": "best", "encoder": "blocks", "dim": 64, "lam": 0.1, "loading": loading, "attributes": entries}
    (chosen / "cell.json").write_text(json.dumps(described))
    time_s = np.arange(N_SAMPLES) / RATE_HZ
    tone = 0.1 * np.sin(2 * np.pi * 440 * time_s) + 0.003 * np.random.default_rng(3).standard_normal(N_SAMPLES)
    soundfile.write(project / "in.wav", tone, RATE_HZ, subtype="FLOAT")
    return project


@pytest.fixture
def project(made, tmp_path, monkeypatch) -> Path:
    """A copy of it to work in."""
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr(sys, "path", [*sys.path])  # an own encoder puts its folder there
    return tmp_path / "project"


def run(*arguments: str) -> int:
    return steer.main(["in.wav", "-o", "out.wav", "--device", "cpu", *map(str, arguments)])


def samples(path: str) -> np.ndarray:
    read, rate_hz = soundfile.read(path, dtype="int16")
    assert rate_hz == RATE_HZ
    return read


def by_hand(controls: list[tuple[str, int, np.ndarray]], renormalises: bool = True) -> np.ndarray:
    """The steered sound in steps of 16 bits, in doubles; controls: attribute, class, α (n_frames,)."""
    model = {
        name: value.astype(np.float64)
        for name, value in load_file(f"results/steering/{CHOSEN}/model.safetensors").items()
    }
    audio, _ = soundfile.read("in.wav")
    latents = np.pad(audio, (0, -len(audio) % HOP)).reshape(-1, HOP)
    x = (latents - model["latent_mean"]) / model["latent_scale"]
    h = np.maximum(x @ model["W_enc"].T + model["b_enc"], 0)
    f = h / np.sqrt((h**2).mean(axis=1, keepdims=True))
    for attribute, index, alphas in controls:
        weight = load_file(f"results/steering/{CHOSEN}/probes/{attribute}.safetensors")["weight"]
        f = f + alphas[:, None] * weight[index].astype(np.float64)
    if controls and renormalises:
        f = f / np.sqrt((f**2).mean(axis=1, keepdims=True))
    x_hat = f @ model["W_dec"].T + model["b_dec"]
    sound = (x_hat * model["latent_scale"] + model["latent_mean"]).reshape(-1)[: len(audio)]
    return np.rint(np.clip(sound, -1, 1) * 32767)


def times_s() -> np.ndarray:
    return (np.arange(-(-N_SAMPLES // HOP)) + OFFSET_FRAMES) * HOP / RATE_HZ


def assert_sounds_like(path: str, expected: np.ndarray) -> None:
    assert np.abs(samples(path) - expected).max() <= 1  # a step of 16 bits


# ---- what is steered


def test_alpha_zero_is_the_autoencoder_bit_for_bit_and_the_command_says_what_it_did(project, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    done = subprocess.run(
        [sys.executable, COMMAND, project / "in.wav", "--results", project / "results", "-o", "out.wav",
         "--reference", "ref.wav", "--attribute", "pitch", "--class", "a4", "--alpha", "0", "--threads", "1"],
        cwd=tmp_path / "elsewhere", capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    out, reference = tmp_path / "elsewhere/out.wav", tmp_path / "elsewhere/ref.wav"
    assert out.read_bytes() == reference.read_bytes()
    assert len(samples(out)) == N_SAMPLES
    assert_sounds_like(out, by_hand([]))
    said = done.stdout.splitlines()
    assert said[0].startswith(f"cell: {CHOSEN} (--cell")
    assert said[1:3] == ["towards: pitch 'A4' (index:38)", "0 of 205 frames are steered"]
    assert said[3] == "wrote out.wav: 1.024 s at 8000 Hz, 0 samples clipped"
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["out.wav", "ref.wav"]


def test_only_the_stretch_changes_by_the_time_that_frames_were_labelled_for(project):
    assert run("--attribute=pitch", "--class=A4", "--alpha=20", "--from=0.102", "--to=0.5", "--reference=ref.wav") == 0
    out, reference = (np.pad(samples(path), (0, 10)).reshape(-1, HOP) for path in ("out.wav", "ref.wav"))
    # frame 20 stands for 0.10125 s, with the encoder's own offset it would for 0.1025 s
    assert np.flatnonzero((out != reference).any(axis=1)).tolist() == list(range(21, 100))
    is_steered = (times_s() >= 0.102) & (times_s() < 0.5)
    expected = by_hand([("pitch", 38, np.full(len(times_s()), 20.0))])
    plain = by_hand([])
    assert_sounds_like("out.wav", np.where(np.repeat(is_steered, HOP)[:N_SAMPLES], expected, plain))


@pytest.mark.parametrize("block_bytes", [blocks.CPU_BLOCK_BYTES, 1])
@pytest.mark.parametrize("renormalises", [True, False])
def test_two_controls_are_the_sum_by_hand(project, monkeypatch, block_bytes, renormalises):
    monkeypatch.setattr(blocks, "CPU_BLOCK_BYTES", block_bytes)  # at least 32 frames: 7 blocks
    done = run(
        "--control", "pitch=unvoiced envelope=0:10,1:30",
        "--attribute", "amplitude", "--class", "-20dBFS", "--alpha", "-7",
        *([] if renormalises else ["--without-norm"]),
    )  # fmt: skip
    assert done == 0
    alphas = [np.interp(times_s(), [0, 1], [10, 30]), np.full(len(times_s()), -7.0)]
    assert_sounds_like("out.wav", by_hand([("pitch", 65, alphas[0]), ("amplitude", 3, alphas[1])], renormalises))


class Noting(SparseAutoencoder):
    """An autoencoder that notes how many frames it is given."""

    def encode(self, x):
        self.noted.append(len(x))
        return super().encode(x)


def test_codes_are_made_in_blocks_and_the_reference_in_the_same():
    model = Noting(4, 4096).requires_grad_(False)
    model.initialise(torch.Generator().manual_seed(0))
    of_model = cell.Cell(model, Scaling(np.zeros(4, np.float32), 1.0), {})
    latents = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
    model.noted = []
    plain = own_file.steered_latents(of_model, latents, [], [], True)
    assert model.noted == [128, 128, 44]
    alphas = np.zeros(300)
    alphas[130] = 5
    steered = own_file.steered_latents(of_model, latents, [torch.ones(4096)], [alphas], True)
    assert model.noted == [128, 128, 44] * 2
    assert np.flatnonzero((plain != steered).any(axis=1)).tolist() == [130]


def test_a_recording_of_another_rate_and_channels_keeps_its_duration(project):
    stereo = np.random.default_rng(0).uniform(-0.1, 0.1, (44100, 2))
    soundfile.write("in.wav", stereo, 44100, subtype="FLOAT")
    assert run("--attribute=pitch", "--class=A4", "--alpha=3") == 0
    assert samples("out.wav").shape == (8000,)


def test_what_decoding_needs_beside_the_latents_is_that_of_the_recording(tmp_path, monkeypatch):
    class Louder:
        """Blocks of 40 samples over their peak, which decoding needs."""

        name, sample_rate_hz, n_channels, d_latent, hop_samples = "Louder", RATE_HZ, 1, HOP, HOP
        geometry = FrameGeometry(RATE_HZ, HOP)

        def encode(self, audio):
            return audio.reshape(-1, HOP) / self.side(audio)

        def side(self, audio):
            return np.abs(audio.reshape(-1, HOP)).max(axis=1, keepdims=True)

        def decode(self, latents, side):
            return (latents * side).reshape(1, -1)

    quiet_to_loud = np.linspace(0.01, 0.9, 8000) * np.sin(np.arange(8000))
    soundfile.write(tmp_path / "in.wav", quiet_to_loud, RATE_HZ, subtype="FLOAT")
    model = SparseAutoencoder(HOP, 300).requires_grad_(False)
    model.initialise(torch.Generator().manual_seed(0))
    probe = cell.Probe(torch.ones(1, 300), torch.zeros(1), None)
    loaded = own_file.Loaded(
        Louder(), Louder.geometry, cell.Cell(model, Scaling(np.zeros(HOP, np.float32), 1.0), {"p": probe})
    )
    monkeypatch.setattr(blocks, "CPU_BLOCK_BYTES", 1)  # blocks of 32 frames, whose last bits are not those of one
    target = Target("p", 0, "all", envelope.constant(0))
    sounds = own_file.steer(tmp_path / "in.wav", loaded, [target], True, True)
    level = np.abs(sounds.steered.reshape(-1, HOP)).max(axis=1)
    assert np.array_equal(sounds.steered, sounds.reference) and level[-1] > 10 * level[0]


def test_the_measured_means_are_those_of_the_stretch(project, capsys):
    audio, _ = soundfile.read("in.wav")
    audio[4000:] *= 0.1
    soundfile.write("in.wav", audio, RATE_HZ, subtype="FLOAT")
    assert run("--attribute=amplitude", "--class=-20", "--alpha=20", "--to=0.4", "--measure") == 0
    pitch_row, amplitude_row = (line.split() for line in capsys.readouterr().out.splitlines()[-2:])
    # A sine of peak 0.1 has -23.01 dBFS, and the half beyond the stretch has 20 dB less
    assert (amplitude_row[0], amplitude_row[-1]) == ("amplitude", "dBFS")
    assert float(amplitude_row[1]) == pytest.approx(-23.0, abs=0.3)
    out, reference = samples("out.wav")[: int(0.4 * RATE_HZ)] / 32767, by_hand([])[: int(0.4 * RATE_HZ)] / 32767
    for column, sound in ((3, reference), (5, out)):
        assert float(amplitude_row[column]) == pytest.approx(10 * np.log10((sound**2).mean()), abs=0.5)
    assert float(pitch_row[1]) == pytest.approx(69, abs=0.1) and pitch_row[2] == "(100%)"


# ---- with which cell


def test_a_cell_of_the_grid_is_taken_by_its_name_or_the_end_of_it(project, capsys):
    def sound_of(*arguments: str) -> bytes:
        assert run("--attribute=pitch", "--class=A4", "--alpha=9", "--force", *arguments) == 0
        return Path("out.wav").read_bytes()

    chosen = sound_of()
    assert sound_of("--cell", "best") == sound_of("--cell", CHOSEN) == chosen
    other = sound_of("--cell", OTHER)
    assert other == sound_of("--cell", "dim~128/lam~0.01") != chosen
    assert f"cell: {OTHER}\n" in capsys.readouterr().out


def test_an_end_that_several_cells_have_is_refused(project, capsys):
    shutil.copytree(project / "results/steering/blocks", project / "results/steering/again")
    assert run("--attribute=pitch", "--class=A4", "--alpha=9", "--cell=best") == 1
    assert "several cells are called 'best': again/best, blocks/best" in capsys.readouterr().err


def test_results_may_have_been_renamed(project):
    Path("results").rename("march")
    assert run("--attribute=pitch", "--class=A4", "--alpha=9", "--results=march") == 0


def test_what_there_is_to_steer_with_is_listed(project, capsys):
    assert steer.main(["--list"]) == 0
    out = capsys.readouterr().out
    for line in (
        f"    {CHOSEN}, probes: amplitude, pitch",
        f"    {OTHER}, probes: amplitude, pitch",
        "    pitch, values in semitone (MIDI), 66 classes: 'G1' to 'B6', 'unvoiced'",
        "    amplitude, values in dBFS, 4 classes: '-60 to -47 dBFS' to '-23 to -10 dBFS'",
    ):
        assert line in out.splitlines()
    assert steer.main(["--list", "pitch"]) == 0
    assert capsys.readouterr().out.splitlines()[38] == "index:38  A4"
    assert steer.main(["--list", "pitsch"]) == 1
    assert "there is no attribute 'pitsch' (did you mean pitch?)" in capsys.readouterr().err


def test_widths_of_the_grid_are_in_the_order_of_numbers(project):
    results = project / "results"
    for dim in (1024, 256):
        shutil.copytree(results / "saes/blocks/dim~128", results / f"saes/blocks/dim~{dim}")
    names = [one.name for one in trained_cells.find(results)]
    assert names == [CHOSEN, *(f"blocks/dim~{dim}/lam~0.01" for dim in (128, 256, 1024))]
    assert trained_cells.find(results)[-1].probes == {}


# ---- what is refused

CONTROL = ("--attribute=pitch", "--class=A4", "--alpha=9")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--attribute=pitch", "--class=H4", "--alpha=9"], 1, ["no class 'H4' (did you", "'G1' to 'B6', 'unvoiced'"]),
        (["--attribute=pitch", "--class=12", "--alpha=9"], 1, ["no class '12'", "a value in semitone (MIDI)"]),
        (["--attribute=pitch", "--class=index:66", "--alpha=9"], 1, ["no class 'index:66'", "0 to 65"]),
        (["--attribute=amplitude", "--class=-20Hz", "--alpha=9"], 1, ["no class '-20Hz'", "a value in dBFS"]),
        (["--attribute=pitsch", "--class=A4", "--alpha=9"], 1, ["no attribute 'pitsch' (did you mean pitch?)"]),
        (["--attribute=pitch", "--class=A4", "--alpha=x"], 2, ["alpha: 'x' is not a number"]),
        (["--attribute=pitch", "--class=A4", "--alpha=nan"], 2, ["alpha: 'nan' is not a number"]),
        (["--attribute=pitch", "--class=A4"], 2, ["alpha or envelope is missing"]),
        (["--attribute=pitch", "--alpha=9"], 2, ["--attribute and --class go together"]),
        (["--alpha=9"], 2, ["--attribute and --class go together"]),
        ([], 2, ["nothing to steer to"]),
        ([*CONTROL, "--threads=0"], 2, ["--threads 0"]),
        ([*CONTROL, "--from=0.5", "--to=0.5"], 2, ["a stretch from 0.5 s to 0.5 s is empty"]),
        ([*CONTROL, "--from=0.5", "--to=0.6", "--ramp=0.1"], 2, ["do not fit"]),
        ([*CONTROL, "--from=-1", "--to=0.6"], 2, ["0 or more"]),
        ([*CONTROL, "--ramp=1"], 2, ["neither is given"]),
        ([*CONTROL, "--envelope=0:1"], 2, ["alpha cannot stand beside it"]),
        ([*CONTROL, "--from=3", "--to=4"], 1, ["nothing would be steered", "the file lasts 1.024 s"]),
        ([*CONTROL, "--from=0.1001", "--to=0.1002"], 1, ["where there is no frame"]),
        (["--attribute=pitch", "--class=A4", "--alpha=1e39"], 1, ["no longer finite"]),
        ([*CONTROL, "--cell=blocks/bst"], 1, [f"no cell 'blocks/bst' (did you mean {CHOSEN}", f"{CHOSEN}, {OTHER}"]),
        ([*CONTROL, "--results=nowhere"], 1, ["no cell to steer with", "nowhere", "run the workflow first"]),
        ([*CONTROL, "--output=in.wav", "--force"], 1, ["the recording itself, which is never overwritten"]),
        ([*CONTROL, "--output=link.wav", "--force"], 1, ["the recording itself, which is never overwritten"]),
        ([*CONTROL, "--output=old.wav"], 1, ["old.wav is there already; --force"]),
        ([*CONTROL, "--reference=old.wav"], 1, ["old.wav is there already; --force"]),
        ([*CONTROL, "--reference=../project/out.wav"], 1, ["would be written twice"]),
        ([*CONTROL, "--output=none/out.wav"], 1, ["there is no folder none"]),
        ([*CONTROL, "--output=out.mp3"], 1, ["has to end in .wav"]),
        (["--control", "pitch=A4 alpha=9 form=1"], 2, ["no 'form' (did you mean from", "a control reads"]),
        (["--control", "pitch=A4 alpha=9 alpha=1"], 2, ["alpha is given twice"]),
        (["--control", "pitch A4 alpha=9"], 2, ["control 'pitch A4 alpha=9': a control reads ATTRIBUTE=CLASS"]),
        (["--control", "alpha=9 pitch=A4"], 2, ["begins with ATTRIBUTE=CLASS"]),
        (["--control", "pitch=A4 envelope=0:1,2"], 2, ["'2' is not SECONDS:ALPHA"]),
        (["--control", "pitch=A4 envelope=2:1,1:2"], 2, ["1 s comes after 2 s"]),
        (["--control", "pitch='A4"], 2, ["No closing quotation"]),
        (["--control", ""], 2, ["a control reads"]),
    ],
)  # fmt: skip
def test_a_call_that_makes_no_sense_is_refused_in_one_sentence_and_writes_nothing(
    project, capsys, arguments, code, says
):
    Path("link.wav").symlink_to("in.wav")
    Path("old.wav").write_bytes(b"mine")
    before = {path: path.read_bytes() for path in project.glob("*.*")}
    try:
        given = run(*arguments)
    except SystemExit as exit:  # argparse
        given = exit.code
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert given == code and message.startswith("steer.py: "), message
    for text in says:
        assert text in message
    assert {path: path.read_bytes() for path in project.glob("*.*") if path.name != "__pycache__"} == before


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "there is no such file"),
        (b"", "empty file"),
        (b"no sound", "unreadable"),
        (np.zeros(0), "empty: no samples"),
        (np.zeros(800), "silent"),
        (np.array([0.1, np.nan]), "non-finite"),
        (np.ones((9, 3)), "3 channels"),
    ],
)
def test_a_recording_that_cannot_be_used_is_refused(project, capsys, content, says):
    Path("in.wav").unlink()
    if isinstance(content, bytes):
        Path("in.wav").write_bytes(content)
    elif content is not None:
        soundfile.write("in.wav", content, RATE_HZ, subtype="FLOAT")
    assert run(*CONTROL) == 1
    assert f"in.wav cannot be steered: {says}" in capsys.readouterr().err
    assert not Path("out.wav").exists()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda: Path(f"results/steering/{CHOSEN}/model.safetensors").unlink(), "run the workflow again"),
        (lambda: Path(f"results/steering/{CHOSEN}/probes/pitch.safetensors").write_bytes(b"x"), "is not a probe"),
        (lambda: Path(f"results/steering/{CHOSEN}/cell.json").write_text("{"), "is not readable as JSON"),
        (lambda: Path("my_codec.py").write_text(CODEC.replace("40", "80")), "reads 40 values a frame"),
        (lambda: Path("my_codec.py").unlink(), "my_codec.py"),
    ],
)
def test_results_that_are_damaged_are_named(project, capsys, damage, says):
    damage()
    assert run(*CONTROL) == 1
    assert says in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named(project, capsys):
    assert run(*CONTROL, "--device=cuda") == 1
    assert "--device cuda: there is no GPU" in capsys.readouterr().err


def test_a_stretch_that_goes_on_beyond_the_end_is_noted(project, capsys):
    assert run(*CONTROL, "--from=0.5", "--to=4") == 0
    assert "note: the control of pitch goes on to 4 s, and the file ends at 1.024 s" in capsys.readouterr().err


def test_an_output_is_overwritten_if_that_is_wanted(project):
    Path("out.wav").write_bytes(b"mine")
    assert run(*CONTROL, "--force") == 0
    assert len(samples("out.wav")) == N_SAMPLES


def test_a_mistake_in_the_call_does_not_wait_for_torch(project):
    script = "import sys, steer; print(steer.main(['in.wav', '-o', 'o.wav', *sys.argv[1:]]), 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script, "--control", "pitch=H4 alpha=1"],
        env={"PYTHONPATH": str(COMMAND.parent)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "1 False", done.stderr


# ---- the grammar


@pytest.mark.parametrize(
    ("text", "attribute", "wanted", "at_s", "alphas"),
    [
        ("pitch=A4 alpha=20", "pitch", "A4", [0, 99], [20, 20]),
        ("pitch=A4 alpha=20 from=2 to=4", "pitch", "A4", [1.9, 2, 3.9, 4], [0, 20, 20, 0]),
        ("pitch=A4 to=4 alpha=20 from=2 ramp=1", "pitch", "A4", [2, 2.5, 3, 3.25, 4], [0, 10, 20, 15, 0]),
        ("pitch=A4 alpha=-2 from=2 ramp=1", "pitch", "A4", [1, 2.5, 3, 99], [0, -1, -2, -2]),
        ("pitch=A4 alpha=20 to=2 ramp=1", "pitch", "A4", [0, 1, 1.5, 2], [20, 20, 10, 0]),
        ("pitch=A4 alpha=20 from=2", "pitch", "A4", [1.9, 2, 99], [0, 20, 20]),
        ("amplitude='-23 to -10 dBFS' envelope='0:0 2:20 4:0'", "amplitude", "-23 to -10 dBFS", [1, 2], [10, 20]),
        ("amplitude=-20 envelope=0:0,2:20", "amplitude", "-20", [1, 9], [10, 20]),
    ],
)  # fmt: skip
def test_controls_are_read(text, attribute, wanted, at_s, alphas):
    read = requests.read(text)
    assert (read.attribute, read.wanted) == (attribute, wanted)
    assert read.envelope.at(at_s) == pytest.approx(alphas)


def test_classes_are_named_in_several_ways():
    notes = pitch.fit_bins(None, options_of("pitch"))
    for wanted in ("A4", "a4", " A4 ", "69", "69.4", "68.6 semitone", "69 MIDI", "index:38"):
        assert requests.class_index(wanted, notes, "pitch") == 38
    assert requests.class_index("unvoiced", notes, "pitch") == 65
    levels = bins.equal_bins(np.linspace(-60, -10, 2001), options_of("amplitude", n_classes=2), "dBFS")
    for wanted, index in {"-50": 0, "-20.5 dbfs": 1, "-2e1dBFS": 1, "-99": 0, "3": 1, "index:1": 1}.items():
        assert requests.class_index(wanted, levels, "amplitude") == index
    octaves = levels._replace(unit="log2 Hz")
    assert requests.class_index("-20log2 Hz", octaves, "timbre") == 1
    for wanted in ("-20Hz", "-20 dB", "index:2", "index:-1", "nan", ""):
        with pytest.raises(ValueError, match="timbre has no class"):
            requests.class_index(wanted, octaves, "timbre")
