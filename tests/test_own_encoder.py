"""A user's own encoder: read without being run, held to the contract, and taken through the method."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sonolens import experiment, extraction, plugins, probes, sizing, tables
from sonolens.encoders import own, own_class
from sonolens.latents import LatentStore, ScaledFrames, Scaling, clip_and_split, clip_runs, measure_scaling, split_runs
from sonolens.sae import training

ROOT = Path(__file__).parents[1]

CODEC = '''
import numpy as np


class Blocks:
    """Blocks of samples as they are."""

    sample_rate_hz = 8000
    n_channels = 2
    d_latent = 20
    hop_samples = 10

    def __init__(self, device):
        self.device = device

    def encode(self, audio):
        padded = np.pad(audio, ((0, 0), (0, -audio.shape[1] % 10)))
        return padded.reshape(2, -1, 10).transpose(1, 0, 2).reshape(-1, 20)

    def decode(self, latents):
        return latents.reshape(-1, 2, 10).transpose(1, 0, 2).reshape(2, -1)
'''


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A function that writes the codec above with replacements, and gives what a config would call it."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(*replacements: tuple[str, str], text: str = CODEC, name: str = "my_codec.py") -> str:
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / name).write_text(text)
        return f"{tmp_path / name}:Blocks"

    return write


def refusal(module: str) -> str:
    with pytest.raises(ValueError) as caught:
        own_class.card(module)
    return str(caught.value)


def load(module: str, **options):
    return own.load(module, [], options, "cpu")


def breach(module: str, **options) -> str:
    with pytest.raises(ValueError) as caught:
        load(module, **options)
    assert module in str(caught.value)
    return str(caught.value)


# What Snakemake reads


def test_a_path_is_told_from_the_name_of_a_module():
    assert (
        own_class.is_own("my_codec.py:Mine")
        and own_class.is_own("../codecs/mine.py:Mine")
        and own_class.is_own("mine.py")
    )
    assert not any(own_class.is_own(name) for name in plugins.available("encoders"))


def test_the_card_has_the_keys_that_other_encoders_cards_have(written):
    card = own_class.card(written())
    assert {name: card[name] for name in own_class.COUNTS} == {
        "sample_rate_hz": 8000,
        "n_channels": 2,
        "d_latent": 20,
        "hop_samples": 10,
    }
    assert (card["title"], card["kind"], card["trained"], card["files"]) == ("Blocks", "continuous", False, [])
    assert not card["takes_weights"] and "frame_offset_frames" not in card
    assert card["options"]["properties"] == {}
    for module in plugins.available("encoders"):
        optional = {"encode_only", "variant", "variants", "files", "frame_offset_frames", "causal", *own_class.COSTS}
        optional |= {"segment_samples", "segment_stride_samples", *own_class.COUNTS}  # which may stand in its variants
        others = plugins.card("encoders", module)
        assert set(others) - optional <= set(card), module


def test_costs_and_causality_are_taken_from_the_class(written):
    lines = "causal = True\n    network_mb = 800\n    core_speed = 0.5\n    n_channels = 2"
    card = own_class.card(written(("n_channels = 2", lines)))
    assert (card["causal"], card["network_mb"], card["core_speed"]) == (True, 800, 0.5)
    assert sizing.Network._fields == own_class.COSTS


def test_what_is_optional_is_taken_from_the_class(written):
    lines = 'kind: str = "discrete"\n    title = licence = "mine"\n    frame_offset_frames = 0\n    n_channels = 2'
    card = own_class.card(written(("n_channels = 2", lines)))
    assert (card["kind"], card["title"], card["licence"]) == ("discrete", "mine", "mine")
    assert card["frame_offset_frames"] == 0


def test_a_base_class_in_the_same_file_counts(written):
    module = written()
    path = Path(module.removesuffix(":Blocks"))
    path.write_text(path.read_text() + "\n\nclass Mono(Blocks):\n    hop_samples = 20\n")
    assert own_class.card(f"{path}:Mono") == own_class.card(module) | {"title": "Mono", "hop_samples": 20}


def test_the_file_is_not_run_for_its_card(written):
    module = written(("import numpy as np", "raise SystemExit('was run')"))
    assert own_class.card(module)["d_latent"] == 20


def test_reading_a_card_imports_nothing_heavy(written):
    script = (
        f"import sys; from sonolens.encoders.own_class import card; card({written()!r}); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT / "workflow_scripts", capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("old", "new", "line", "named"),
    [
        ("hop_samples = 10", "hop_sample = 10", 5, ["lacks `hop_samples", "did you mean hop_sample?"]),
        ("hop_samples = 10", "hop_samples = 2 * 5", 11, ["hop_samples", "write the value itself"]),
        ("hop_samples = 10", "hop_samples = HOP", 11, ["hop_samples", "write the value itself"]),
        ("hop_samples = 10", "hop_samples = 0", 11, ["hop_samples is 0", "1 or more"]),
        ("hop_samples = 10", "hop_samples = -10", 11, ["hop_samples is -10", "1 or more"]),
        ("hop_samples = 10", "hop_samples = 10.0", 11, ["hop_samples is 10.0", "whole number"]),
        ("hop_samples = 10", "hop_samples = True", 11, ["hop_samples is True", "whole number"]),
        ("hop_samples = 10", "def hop_samples(self): return 10", 11, ["hop_samples", "write the value itself"]),
        ("n_channels = 2", 'n_channels, title = 2, "x"', 5, ["lacks `n_channels"]),
        ("n_channels = 2", 'n_channels = 2; kind = "codes"', 9, ["kind", "continuous, discrete"]),
        ("n_channels = 2", "n_channels = 2; title = 7", 9, ["title is 7", "text"]),
        ("n_channels = 2", "n_channels = 2; frame_offset_frames = 1e999", 9, ["frame_offset_frames", "finite"]),
        ("def encode(", "def encod(", 5, ["no method encode(self, audio)", "did you mean encod"]),
        ("def decode(self, latents)", "def decode(self, latents, n_samples)", 20, ["decode takes (self, latents, n_s"]),
        ("def decode(self, latents)", "def decode(self, latents, *, rate)", 20, ["decode takes (self, latents, *, "]),
        (
            "def decode(self, latents)",
            "def decode(latents)",
            20,
            ["decode takes (latents)", "def decode(self, latents)"],
        ),
        ("def encode(self, audio)", "encode = some\n\n    def other(self, audio)", 16, ["has to be a method"]),
        ("__init__(self, device)", "__init__(self)", 13, ["__init__ has no parameter `device`"]),
        ("__init__(self, device)", "set_up(self, device)", 5, ["no `def __init__(self, device):`"]),
        ("(self, device)", "(self, device, width=np.pi)", 13, ["default of 'width'", "plain value"]),
        ("(self, device)", "(self, device, width=b'1')", 13, ["default of 'width'", "plain value"]),
        ("(self, device)", "(self, device, **options)", 13, ["'options' of __init__", "by name"]),
        ("(self, device)", "(self, device, *options)", 13, ["'options' of __init__", "by name"]),
        ("(self, device)", "(self, device, width, /)", 13, ["'width' of __init__", "by name"]),
        ("(self, device)", "(self, device, name='x')", 13, ["'name' is a key of every entry"]),
        ("(self, device)", "(self, device, frame_offset_frames=0)", 13, ["is a key of every entry"]),
        ("import numpy as np", "from .layers import np", 2, ["relative import", "without the dots"]),
        ("import numpy as np", "import my_codec.np as np", 2, ["'my_codec'", "another name"]),
        ("import numpy as np", "import numpy as", 2, ["not Python"]),
    ],
)
def test_what_is_wrong_in_the_text_is_named_with_file_and_line(written, old, new, line, named):
    module = written((old, new))
    message = refusal(module)
    for text in [f"my_codec.py, line {line}: ", *named]:
        assert text in message


def test_all_faults_are_listed_at_once(written):
    message = refusal(written(("d_latent = 20", ""), ("hop_samples = 10", "hop_samples = 0"), ("def decode", "def de")))
    assert message.count("my_codec.py, line") == 3


def test_a_file_or_class_that_is_not_there_is_named_with_the_nearest(written, tmp_path):
    module = written()
    path = module.removesuffix(":Blocks")
    assert "defines no class Block; did you mean Blocks?" in refusal(f"{path}:Block")
    assert "its classes are: Blocks" in refusal(f"{path}:Xyz")
    assert "no file" in refusal(path.replace("my_codec", "my_codek") + ":Blocks")
    assert "did you mean" in refusal(path.replace("my_codec", "my_codek") + ":Blocks")
    assert "path/to/file.py:ClassName" in refusal(path)
    assert "path/to/file.py:ClassName" in refusal(str(tmp_path) + ":Blocks")
    for unreadable in (b"x = '\xff'\n", b"x = '\0'\n"):
        Path(path).write_bytes(unreadable)
        assert "my_codec.py" in refusal(module)


def test_relative_paths_start_at_the_root(written, tmp_path):
    module = written()
    assert own_class.card("my_codec.py:Blocks", tmp_path) == own_class.card(module)
    with pytest.raises(ValueError, match=r"no file my_codec\.py \(a relative path starts at"):
        own_class.card("my_codec.py:Blocks", tmp_path / "elsewhere")


def test_a_path_may_start_at_home_and_a_file_may_declare_its_encoding(written, tmp_path, monkeypatch):
    module = written()
    path = Path(module.removesuffix(":Blocks"))
    path.write_bytes(b"# coding: latin-1\n# \xe9\n" + path.read_bytes())
    monkeypatch.setenv("HOME", str(tmp_path))
    assert own_class.card("~/my_codec.py:Blocks") == own_class.card(module)
    assert load("~/my_codec.py:Blocks").d_latent == 20


def test_a_static_method_needs_no_self(written):
    static = ("    def decode(self, latents)", "    @staticmethod\n    def decode(latents)")
    assert load(written(static)).decode(np.zeros((2, 20))).shape == (2, 20)


# Options


OPTIONS = (
    "(self, device, depth, *, weights, width: int = 4, rate: 'float' = 0.5, gain=1, "
    "mode: Literal['a', 'b'] = 'a', seed: int | None = None, limit: float | None = None, table: dict[str, int] = {}, "
    "sizes=(1, 2), is_wide=True, top: int = None, side: Literal['l', 'r'] = None)"
)


def test_parameters_of_the_constructor_are_options_with_types_and_defaults(written):
    card = own_class.card(written(("(self, device)", OPTIONS)))
    assert card["takes_weights"] and "weights" not in card["options"]["properties"]
    options = {"depth": "any"}
    experiment.check(options, card["options"])
    assert options == {
        "depth": "any", "width": 4, "rate": 0.5, "gain": 1, "mode": "a", "seed": None, "limit": None, "table": {},
        "sizes": [1, 2], "is_wide": True, "top": None, "side": None,
    }  # fmt: skip
    Draft202012Validator.check_schema(card["options"])
    for others in ({"seed": 3}, {"top": 3}, {"side": "l"}, {"gain": 1.5}, {"rate": 1}, {"mode": "b"}, {"limit": 0.5}):
        experiment.check({"depth": 0} | others, card["options"])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "'depth' is a required property"),
        ({"depth": 1, "widht": 3}, "did you mean 'width'?"),
        (
            {"depth": 1, "width": 2.5},
            "mine.width: 2.5 is not of type 'integer'. Parameter of Blocks.__init__ (my_codec",
        ),
        ({"depth": 1, "rate": "fast"}, "mine.rate: 'fast' is not of type 'number'"),
        ({"depth": 1, "mode": "c"}, "mine.mode: 'c' is not one of ['a', 'b']"),
        ({"depth": 1, "seed": "x"}, "mine.seed: 'x' is not of type"),
        ({"depth": 1, "is_wide": 1}, "mine.is_wide: 1 is not of type 'boolean'"),
        ({"depth": 1, "sizes": 3}, "mine.sizes: 3 is not of type 'array'"),
    ],
)
def test_an_option_that_the_class_does_not_take_is_refused(written, options, named):
    card = own_class.card(written(("(self, device)", OPTIONS)))
    with pytest.raises(experiment.ConfigError) as caught:
        experiment.check(options, card["options"], "mine")
    assert named in str(caught.value)


def test_options_weights_and_device_reach_the_constructor(written):
    taking = ("(self, device)", "(self, weights, device, depth, width=3)")
    module = written(taking, ("self.device = device", "self.given = (weights, device, depth, width)"))
    assert own.load(module, ["a.pt", "b.yaml"], {"depth": 1, "width": 2}, "cpu").built.given == (
        ["a.pt", "b.yaml"], "cpu", 1, 2,
    )  # fmt: skip
    with pytest.raises(ValueError, match="no parameter `weights: list"):
        own.load(written(), ["a.pt"], {}, "cpu")


def test_a_card_is_plain_json(written):
    """It is written into the records of jobs."""
    card = own_class.card(written(("(self, device)", OPTIONS)))
    assert json.loads(json.dumps(card)) == card


# Code


def test_code_is_the_file_and_what_it_imports_from_beside_it(written, tmp_path):
    for name, text in {
        "helpers.py": "import json\n",
        "helpers.yaml": "a: 1\n",
        "pack/__init__.py": "from .inner import layers\n",
        "pack/inner/__init__.py": "",
        "pack/inner/layers.py": "from ..common import x\nfrom . import late\n",
        "pack/inner/late.py": "",
        "pack/common.py": "from my_codec import Blocks\n",  # a cycle
        "pack/unused.py": "",
        "outer/__init__.py": "",
        "outer/leaf.py": "",
        "unused.py": "",
        "__init__.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    module = written(("self.device = device", "import pack, helpers, outer.leaf"))
    found = [str(path.relative_to(tmp_path)) for path in own_class.code_files(module)]
    assert found == [
        "helpers.py", "helpers.yaml", "my_codec.py", "outer/__init__.py", "outer/leaf.py",
        "pack/__init__.py", "pack/common.py", "pack/inner/__init__.py", "pack/inner/late.py", "pack/inner/layers.py",
    ]  # fmt: skip


def test_code_files_are_relative_as_the_config_names_them(written, tmp_path, monkeypatch):
    written(("import numpy as np", "import numpy as np\nimport helpers"))
    (tmp_path / "helpers.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert list(map(str, own_class.code_files("my_codec.py:Blocks"))) == ["helpers.py", "my_codec.py"]


def test_a_damaged_neighbour_is_named(written, tmp_path):
    module = written(("import numpy as np", "import numpy as np\nimport helpers"))
    (tmp_path / "helpers.py").write_text("x = (\n")
    with pytest.raises(ValueError, match=r"helpers\.py, line 1: this is not Python"):
        own_class.code_files(module)


# The contract


@pytest.mark.parametrize("n_samples", [1, 9, 10, 11, 8000])
def test_an_encoder_that_keeps_the_contract_is_as_it_was(written, n_samples):
    encoder = load(written())
    audio = np.random.default_rng(0).uniform(-1, 1, (2, n_samples)).astype(np.float32)
    latents = encoder.encode(audio)
    assert latents.shape == (-(-n_samples // 10), 20) and latents.dtype == np.float32
    decoded = encoder.decode(latents)
    assert decoded.shape == (2, 10 * len(latents)) and decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded[:, :n_samples], audio)
    np.testing.assert_allclose(encoder.geometry.frame_time_s(np.arange(2)), [5 / 8000, 15 / 8000])
    assert encoder.name == "Blocks" and not hasattr(encoder, "encode_batch")


def test_a_declared_offset_moves_the_frames(written):
    encoder = load(written(("n_channels = 2", "n_channels = 2; frame_offset_frames = 0.1")))
    np.testing.assert_allclose(encoder.geometry.frame_time_s(np.arange(2)), [1 / 8000, 11 / 8000])


def test_what_is_given_is_checked_too(written):
    encoder = load(written())
    for audio in (np.zeros((1, 100)), np.zeros(100), np.zeros((2, 0)), np.full((2, 100), np.nan)):
        with pytest.raises(ValueError, match="Blocks"):
            encoder.encode(audio)
    for latents in (np.zeros((5, 19)), np.zeros((0, 20)), np.full((5, 20), np.inf)):
        with pytest.raises(ValueError, match="Blocks"):
            encoder.decode(latents)


ENCODED = ".reshape(-1, 20)"
DECODED = ".reshape(2, -1)\n"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (ENCODED, f"{ENCODED}[:-1]", ["encode of audio (2, 4001)", "gave (400, 20)", "(401, 20) is expected"]),
        (ENCODED, f"{ENCODED}.T", ["gave (20, 401)", "(401, 20) is expected", "transposed"]),
        (ENCODED, f"{ENCODED}[None]", ["gave (1, 401, 20)"]),
        (ENCODED, f"{ENCODED} / 0 * 0", ["encode of audio", "not finite"]),
        (ENCODED, f"{ENCODED}.astype(float) * 1e200", ["beyond float32"]),
        (ENCODED, f"{ENCODED}.astype(complex)", ["complex128", "real numbers"]),
        (ENCODED, f"{ENCODED}.astype(str)", ["type <U", "real numbers"]),
        ("return padded", "padded", ["gave NoneType", "(401, 20) is expected"]),
        ("return padded", "return [[1], [1, 2]] or padded", ["gave list"]),
        ("return padded", "raise KeyError('pos') or padded", ["encode failed", "(2, 4001)", "KeyError: 'pos'"]),
        ("padded = np.pad", "audio *= 0.5; padded = np.pad", ["encode writes into the array"]),
        ("return latents", "latents -= 1; return latents", ["decode writes into the array"]),
        (
            DECODED,
            ".reshape(2, -1)[:, 1:]\n",
            ["decode of latents (401, 20)", "gave (2, 4009)", "(2, 4010) is expected"],
        ),
        (DECODED, ".reshape(2, -1)[0]\n", ["gave (4010,)"]),
        (DECODED, ".reshape(2, -1) * np.inf\n", ["decode of latents", "not finite"]),
        ("padded = ", "assert audio.shape[1] > 5; padded = ", ["encode failed on an input of shape (2, 1)"]),
        ("return latents", "assert len(latents) > 5; return latents", ["decode failed on an input of shape (1, 20)"]),
        ("self.device = device", "self.hop_samples = 5", ["hop_samples = 5 once it is built", "10"]),
        ("self.device = device", "raise OSError('no card')", ["cannot be imported and built", "OSError: no card"]),
        ("import numpy as np", "import numpyy as np", ["cannot be imported and built", "No module named 'numpyy'"]),
        ("    hop_samples", "    if True: raise OSError('x')\n    hop_samples", ["cannot be imported", "OSError: x"]),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, of the division
def test_a_breach_is_named_when_the_encoder_is_loaded(written, old, new, named):
    message = breach(written((old, new)))
    for text in named:
        assert text in message


def test_a_breach_that_only_some_audio_brings_about_is_named_then(written):
    encoder = load(written((ENCODED, f"{ENCODED}[: 1000]")))
    with pytest.raises(ValueError, match=r"my_codec\.py:Blocks: encode of audio \(2, 20000\) gave \(1000, 20\)"):
        encoder.encode(np.zeros((2, 20000), np.float32))


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_tensors_of_any_float_type_are_taken_and_no_gradient_is_kept(written, dtype):
    tensor = f"torch.from_numpy(padded{{}}).to(torch.{dtype}).requires_grad_() * 1"
    body = "padded.reshape(2, -1, 10).transpose(1, 0, 2).reshape(-1, 20)"
    module = written(
        ("import numpy as np", "import numpy as np\nimport torch"),
        (f"return {body}", f"self.last = {tensor.format(body.removeprefix('padded'))}; return self.last"),
    )
    encoder = load(module)
    audio = np.random.default_rng(0).uniform(-1, 1, (2, 50)).astype(np.float32)
    latents = encoder.encode(audio)
    assert latents.dtype == np.float32 and not encoder.built.last.requires_grad
    np.testing.assert_allclose(encoder.decode(latents), audio, atol=0.01)


def test_a_buffer_that_the_class_uses_again_is_copied(written):
    module = written(
        ("self.device = device", "self.buffer = np.empty((2000, 20), np.float32)"),
        ("return padded", "self.buffer[: padded.shape[1] // 10] = padded"),
        (ENCODED, f"{ENCODED}\n        return self.buffer[: padded.shape[1] // 10]"),
    )
    encoder = load(module)
    first = encoder.encode(np.ones((2, 10), np.float32))
    encoder.encode(np.zeros((2, 10), np.float32))
    np.testing.assert_array_equal(first, 1)


BATCH = """return padded.reshape(2, -1, 10).transpose(1, 0, 2).reshape(-1, 20)

    def encode_batch(self, audios):
        BODY
"""
WHOLE = "return padded.reshape(2, -1, 10).transpose(1, 0, 2).reshape(-1, 20)"


def with_batch(body: str) -> tuple[str, str]:
    return WHOLE, BATCH.replace("BODY", body)


def test_batches_are_held_to_what_encode_gives(written):
    encoder = load(written(with_batch("return [self.encode(audio) for audio in audios]")))
    audios = [np.random.default_rng(n).uniform(-1, 1, (2, n)).astype(np.float32) for n in (5, 100, 33)]
    for audio, latents in zip(audios, encoder.encode_batch(audios), strict=True):
        np.testing.assert_array_equal(latents, encoder.encode(audio))
    with pytest.raises(ValueError, match="not finite"):
        encoder.encode_batch([audios[0], audios[1] * np.nan])


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("return [self.encode(audios[0])]", ["encode_batch of 2 recordings", "gave 1 of latents"]),
        ("return None", ["encode_batch of 2 recordings", "NoneType"]),
        ("return [self.encode(audios[0])] * 2", ["encode_batch of audio (2, 1334)", "gave (401, 20)"]),
        ("raise OSError(1)", ["encode_batch failed", "(2, 4001), (2, 1334)", "OSError: 1"]),
        ("return [self.encode(audio / 2) for audio in audios]", ["other latents than encode", "padding"]),
    ],
)
def test_a_batch_that_is_not_what_encode_gives_is_named(written, body, named):
    message = breach(written(with_batch(body)))
    for text in named:
        assert text in message


def test_a_class_with_batches_is_held_to_the_rest_as_well(written):
    module = written(with_batch("return [self.encode(audio) for audio in audios]"), (DECODED, ".reshape(2, -1)[0]\n"))
    assert "decode of latents (401, 20) gave (4010,)" in breach(module)


# Imports


def test_the_file_imports_what_lies_beside_it_at_once_and_later(written, tmp_path):
    (tmp_path / "scaling_beside.py").write_text("FACTOR = 2\n")
    (tmp_path / "without_init").mkdir()
    (tmp_path / "without_init" / "late.py").write_text("FACTOR = 2\n")
    module = written(
        ("import numpy as np", "import numpy as np\nfrom scaling_beside import FACTOR"),
        (
            "padded = np.pad(audio",
            "from without_init.late import FACTOR as late\n        padded = np.pad(audio * FACTOR / late",
        ),
    )
    encoder = load(module)
    audio = np.ones((2, 10), np.float32)
    np.testing.assert_array_equal(encoder.encode(audio), 1)
    load(module)  # once more in the same process


def test_a_neighbour_that_another_module_hides_is_refused(written, tmp_path):
    (tmp_path / "json.py").write_text("")
    message = breach(written(("import numpy as np", "import numpy as np\nimport json")))
    assert "json.py" in message and "rename" in message


def test_a_file_called_as_a_module_of_ours_or_of_python_is_that_file(written):
    for name in ("json.py", "minivae.py", "torch.py"):
        encoder = load(written(name=name))
        assert encoder.name == "Blocks" and sys.modules["torch"] is torch


# The README's example


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> str:
    """The README's complete example in a file, as the config would name it."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (text,) = [block for block in blocks if "def encode(" in block]
    path = tmp_path_factory.mktemp("user") / "my_codec.py"
    path.write_text(text)
    (class_name,) = re.findall(r"^class (\w+)", text, re.MULTILINE)
    return f"{path}:{class_name}"


def load_example(example: str, **options):
    settings_of = dict(options)
    experiment.check(settings_of, own_class.card(example)["options"])
    return load(example, **settings_of)


@settings(max_examples=25, deadline=None)
@given(n_samples=st.integers(1, 5000), power=st.floats(0.3, 2.0), seed=st.integers(0, 9))
def test_the_example_decodes_what_it_encodes(example, n_samples, power, seed):
    encoder = load_example(example, power=power)
    audio = np.random.default_rng(seed).uniform(-1, 1, (1, n_samples)).astype(np.float32)
    np.testing.assert_allclose(encoder.decode(encoder.encode(audio))[:, :n_samples], audio, atol=1e-4)


def test_the_example_is_the_transform_that_it_says(example):
    """Against the definition of a transform lapped by a sine window, even at a frame's start and odd at its end."""
    encoder = load_example(example, power=1.0)
    hop = encoder.hop_samples
    audio = np.random.default_rng(0).uniform(-1, 1, 7 * hop)
    n, k = np.arange(2 * hop), np.arange(hop)
    window = np.sin(np.pi * (n + 0.5) / (2 * hop))
    basis = np.cos(np.pi / hop * (n[:, None] + 0.5 - hop / 2) * (k + 0.5)) * np.sqrt(2 / hop)
    begin = 3 * hop - hop // 2
    expected = (audio[begin : begin + 2 * hop] * window) @ basis
    np.testing.assert_allclose(encoder.encode(audio[None].astype(np.float32))[3], expected, atol=1e-5)


def test_the_example_hears_an_impulse_where_it_is(example):
    encoder = load_example(example)
    for clicked in np.random.default_rng(0).integers(1000, 15000, 20):
        audio = np.zeros((1, 16000), np.float32)
        audio[0, clicked] = 1
        energy = (np.abs(encoder.encode(audio)) ** 4).sum(axis=1)  # of the coefficients
        heard_s = (encoder.geometry.frame_time_s(np.arange(len(energy))) * energy).sum() / energy.sum()
        assert heard_s == pytest.approx(clicked / 16000, abs=0.5 * encoder.hop_samples / 16000)


@pytest.fixture
def recordings(tmp_path) -> tuple[str, np.ndarray]:
    """A manifest of 20 recordings of a second, each of one of two noisy tones, and their classes."""
    rng, classes = np.random.default_rng(0), np.arange(20) % 2
    rows = []
    for number, tone in enumerate(classes):
        time_s = np.arange(22050) / 22050
        audio = 0.3 * np.sin(2 * np.pi * [300, 1700][tone] * time_s + rng.uniform(0, 6)) + 0.02 * rng.standard_normal(
            22050
        )
        path = tmp_path / f"{number:02d}.wav"
        soundfile.write(path, audio, 22050)
        split = "train" if number < 12 else "validation" if number < 16 else "test"
        rows.append({"clip_id": f"toy/{number:02d}", "path": str(path), "group": str(number), "split": split})
    constants = {"dataset": "toy", "shard": 0, "duration_s": 1.0, "sample_rate_hz": 22050, "n_channels": 1}
    constants |= {"kind": "solo", "instrument": "", "sha256": "", "truth_f0_path": "", "truth_notes_path": ""}
    tables.write(pd.DataFrame(rows).assign(**constants), tmp_path / "manifest.parquet", tables.MANIFEST)
    return str(tmp_path / "manifest.parquet"), classes


def test_the_example_goes_through_latents_autoencoder_probe_and_decode(example, recordings, resumption, tmp_path):
    manifest, classes = recordings
    encoder = load_example(example)
    latents, frames, scale = (str(tmp_path / name) for name in ("latents.npy", "frames.parquet", "scaling.json"))
    extraction.extract(encoder, manifest, 0, latents, frames, "float32", resumption())
    measure_scaling([latents], [frames], [manifest], scale)
    store, scaling, runs = LatentStore([latents]), Scaling.read(scale), clip_runs([frames], [manifest])
    table = clip_and_split([frames], [manifest])
    assert len(store) == 20 * 125 and store.d_latent == own_class.card(example)["d_latent"]

    split = {name: ScaledFrames(store, split_runs(runs, name), scaling) for name in ("train", "validation", "test")}
    chosen = training.Settings(256, 1e-3, "normalised", 300, 256, 3e-3, 0.1, 0.3, 4, 0)
    trained = training.train(split["train"], split["validation"], chosen, torch.device("cpu"))
    assert trained.history["validation_explained_variance"].iloc[-1] > 0.8

    of_frame = classes[table["clip_id"].cat.codes.to_numpy()]
    inputs = {name: probes.Inputs(frames, trained.model, torch.device("cpu")) for name, frames in split.items()}
    labelled = {name: probes.Labelled.of(of_frame[frames.rows[:]], 2) for name, frames in split.items()}
    pair = labelled["train"], labelled["validation"]
    (fit,) = probes.fit(inputs["train"], inputs["validation"], [pair], probes.Settings(10, 2, 256, 0.05, 0))
    test = labelled["test"]
    predicted = probes.predict_logits(fit.weight, fit.bias, inputs["test"], test.positions).argmax(axis=1)
    assert (predicted == test.classes).mean() > 0.95

    last = np.flatnonzero(table["clip_id"] == "toy/19")
    with torch.no_grad():
        restored = scaling.invert(trained.model(torch.from_numpy(scaling.apply(store.gather(last)))).numpy())
    sound = encoder.decode(restored)
    assert sound.shape == (1, 125 * encoder.hop_samples)
    spectrum = np.abs(np.fft.rfft(sound[0]))
    assert np.argmax(spectrum) * encoder.sample_rate_hz / sound.shape[1] == pytest.approx(1700, abs=5)
