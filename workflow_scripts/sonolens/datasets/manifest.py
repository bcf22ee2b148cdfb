"""From the files of a dataset to the list of recordings that the workflow uses: checked, split, sharded."""

import hashlib
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from sonolens import audio, plugins, tables
from sonolens.datasets.files import CANDIDATES, FILES
from sonolens.datasets.splits import draw_splits

N_NAMED = 10  # files that an error names


def build(
    module: str,
    dataset: str,
    files_path: str | Path,
    options: dict,
    *,
    seed: int,
    splits: dict[str, float],
    shards: int,
    max_rejected_share: float,
    min_clip_seconds: float,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The manifest (tables.MANIFEST, sorted by clip_id) and what is not used (tables.REJECTED) of one dataset.

    Raises ValueError if too many files cannot be used, if none is left, or if the groups do not suffice for the splits.
    """
    files = tables.read(files_path, FILES)
    candidates = plugins.load("datasets", module).index(Path(files_path).parent, files, options)
    manifest, rejected = check_files(candidates, dataset, min_clip_seconds)
    n_left_out = int((~rejected["counts"].astype(bool)).sum())
    unusable = rejected[rejected["counts"].astype(bool)]
    refuse_if_too_many(unusable, len(candidates) - n_left_out, dataset, max_rejected_share)
    manifest["split"] = draw_splits(manifest, splits, seed, dataset)
    manifest["shard"] = [shard_of(clip_id, shards) for clip_id in manifest["clip_id"]]
    return manifest.sort_values("clip_id", ignore_index=True), rejected


def check_files(candidates: pd.DataFrame, dataset: str, min_clip_seconds: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read every candidate once; what can be used, with its length and format, and what is not, with the reason."""
    usable, rejected = [], []
    rows = candidates[list(CANDIDATES)].to_dict("records")
    for row in tqdm(rows, desc=f"checking {dataset}", unit="file", mininterval=5):
        left_out = row.pop("left_out")
        reason = left_out or row.pop("problem") or audio.why_unusable(row["path"], min_clip_seconds)
        if reason is not None:
            rejected.append({"dataset": dataset, "path": row["path"], "reason": reason, "counts": not left_out})
            continue
        n_samples, sample_rate_hz, n_channels = audio.header(row["path"])
        row |= {"clip_id": f"{dataset}/{row.pop('stem')}", "dataset": dataset, "duration_s": n_samples / sample_rate_hz}
        row |= {"sample_rate_hz": sample_rate_hz, "n_channels": n_channels}
        usable.append(row | {"sha256": sha256_of(row["path"])})
    return pd.DataFrame(usable), pd.DataFrame(rejected, columns=tables.REJECTED.names)


def sha256_of(path: str | Path) -> str:
    """The checksum of a file's content, read in blocks."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_if_too_many(rejected: pd.DataFrame, n_files: int, dataset: str, max_rejected_share: float) -> None:
    """Raise ValueError, naming the files, if more than `max_rejected_share` of them cannot be used, or none can."""
    if len(rejected) <= max_rejected_share * n_files and len(rejected) < n_files:
        return
    named = "\n".join(f"  {row.path}: {row.reason}" for row in rejected.head(N_NAMED).itertuples())
    more = f"\n  and {len(rejected) - N_NAMED} more" if len(rejected) > N_NAMED else ""
    raise ValueError(
        f"dataset '{dataset}': {len(rejected)} of {n_files} files cannot be used, at most "
        f"{max_rejected_share:.0%} are accepted (max_rejected_share). Mend them, take them out of the folder, "
        f"or raise max_rejected_share:\n{named}{more}"
    )


def shard_of(clip_id: str, n_shards: int) -> int:
    """The shard of a clip: the same on every machine and in every session, whatever other clips there are."""
    return int.from_bytes(hashlib.sha256(clip_id.encode()).digest()[:8], "big") % n_shards


def summary(manifest: pd.DataFrame, n_shards: int) -> dict:
    """How much audio there is in each shard and in each split: what jobs on it are sized by before they are submitted.

    hours, longest_seconds, and largest_bytes, of the largest recording as 32-bit samples at its own rate.
    """
    return {
        "shards": {str(shard): _amount(manifest[manifest["shard"] == shard]) for shard in range(n_shards)},
        "splits": {split: _amount(manifest[manifest["split"] == split]) for split in ("train", "validation", "test")},
    }


def _amount(clips: pd.DataFrame) -> dict[str, float]:
    n_bytes = 4 * clips["duration_s"] * clips["sample_rate_hz"] * clips["n_channels"]
    return {
        "hours": float(clips["duration_s"].sum() / 3600),
        "longest_seconds": float(clips["duration_s"].max()) if len(clips) else 0.0,
        "largest_bytes": float(n_bytes.max()) if len(clips) else 0.0,
    }


def write(manifest: pd.DataFrame, rejected: pd.DataFrame, manifest_path: str | Path, rejected_path: str | Path) -> None:
    """Write both tables of a dataset."""
    tables.write(rejected, rejected_path, tables.REJECTED)
    tables.write(manifest, manifest_path, tables.MANIFEST)
