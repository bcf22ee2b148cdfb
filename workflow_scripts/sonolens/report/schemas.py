"""Columns of the tables that the report gathers from the results.

They stand apart from tables.py because only figures and the report read them: a new column here redraws the report
and recomputes nothing else. Rows keep the order of the config, which is the order of rows and colours in the figures.
"""

import pyarrow as pa

from sonolens.tables import CODEC_HISTORY, SAE_HISTORY


def _numbers(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.float64()) for name in names]


def _texts(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.string()) for name in names]


KEYS = [
    pa.field("encoder", pa.string(), metadata={"is": "name in the config"}),
    pa.field("dim", pa.int32(), metadata={"is": "n_features; 0 where the probe reads raw latents"}),
    pa.field("expansion", pa.float64(), metadata={"is": "n_features / d_latent; 0 for raw latents"}),
    pa.field("lam", pa.float64(), metadata={"is": "weight of the L1 term; NaN for raw latents"}),
]
AUDIO_COLUMNS = [
    "codec_log_spectral_distance_db",
    "sae_log_spectral_distance_db",
    "sae_vs_codec_log_spectral_distance_db",
    "codec_pitch_kept_share",
    "sae_pitch_kept_share",
]
CELL_METRICS = [
    "sparsity", "l0", "explained_variance", "explained_variance_low", "explained_variance_high", "mse", "dead_share",
    "hidden_norm", "frames_per_s", "train_seconds",
]  # fmt: skip
# One row per cell of the grid
CELLS = pa.schema(KEYS + _numbers(*CELL_METRICS, *AUDIO_COLUMNS))

PROBE_METRICS = [
    "accuracy", "accuracy_low", "accuracy_high", "majority_share", "macro_f1", "within_one_accuracy",
    "validation_accuracy", "n_classes", "n_train_frames", "n_test_frames",
]  # fmt: skip
# What only some attributes have; NaN elsewhere
PITCH_METRICS = [
    "octave_error_share", "voiced_accuracy", "voiced_accuracy_low", "voiced_accuracy_high", "voiced_majority_share",
]  # fmt: skip
# One row per probe, those on raw latents included
PROBES = pa.schema([*KEYS, *_texts("attribute", "unit"), *_numbers(*PROBE_METRICS, *PITCH_METRICS)])
SUBSET_METRICS = ["accuracy", "majority_share", "n_frames"]
SUBSET_PITCH_METRICS = ["voiced_accuracy", "voiced_majority_share", "n_voiced_frames"]
# One row per probe and kind of recording
SUBSETS = pa.schema([*KEYS, *_texts("attribute", "kind"), *_numbers(*SUBSET_METRICS, *SUBSET_PITCH_METRICS)])
# One row per cell and bin: the number of features whose share of active test frames lies in it
ACTIVATIONS = pa.schema([*KEYS, *_numbers("log10_low", "log10_high", "count")])

L1_ON = pa.field("l1_on", pa.string(), metadata={"is": "what the L1 term is taken of: normalised (f) or hidden (h)"})
HISTORIES = pa.schema([*KEYS, *SAE_HISTORY])
OBJECTIVE_HISTORIES = pa.schema([L1_ON, *HISTORIES])
CODEC_HISTORIES = pa.schema([pa.field("encoder", pa.string()), *CODEC_HISTORY])
OBJECTIVE_PROBE_METRICS = ["accuracy", "accuracy_low", "accuracy_high", "majority_share", "macro_f1"]
# One row per trained cell of the comparison of objectives
OBJECTIVE = pa.schema(
    [L1_ON, *KEYS, *_numbers(*CELL_METRICS), *_texts("attribute"), *_numbers(*OBJECTIVE_PROBE_METRICS)]
)
