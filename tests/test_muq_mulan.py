"""Styles of prompts: MuQ-MuLan's text tower against its released code, seeds, a file of styles, and what is refused."""

import socket
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from muq_files import VOCABULARY, state, tokenizer, write_checkpoint, write_files
from sonolens import tables
from sonolens.generators import diffrhythm_prompts as prompts
from sonolens.generators import muq_mulan
from sonolens.tracing.schemas import PROMPT_VECTORS

# The released code's vectors of four captions, one at a time, with the weights of muq_files; the same with
# transformers 4.49.0, which DiffRhythm asks for, and 5.24.0
REFERENCE = Path(__file__).parent / "data" / "muq_mulan_text.npz"
NAMES = (prompts.CHECKPOINT, prompts.TOKENIZER)
CAPTIONS = {"c": "slow strings", "a": "a low flute over drums, and the drums", "b": "drums", "d": "a voice"}


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as file:
        return dict(file)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("muq"), NAMES)


@pytest.fixture(scope="module")
def small(files):
    return muq_mulan.load(*files, "cpu")


@pytest.fixture
def table(tmp_path):
    return write_table(tmp_path / "prompts.parquet", CAPTIONS)


def write_table(path: Path, captions: dict[str, str]) -> str:
    rows = pd.DataFrame({"prompt_id": list(captions), "caption": list(captions.values())})
    rows["aspects"] = [[] for _ in captions]
    rows["is_audioset_eval"] = rows["is_balanced_subset"] = None
    tables.write(rows, path, tables.PROMPTS)
    return str(path)


def written(table: str, weights: list[str], styles: str | Path | None, folder: Path) -> pd.DataFrame:
    """The table that write_prompts writes."""
    output = folder / "vectors.parquet"
    prompts.write_prompts(table, weights, {"styles": styles}, output, "cpu")
    return tables.read(output, PROMPT_VECTORS)


def unit_vectors(count: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, 512))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def write_styles(path: Path, names, vectors: np.ndarray) -> Path:
    if path.suffix == ".npz":
        np.savez(path, prompt_id=np.array(names), vector=vectors)
    else:
        pd.DataFrame({"prompt_id": names, "vector": list(vectors)}).to_parquet(path)
    return path


# The text tower


@pytest.mark.parametrize(("config", "key"), [("small", "vectors"), ("projected", "vectors_projected")])
def test_styles_are_those_of_the_released_code(tmp_path, reference, config, key):
    model = muq_mulan.load(*write_files(tmp_path, NAMES, config), "cpu")
    styles = model.style_of(list(reference["captions"]))
    assert styles.dtype == np.float32
    np.testing.assert_allclose(styles, reference[key], atol=2e-6)
    similarities = styles @ styles.T - np.eye(len(styles))
    assert np.abs(similarities).max() < 0.99  # else the comparison would say little
    np.testing.assert_allclose(np.linalg.norm(styles, axis=1), 1, atol=1e-6)


def test_a_style_does_not_depend_on_the_captions_beside_it(small):
    captions = list(CAPTIONS.values())
    together = small.style_of(captions)
    np.testing.assert_array_equal(together[::-1], small.style_of(captions[::-1]))
    np.testing.assert_array_equal(together, np.concatenate([small.style_of([caption]) for caption in captions]))


def test_what_older_transformers_stored_and_half_precision_change_little(tmp_path, files, small):
    older = {key: value.half() for key, value in state().items()}
    older["mulan.text.model.embeddings.position_ids"] = torch.arange(66)[None]
    model = muq_mulan.load(write_checkpoint(tmp_path / "older.bin", older), files[1], "cpu")
    difference = model.style_of(["slow strings"]) - small.style_of(["slow strings"])
    assert 0 < np.abs(difference).max() < 1e-3


def test_a_caption_of_as_many_tokens_as_there_are_positions_is_the_longest(small):
    longest = " ".join(["drums"] * 62)
    assert np.isfinite(small.style_of([longest])).all()
    with pytest.raises(ValueError, match=r"'drums drums.*…' has 65 tokens, and MuQ-MuLan reads 64"):
        small.style_of(["a voice", f"{longest} drums"])


def test_a_tokenizer_that_cuts_or_fills_up_does_neither_here(tmp_path, files, small):
    cutting = tokenizer()
    cutting.enable_truncation(4)
    cutting.enable_padding(length=20, pad_id=1, pad_token="<pad>")
    cutting.save(str(tmp_path / "cutting.json"))
    model = muq_mulan.load(files[0], tmp_path / "cutting.json", "cpu")
    np.testing.assert_array_equal(
        model.style_of(["slow strings and a voice"]), small.style_of(["slow strings and a voice"])
    )


def test_nothing_is_fetched(files, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert muq_mulan.load(*files, "cpu").style_of(["drums"]).shape == (1, 512)


# Files of another kind


def changed(key: str, value: torch.Tensor | None) -> dict[str, torch.Tensor]:
    weights = state()
    assert key in weights or value is not None
    return {name: tensor for name, tensor in (weights | {key: value}).items() if tensor is not None}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, r"holds no text tower of MuQ-MuLan: it lacks mulan\.text"),
        (changed("mulan.text_to_latents.weight", None), r"it lacks mulan\.text_to_latents\.weight"),
        (changed("mulan.text.model.encoder.layer.1.output.dense.bias", None), "1 key missing.*1.output.dense.bias"),
        (changed("mulan.text.transformer.layers.1.0.q_scale", torch.zeros(8)), "1 key of another shape"),
        (changed("mulan.text.extra", torch.zeros(8)), "1 key not expected"),
    ],
)
def test_another_checkpoint_is_named_with_its_keys(tmp_path, files, weights, message):
    path = write_checkpoint(tmp_path / "other.bin", weights)
    with pytest.raises(ValueError, match=f"other.bin .*{message}"):
        muq_mulan.load(path, files[1], "cpu")


def test_a_damaged_checkpoint_is_named(tmp_path, files):
    content = Path(files[0]).read_bytes()
    (tmp_path / "cut.bin").write_bytes(content[: len(content) // 2])
    torch.save([1, 2], tmp_path / "list.bin")
    with pytest.raises(ValueError, match=r"cut\.bin cannot be read as a checkpoint.*delete it"):
        muq_mulan.load(tmp_path / "cut.bin", files[1], "cpu")
    with pytest.raises(ValueError, match=r"list\.bin holds no dictionary of tensors"):
        muq_mulan.load(tmp_path / "list.bin", files[1], "cpu")


def test_another_tokenizer_is_named(tmp_path, files):
    (tmp_path / "damaged.json").write_bytes(Path(files[1]).read_bytes()[:100])
    tokenizer(begin="<unk>").save(str(tmp_path / "foreign.json"))
    tokenizer(vocabulary=VOCABULARY[:-1]).save(str(tmp_path / "short.json"))
    for name, message in {
        "damaged": "cannot be read as a tokenizer",
        "absent": "cannot be read as a tokenizer",
        "foreign": "is not XLM-RoBERTa's tokenizer",
        "short": f"has {len(VOCABULARY) - 1} tokens, .* {len(VOCABULARY)}: they are not of one model",
    }.items():
        with pytest.raises(ValueError, match=rf"{name}\.json {message}"):
            muq_mulan.load(files[0], tmp_path / f"{name}.json", "cpu")


# Prompts of captions


def test_prompts_keep_their_order_captions_and_styles(tmp_path, table, files, small):
    others = [str(tmp_path / "cfm_model.pt"), *reversed(files), str(tmp_path / "vocal.npy")]
    found = written(table, others, None, tmp_path)
    assert list(found["prompt_id"]) == list(CAPTIONS)
    assert list(found["text"]) == list(CAPTIONS.values())
    np.testing.assert_array_equal(np.stack(list(found["vector"])), small.style_of(list(CAPTIONS.values())))


def test_seeds_follow_from_the_names_alone(tmp_path, table, files):
    found = written(table, files, None, tmp_path)
    assert found["seed"].dtype == np.int64
    assert list(found["seed"]) == [zlib.crc32(name.encode()) for name in CAPTIONS]
    fewer = written(write_table(tmp_path / "fewer.parquet", {"b": "another caption"}), files, None, tmp_path)
    assert fewer["seed"][0] == found["seed"][list(CAPTIONS).index("b")] == 0x71BEEFF9


def test_files_that_are_missing_are_named(tmp_path, table, files):
    for missing, there in zip(NAMES, reversed(files), strict=True):
        with pytest.raises(ValueError, match=rf"need {missing}, .*\({Path(there).name}\): add it, or .*`styles`"):
            written(table, [there], None, tmp_path)
    with pytest.raises(ValueError, match=r"\(none\)"):
        written(table, [], None, tmp_path)


def test_styles_of_another_width_are_refused(tmp_path, table, files):
    weights = state()
    for part in ("weight", "bias"):
        weights[f"mulan.text_to_latents.{part}"] = weights[f"mulan.text_to_latents.{part}"][:128]
    write_checkpoint(tmp_path / NAMES[0], weights)
    with pytest.raises(ValueError, match=f"{NAMES[0]} gives styles of width 128; DiffRhythm's is 512"):
        written(table, [str(tmp_path / NAMES[0]), files[1]], None, tmp_path)


# Prompts of a file of styles


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_styles_of_a_file_are_found_by_name(tmp_path, table, capsys, suffix, dtype):
    names, vectors = ["e", "b", "d", "a", "c"], unit_vectors(5).astype(dtype)
    path = write_styles(tmp_path / f"styles{suffix}", names, vectors)
    found = written(table, [], path, tmp_path)  # MuQ-MuLan's files are not asked for
    expected = [vectors[names.index(name)] for name in CAPTIONS]
    np.testing.assert_array_equal(np.stack(list(found["vector"])), np.float32(expected))
    assert list(found["text"]) == list(CAPTIONS.values())
    assert list(found["seed"]) == [zlib.crc32(name.encode()) for name in CAPTIONS]
    assert "scaled" not in capsys.readouterr().out


def test_styles_of_another_length_are_scaled_and_it_is_said(tmp_path, table, capsys):
    vectors = unit_vectors(4)
    factors = np.float32([[1], [2], [0.5], [1.0005]])
    path = write_styles(tmp_path / "styles.npz", list(CAPTIONS), vectors * factors)
    found = np.stack(list(written(table, [], path, tmp_path)["vector"]))
    np.testing.assert_allclose(found[:3], vectors[:3], atol=1e-7)
    np.testing.assert_array_equal(found[3], vectors[3] * factors[3])
    assert "2 of 4 styles are scaled to length 1; they had 0.5 to 2" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_prompts_that_the_file_lacks_are_named(tmp_path, table, suffix):
    path = write_styles(tmp_path / f"styles{suffix}", ["b", "z"], unit_vectors(2))
    with pytest.raises(ValueError, match=rf"styles\{suffix} lacks the styles of 3 of 4 prompts: c, a, d$"):
        written(table, [], path, tmp_path)


def test_a_prompt_with_two_styles_is_named(tmp_path, table):
    path = write_styles(tmp_path / "styles.npz", [*CAPTIONS, "a"], unit_vectors(5))
    with pytest.raises(ValueError, match="has several styles of a:"):
        written(table, [], path, tmp_path)


@pytest.mark.parametrize(("row", "value"), [(1, np.nan), (2, np.inf), (3, 0.0)])
def test_vectors_that_are_no_styles_are_named(tmp_path, table, row, value):
    vectors = unit_vectors(4)
    vectors[row] = value
    path = write_styles(tmp_path / "styles.npz", list(CAPTIONS), vectors)
    with pytest.raises(ValueError, match=rf"styles\.npz: .*of 1 prompts: {list(CAPTIONS)[row]}$"):
        written(table, [], path, tmp_path)


def test_what_is_wrong_with_a_prompt_that_is_not_chosen_does_not_matter(tmp_path, table):
    vectors = np.concatenate([unit_vectors(4), np.full((1, 512), np.nan, np.float32)])
    path = write_styles(tmp_path / "styles.npz", [*CAPTIONS, "z"], vectors)
    assert len(written(table, [], path, tmp_path)) == 4


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_styles_of_a_file_of_another_width_are_refused(tmp_path, table, suffix):
    path = write_styles(tmp_path / f"styles{suffix}", list(CAPTIONS), unit_vectors(4)[:, :256])
    with pytest.raises(ValueError, match=rf"styles\{suffix}: .*256.*512"):
        written(table, [], path, tmp_path)


def test_a_file_that_is_none_of_styles_is_named(tmp_path, table):
    vectors = unit_vectors(4)
    np.savez(tmp_path / "nameless.npz", vector=vectors)
    np.savez(tmp_path / "numbered.npz", prompt_id=np.arange(4), vector=vectors)
    np.savez(tmp_path / "fewer.npz", prompt_id=np.array(list(CAPTIONS)), vector=vectors[:3])
    np.savez(tmp_path / "whole.npz", prompt_id=np.array(list(CAPTIONS)), vector=np.ones((4, 512), int))
    np.savez(tmp_path / "pickled.npz", prompt_id=np.array(list(CAPTIONS), object), vector=vectors)
    pd.DataFrame({"prompt_id": list(CAPTIONS)}).to_parquet(tmp_path / "vectorless.parquet")
    ragged = [*vectors[:3], None]
    pd.DataFrame({"prompt_id": list(CAPTIONS), "vector": ragged}).to_parquet(tmp_path / "ragged.parquet")
    for kind in (".npz", ".parquet"):
        content = write_styles(tmp_path / f"whole_{kind}{kind}", list(CAPTIONS), vectors).read_bytes()
        (tmp_path / f"cut{kind}").write_bytes(content[: len(content) // 2])
    (tmp_path / "styles.csv").write_text("prompt_id,vector\n")
    for name, message in {
        "nameless.npz": "cannot be read as styles, a .npz of prompt_id and vector",
        "pickled.npz": "cannot be read as styles",
        "cut.npz": "cannot be read as styles",
        "numbered.npz": r"prompt_id is int64 of shape \(4,\)",
        "fewer.npz": r"shape \(3, 512\) for 4 prompts",
        "whole.npz": "vector is int64",
        "vectorless.parquet": r"lacks the columns \['vector'\]",
        "ragged.parquet": r"of width \[0, 512\]",
        "cut.parquet": "cannot be read as Parquet",
        "styles.csv": "read from a file ending in .npz or .parquet",
    }.items():
        with pytest.raises(ValueError, match=rf"{name}:? .*{message}|{name}:? {message}"):
            written(table, [], tmp_path / name, tmp_path)
    with pytest.raises(ValueError, match=r"there is no file .*absent\.npz, which the generator's option `styles`"):
        written(table, [], tmp_path / "absent.npz", tmp_path)
