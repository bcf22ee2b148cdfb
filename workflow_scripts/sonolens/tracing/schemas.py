"""Tables of what is traced. In a module of their own: tables.py is code of every job, and this of a few."""

import pyarrow as pa

from sonolens.tables import CLIP_ID, columns_of

# What the classes are read from: the path itself as in the paper, the model's running estimate of its end,
# X_t + (1 − t)·v, the straight line between this path's own ends, and one from its noise to a test recording
VIEWS = ("x_t", "end_estimate", "straight", "data")
# Probes of the cell as they were fitted, and fitted anew to shuffled labels
PROBES = ("fitted", "shuffled")
# When a control vector is added: at every time from a step on, in equal parts, or at that step alone
MODES = ("on", "once")
# Whose labels and embeddings are compared: what was generated, what was generated from (decoded noise), the test
# split's recordings, and excerpts of these through the codec
SOURCES = ("generated", "noise", "codec", "test")

PROMPT_ID = (pa.dictionary(pa.int32(), pa.string()), "the prompt, unique within its generator")

PROMPT_VECTORS = columns_of(
    prompt_id=(pa.string(), "unique within its generator"),
    text=(pa.string(), "a caption, or what is to be heard in another form: an instrument"),
    seed=(pa.int64(), "of the prompt's noise"),
    vector=(pa.list_(pa.float32()), "condition of the generator, (d_condition,)"),
)
FLOW_HISTORY = columns_of(
    step=(pa.int32(), "optimiser steps done"),
    loss=(pa.float32(), "mean over the steps since the row before of the squared error of the velocity"),
)
# One row per prompt, view, probe, attribute and step
TRACES = columns_of(
    prompt_id=PROMPT_ID,
    view=(pa.string(), "one of VIEWS"),
    probe=(pa.string(), "one of PROBES"),
    attribute=(pa.string(), "pitch, amplitude, ..."),
    step=(pa.int16(), "k-th time point, 0 is noise and the last the end"),
    probabilities=(pa.list_(pa.float32()), "of each class, mean over frames, (n_classes,)"),
)
# Of sounds of the sources above, on the 10 ms grid
LABEL_COUNTS = columns_of(
    source=(pa.string(), "one of SOURCES"),
    clip_id=CLIP_ID,
    attribute=(pa.string(), "pitch, amplitude, ..."),
    class_index=(pa.int16(), "class of the attribute; -1 where it is undefined or its class is left out"),
    n_frames=(pa.int64(), "10 ms frames"),
)
SAMPLE_DISTANCES = columns_of(
    source=(pa.string(), "one of SOURCES"),
    embedding=(pa.string(), "name of the embedding in the config"),
    distance=(pa.float32(), "Fréchet distance to the test split, extrapolated to endless windows; NaN of too few"),
    distance_as_is=(pa.float32(), "the same of all windows, which is too large where they are few"),
    n_windows=(pa.int32(), "windows embedded"),
)
# What a control vector on the way did to the sound at the end, against the same noise and prompt without it
GENERATION_EFFECTS = columns_of(
    prompt_id=PROMPT_ID,
    attribute=(pa.string(), "the one steered"),
    class_index=(pa.int16(), "class steered to"),
    mode=(pa.string(), "one of MODES"),
    step=(pa.int16(), "first, or only, time point at which it was added"),
    alpha=(pa.float32(), "strength"),
    measured=(pa.string(), "the attribute measured, the steered one or another"),
    n_frames=(pa.int32(), "10 ms frames of the sound"),
    n_defined=(pa.int32(), "frames in which it is defined without and with: those that the means are of"),
    n_lost=(pa.int32(), "frames in which it is defined without but not with"),
    n_gained=(pa.int32(), "frames in which it is defined with but not without"),
    n_hits=(pa.int32(), "frames defined without that lie in the class with; 0 unless the steered one is measured"),
    n_hits_before=(pa.int32(), "frames defined without that lie in the class without"),
    change=(pa.float32(), "mean of with − without, in the attribute's unit; NaN without frames"),
    abs_change=(pa.float32(), "mean of |with − without|, in the attribute's unit"),
    towards=(pa.float32(), "mean of sign(centre of the class − without)·(with − without); NaN if another is measured"),
    spread=(pa.float32(), "standard deviation of the attribute over all unsteered sounds, in its unit"),
    probability=(pa.float32(), "of the class at the end, mean over frames, by the probe; NaN if another is measured"),
    probability_before=(pa.float32(), "the same without the control"),
)
