"""Every Parquet table of the workflow: its columns, their types, and their units.

Tables are written and read here only, so that a column exists in one place. A unit or meaning stands in the field's
metadata and travels inside the file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sonolens.files import replacing


def columns_of(**columns: tuple[pa.DataType, str]) -> pa.Schema:
    """A schema from the type and the meaning (unit included) of each column."""
    return pa.schema([pa.field(name, kind, metadata={"is": text}) for name, (kind, text) in columns.items()])


CLIP_ID = (pa.dictionary(pa.int32(), pa.string()), "the recording, unique over datasets: <dataset>/<stem>")

MANIFEST = columns_of(
    clip_id=(pa.string(), "unique over datasets: <dataset>/<stem>"),
    dataset=(pa.string(), "name in the config"),
    path=(pa.string(), "audio file, relative to the project's root or absolute"),
    group=(pa.string(), "recordings that must lie in one split: a composition, a performer"),
    split=(pa.string(), "train, validation or test"),
    shard=(pa.int32(), "hash of clip_id modulo the dataset's number of shards"),
    duration_s=(pa.float64(), "seconds"),
    sample_rate_hz=(pa.int32(), "of the file"),
    n_channels=(pa.int32(), "of the file"),
    kind=(pa.string(), "solo, mix, drums or unknown"),
    instrument=(pa.string(), "free text, '' if not known"),
    truth_f0_path=(pa.string(), "table of TRUTH_F0, '' if there is none"),
    truth_notes_path=(pa.string(), "table of TRUTH_NOTES, '' if there is none"),
    sha256=(pa.string(), "of the file, so that whatever reads the manifest is stale once a recording has changed"),
)
REJECTED = columns_of(
    dataset=(pa.string(), "name in the config"),
    path=(pa.string(), "audio file"),
    reason=(pa.string(), "why it is not used"),
    counts=(pa.bool_(), "towards max_rejected_share; false for what is left out on purpose, such as a known defect"),
)
TRUTH_F0 = columns_of(
    time_s=(pa.float64(), "seconds from the start of the recording"),
    f0_hz=(pa.float32(), "fundamental frequency of the one that sounds, NaN where none or several do"),
    n_sounding=(pa.int8(), "notes, strings or voices that sound at once; where there are several, no label is scored"),
)
TRUTH_NOTES = columns_of(
    onset_s=(pa.float64(), "seconds"),
    offset_s=(pa.float64(), "seconds"),
    midi=(pa.float32(), "MIDI number of the note"),
    part=(pa.string(), "voice or instrument"),
)
LATENT_FRAMES = columns_of(
    clip_id=CLIP_ID,
    frame_index=(pa.int32(), "index of the latent frame within its clip; row r belongs to row r of latents.npy"),
)
FINE_LABELS = columns_of(
    clip_id=CLIP_ID,
    frame_index=(pa.int32(), "j-th 10 ms frame, which stands for the time (j + 0.5)·10 ms"),
    value=(pa.float32(), "in the attribute's unit, NaN where it is undefined"),
    weight=(pa.float32(), "what the attribute pools by: periodicity for pitch, energy for timbre"),
)
ALIGNED_LABELS = columns_of(
    clip_id=CLIP_ID,
    frame_index=(pa.int32(), "index of the latent frame within its clip, in the order of the latents"),
    value=(pa.float32(), "in the attribute's unit, NaN where it is undefined"),
    class_index=(pa.int16(), "class of the attribute, -1 where the frame is left out"),
)
SAE_HISTORY = columns_of(
    step=(pa.int32(), "optimiser steps done"),
    loss=(pa.float32(), "mean over the steps since the row before: mse + λ·l1"),
    mse=(pa.float32(), "mean over frames of ‖x − x̂‖²"),
    l1=(pa.float32(), "mean over frames of ‖f‖₁ (or ‖h‖₁, as configured)"),
    learning_rate=(pa.float32(), "at this step"),
    lam_at_step=(pa.float32(), "λ at this step, which may be on its way up"),
    train_l0=(pa.float32(), "active features per frame, of a sample of the train frames since the row before"),
    train_dead_share=(pa.float32(), "share of features that no train frame since the row before gave a gradient"),
    validation_explained_variance=(pa.float32(), "1 − residual variance / variance"),
    validation_sparsity=(pa.float32(), "share of inactive features"),
    validation_l0=(pa.float32(), "active features per frame"),
    validation_hidden_norm=(pa.float32(), "mean over frames of ‖h‖₂, before the norm"),
    dead_share=(pa.float32(), "share of features that no validation frame activates"),
)
CODEC_HISTORY = columns_of(
    step=(pa.int32(), "optimiser steps done"),
    loss=(pa.float32(), "mean over the steps since the row before"),
    reconstruction=(pa.float32(), "its spectral part"),
    bottleneck=(pa.float32(), "KL (nats per frame) or commitment loss"),
)
CONTRIBUTIONS = columns_of(
    class_index=(pa.int16(), "class k of the attribute"),
    feature=(pa.int32(), "feature j of the SAE"),
    contribution=(pa.float32(), "W_kj · f_j, mean over the test frames of class k"),
    rank_in_class=(pa.int32(), "1 is the feature that speaks most for class k; 0 if beyond the table's depth"),
    rank_in_feature=(pa.int32(), "1 is the class that feature j speaks most for; 0 if beyond the table's depth"),
)
TRACKS = columns_of(
    clip_id=CLIP_ID,
    attribute=(pa.string(), "pitch, amplitude, ..."),
    unit=(pa.string(), "of value"),
    time_s=(pa.float64(), "seconds from the start of the recording"),
    value=(pa.float32(), "the label, in the attribute's unit; NaN where it is undefined"),
    class_index=(pa.int16(), "its class, -1 where the frame is left out"),
    predicted_class=(pa.int16(), "the probe's most probable class"),
    predicted_value=(pa.float32(), "centre of that class, in the attribute's unit; NaN for unvoiced"),
)
PROMPTS = columns_of(
    prompt_id=(pa.string(), "unique in its release"),
    caption=(pa.string(), "what is to be heard, in words, on one line"),
    aspects=(pa.list_(pa.string()), "the same as short phrases; none where the release has none that can be read"),
    is_audioset_eval=(pa.bool_(), "the excerpt described is of AudioSet's evaluation split; null where it is not said"),
    is_balanced_subset=(pa.bool_(), "of the release's part that is balanced over genres; null where it is not said"),
)


def write(frame: pd.DataFrame, path: str | Path, schema: pa.Schema) -> None:
    """Write `frame` as Parquet under `schema`. Raises if a column is missing, unknown, or of another type."""
    unknown = sorted(set(frame.columns) - set(schema.names))
    missing = sorted(set(schema.names) - set(frame.columns))
    if unknown or missing:
        raise ValueError(f"{path}: unknown columns {unknown}, missing columns {missing}")
    table = pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read(path: str | Path, schema: pa.Schema) -> pd.DataFrame:
    """Read a table written under `schema`. Raises ValueError naming the file if it is damaged or another table."""
    with _opened(path, schema) as file:
        return file.read(schema.names).to_pandas()


def column(path: str | Path, schema: pa.Schema, name: str) -> np.ndarray:
    """One column (n_rows,) of numbers; raises as `read` does."""
    with _opened(path, schema) as file:
        return file.read([name])[name].to_numpy()


def runs(path: str | Path, schema: pa.Schema, name: str) -> pd.DataFrame:
    """Runs of equal values in a column of text: `value` and `length`, in order. Raises as `read` does.

    The table is never whole in memory.
    """
    values: list[str] = []
    lengths: list[int] = []
    with _opened(path, schema) as file:
        for batch in file.iter_batches(columns=[name]):
            found = pc.run_end_encode(batch.column(name).cast(pa.string()))
            ends = [0, *found.run_ends.to_pylist()]
            for value, length in zip(found.values.to_pylist(), np.diff(ends).tolist(), strict=True):
                if values and values[-1] == value:  # it goes on in the next piece of the file
                    lengths[-1] += length
                else:
                    values.append(value)
                    lengths.append(length)
    return pd.DataFrame({"value": values, "length": np.asarray(lengths, np.int64)})


@contextmanager
def _opened(path: str | Path, schema: pa.Schema) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            missing = sorted(set(schema.names) - set(file.schema_arrow.names))
            if missing:
                raise ValueError(f"{path} lacks the columns {missing}; it is another table or of an older version")
            yield file
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} cannot be read as Parquet ({error}); delete it and run again") from error


def read_all(paths: list[str], schema: pa.Schema) -> pd.DataFrame:
    """Read several tables of one kind below each other, in the order given."""
    frames = [read(path, schema) for path in paths]
    return pd.concat(frames, ignore_index=True) if frames else schema.empty_table().to_pandas()
