"""DiffRhythm's prompts: captions as styles, by MuQ-MuLan or from a file of the user's, and a seed for each one's noise.

The text-only way of DiffRhythm (Ning et al. 2025, arXiv 2503.01183): the style of a caption stands where in training
that of ten seconds of music did, which is one space (https://github.com/ASLP-lab/DiffRhythm, infer/infer.py).
"""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from sonolens import tables
from sonolens.generators import muq_mulan
from sonolens.tracing.schemas import PROMPT_VECTORS

D_STYLE = 512
# As the generator's card names MuQ-MuLan's files
CHECKPOINT, TOKENIZER = "muq_mulan_large.bin", "xlm_roberta_base_tokenizer.json"
# A style as far from length 1 is scaled; rounded to 16 bits it stays well within
LENGTH_TOLERANCE = 1e-3
N_NAMED = 3  # prompts that an error names

STYLES = tables.columns_of(
    prompt_id=(pa.string(), "as the prompts are named"),
    vector=(pa.list_(pa.float32()), "the prompt's style, (512,)"),
)


def write_prompts(prompts_path: str, weights: list[str], options: dict, output_path: str | Path, device: str) -> None:
    """Write the style and the seed of each prompt of a table (tables.PROMPTS) as PROMPT_VECTORS.

    The styles are those of the file `options["styles"]` (read_styles), or where that is None those that MuQ-MuLan
    gives the captions; its two files, CHECKPOINT and TOKENIZER, are then among `weights`. Raises ValueError that names
    what is missing, damaged or no style.
    """
    prompts = tables.read(prompts_path, tables.PROMPTS)
    if options["styles"] is None:
        styles = styles_of_captions(list(prompts["caption"]), weights, device)
    else:
        styles = styles_of_file(options["styles"], list(prompts["prompt_id"]))
    rows = pd.DataFrame({"prompt_id": prompts["prompt_id"], "text": prompts["caption"]})
    rows["seed"] = [seed_of(prompt_id) for prompt_id in prompts["prompt_id"]]
    rows["vector"] = list(styles)
    tables.write(rows, output_path, PROMPT_VECTORS)


def seed_of(prompt_id: str) -> int:
    """The seed of a prompt's noise, of its name alone: it stays whatever else is chosen."""
    return zlib.crc32(prompt_id.encode())


def styles_of_captions(captions: Sequence[str], weights: list[str], device: str) -> np.ndarray:
    """Styles (len(captions), 512) float32 by MuQ-MuLan. Raises ValueError if its files are not among `weights`."""
    model = muq_mulan.load(_named(weights, CHECKPOINT), _named(weights, TOKENIZER), device)
    if model.d_style != D_STYLE:
        raise ValueError(
            f"{_named(weights, CHECKPOINT)} gives styles of width {model.d_style}; DiffRhythm's is {D_STYLE}"
        )
    return model.style_of(captions)


def _named(weights: list[str], name: str) -> str:
    found = [path for path in weights if Path(path).name == name]
    if not found:
        raise ValueError(
            f"the styles of captions need {name}, which is not among the generator's weights "
            f"({', '.join(Path(path).name for path in weights) or 'none'}): add it, or give the styles in a file by "
            "the generator's option `styles`"
        )
    return found[0]


def styles_of_file(path: str | Path, prompt_ids: Sequence[str]) -> np.ndarray:
    """Styles (len(prompt_ids), 512) float32, each of length 1, from a file that may hold those of more prompts.

    Says so where it had to scale them. Raises ValueError naming the file and the prompts that it lacks or has twice,
    or whose vectors are no styles.
    """
    known, vectors = read_styles(path)
    is_again = pd.Series(known).duplicated()
    if is_again.any():
        again = list(dict.fromkeys(np.array(known)[is_again]))
        raise ValueError(f"{path} has several styles of {_listed(again)}: keep one of each")
    rows = pd.Index(known).get_indexer(prompt_ids)
    missing = [prompt_id for prompt_id, row in zip(prompt_ids, rows, strict=True) if row < 0]
    if missing:
        raise ValueError(f"{path} lacks the styles of {len(missing)} of {len(prompt_ids)} prompts: {_listed(missing)}")
    return _unit(vectors[rows].astype(np.float64), prompt_ids, path)


def _unit(vectors: np.ndarray, prompt_ids: Sequence[str], path: str | Path) -> np.ndarray:
    """Float32 vectors of length 1 from `vectors` (n, 512) that are nearly so or of any length but none."""
    lengths = np.linalg.norm(vectors, axis=1)
    is_none = ~np.isfinite(lengths) | (lengths == 0)
    if is_none.any():
        faulty = [prompt_ids[row] for row in np.flatnonzero(is_none)]
        raise ValueError(
            f"{path}: not finite, or all zeros, are the styles of {len(faulty)} prompts: {_listed(faulty)}"
        )
    is_off = np.abs(lengths - 1) > LENGTH_TOLERANCE
    if is_off.any():
        print(
            f"{path}: {int(is_off.sum())} of {len(vectors)} styles are scaled to length 1; "
            f"they had {lengths[is_off].min():.4g} to {lengths[is_off].max():.4g}"
        )
        vectors[is_off] /= lengths[is_off, None]
    return vectors.astype(np.float32)


def read_styles(path: str | Path) -> tuple[list[str], np.ndarray]:
    """Names (n,) and styles (n, 512) in a `.npz` of the arrays `prompt_id` and `vector`, or a table of these columns.

    Raises ValueError naming the file if it is neither, damaged, or of another width.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}, which the generator's option `styles` names")
    readers = {".npz": _read_npz, ".parquet": _read_parquet}
    if path.suffix not in readers:
        raise ValueError(f"{path}: styles are read from a file ending in {' or '.join(readers)}")
    prompt_ids, vectors = readers[path.suffix](path)
    if vectors.shape != (len(prompt_ids), D_STYLE) or vectors.dtype.kind != "f":
        raise ValueError(
            f"{path}: vector is {vectors.dtype} of shape {vectors.shape} for {len(prompt_ids)} prompts; styles are "
            f"floating-point numbers of shape ({len(prompt_ids)}, {D_STYLE})"
        )
    return prompt_ids, vectors


def _read_npz(path: Path) -> tuple[list[str], np.ndarray]:
    try:
        with np.load(path) as stored:
            prompt_ids, vectors = stored["prompt_id"], stored["vector"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} cannot be read as styles, a .npz of prompt_id and vector ({error})") from error
    if prompt_ids.ndim != 1 or prompt_ids.dtype.kind != "U":
        raise ValueError(
            f"{path}: prompt_id is {prompt_ids.dtype} of shape {prompt_ids.shape}; it has to be names, (n,)"
        )
    return prompt_ids.tolist(), vectors


def _read_parquet(path: Path) -> tuple[list[str], np.ndarray]:
    table = tables.read(path, STYLES)
    widths = sorted({0 if vector is None else len(vector) for vector in table["vector"]})
    if widths != [D_STYLE]:
        raise ValueError(f"{path}: its vectors are of width {widths}; DiffRhythm's styles have {D_STYLE}")
    return list(table["prompt_id"]), np.stack(list(table["vector"]))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:N_NAMED]) + (", …" if len(names) > N_NAMED else "")
