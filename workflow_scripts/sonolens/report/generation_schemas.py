"""Columns of the tables on generation that the report gathers (see schemas.py)."""

import pyarrow as pa

GENERATOR = pa.field("generator", pa.string(), metadata={"is": "name in the config"})


def _numbers(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.float64()) for name in names]


def _texts(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.string()) for name in names]


def _integers(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.int32()) for name in names]


TRACE_KEYS = [
    GENERATOR,
    *_texts("attribute"),
    pa.field("view", pa.string(), metadata={"is": "one of tracing/schemas.VIEWS"}),
    pa.field("probe", pa.string(), metadata={"is": "one of tracing/schemas.PROBES"}),
    pa.field("form", pa.string(), metadata={"is": "one of tracing/convergence.FORMS"}),
]
# One row per step: how far the class probabilities are from noise to end, mean over prompts
GENERATION = pa.schema(
    [*TRACE_KEYS, *_integers("step"), *_numbers("t", "s", "s_low", "s_high"), *_integers("n_prompts")]
)
# One row per curve: the first step from which it stays near its end
CONVERGENCE = pa.schema(
    [
        *TRACE_KEYS,
        pa.field("step", pa.float64(), metadata={"is": "of the mean curve; the last step: not before the end"}),
        *_numbers("step_low", "step_high"),
        pa.field("n_prompts", pa.int32(), metadata={"is": "whose curve is defined"}),
        pa.field("n_left_out", pa.int32(), metadata={"is": "whose probabilities hardly move from noise to end"}),
        pa.field("paper_step", pa.float64(), metadata={"is": "NaN where the paper has none: amplitude, not converged"}),
    ]
)
# One row per pair of mean curves that a claim compares and quantity: of the keys' curve less that of the other keys,
# under the same draws. step: convergence step; area: mean of s over t
CONVERGENCE_DIFFERENCES = pa.schema(
    [*TRACE_KEYS, *_texts("other_attribute", "other_view", "other_probe", "quantity"),
     *_numbers("difference", "low", "high"),
     pa.field("n_prompts", pa.int32(), metadata={"is": "the fewer of the two curves'"})]
)  # fmt: skip
# Class probabilities of one prompt, views x_t and end_estimate, probes as fitted
GENERATION_EXAMPLE = pa.schema(
    [GENERATOR, *_texts("prompt_id", "text", "view", "attribute", "unit"), *_integers("class_index"), *_texts("class"),
     *_integers("step"), *_numbers("probability")]
)  # fmt: skip
# Shares of classes on the 10 ms grid, among the frames that have a class; class_index -1: of all frames, those without
GENERATION_SAMPLES = pa.schema(
    [GENERATOR, *_texts("attribute", "unit", "source"), *_integers("class_index"), *_texts("class"),
     *_numbers("share", "share_low", "share_high"), *_integers("n_clips")]
)  # fmt: skip
GENERATION_DISTANCES = pa.schema(
    [GENERATOR, *_texts("embedding", "source"), *_numbers("distance", "distance_as_is"), *_integers("n_windows")]
)
# One row per condition and quantity: shift_towards (unit), hit_rate, hit_rate_before, hit_gain (the one less
# the other), probability, probability_before, target_shift_spreads, others_shift_spreads; class "all" pools the classes
GENERATION_STEERING = pa.schema(
    [GENERATOR, *_texts("attribute", "class", "mode"), *_integers("step"), *_numbers("alpha"),
     *_texts("unit", "quantity"), *_numbers("value", "low", "high"), *_integers("n_prompts")]
)  # fmt: skip
