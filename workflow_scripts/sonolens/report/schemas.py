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

STEERED_KEYS = [
    pa.field("encoder", pa.string(), metadata={"is": "name in the config"}),
    pa.field("cell", pa.string(), metadata={"is": "name of the steered cell in the config"}),
    pa.field("dim", pa.int32(), metadata={"is": "n_features"}),
    pa.field("lam", pa.float64(), metadata={"is": "weight of the L1 term"}),
]
# One row per condition and figure. The figures are the columns of steering.csv; which there are depends on the run's
# attributes and embeddings, hence the long form
STEERING = pa.schema(
    [
        *STEERED_KEYS,
        *_texts("method", "attribute"),
        pa.field("class_index", pa.int32(), metadata={"is": "class steered to; -1 all pooled, -2 none: a reference"}),
        pa.field("class", pa.string(), metadata={"is": "its name, 'all', or '' for a reference"}),
        pa.field("alpha", pa.float64()),
        pa.field("unit", pa.string(), metadata={"is": "of a shift of the attribute steered"}),
        pa.field("quantity", pa.string(), metadata={"is": "a column of steering.csv"}),
        *_numbers("value", "low", "high"),
    ]
)
# One row per method other than the paper's and figure: both at equal shift of the target; for hit_rate, both at the α
# that is best for them
STEERING_METHODS = pa.schema(
    [
        *STEERED_KEYS,
        *_texts("attribute", "unit", "method", "quantity"),
        pa.field("matched_shift", pa.float64(), metadata={"is": "towards the class, the largest that both reach"}),
        pa.field("reached_by", pa.string(), metadata={"is": "both, paper, method or neither; '' for hit_rate"}),
        *_numbers("paper_alpha", "method_alpha", "paper_value", "method_value"),
        pa.field("difference", pa.float64(), metadata={"is": "the method's less the paper's"}),
        *_numbers("difference_low", "difference_high"),
        pa.field("ratio", pa.float64(), metadata={"is": "the paper's over the method's"}),
        *_numbers("ratio_low", "ratio_high"),
        pa.field("verdict", pa.string(), metadata={"is": "better, worse, not apart, not reached, no interval"}),
    ]
)
