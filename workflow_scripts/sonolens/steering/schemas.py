"""Tables of what steering did. In a module of their own: tables.py is code of every job, and this of a few."""

import pyarrow as pa

from sonolens.tables import CLIP_ID, columns_of

EFFECTS = columns_of(
    method=(pa.string(), "how it was steered: a name of steering/methods.py"),
    class_index=(pa.int16(), "class k of the steered attribute"),
    alpha=(pa.float32(), "strength of the paper's method; the others move the latents as far as it does with this α"),
    clip_id=CLIP_ID,
    measured=(pa.string(), "the attribute measured, the steered one or another"),
    n_frames=(pa.int32(), "10 ms frames of the excerpt; 0 if the attribute is not measured on its kind of recording"),
    n_defined=(pa.int32(), "frames in which it is defined before and after: those that the means are of"),
    n_lost=(pa.int32(), "frames in which it is defined before but not after: unvoiced, or silent"),
    n_gained=(pa.int32(), "frames in which it is defined after but not before"),
    n_hits=(pa.int32(), "frames defined before that lie in class k after; 0 unless the steered attribute is measured"),
    n_hits_before=(pa.int32(), "frames defined before that lie in class k before"),
    change=(pa.float32(), "mean of after − before, in the attribute's unit; NaN without frames"),
    abs_change=(pa.float32(), "mean of |after − before|, in the attribute's unit"),
    towards=(pa.float32(), "mean of sign(centre of k − before)·(after − before); NaN if another is measured"),
    spread=(pa.float32(), "standard deviation of the attribute over all original excerpts, in its unit"),
)
SOUNDS = columns_of(
    method=(pa.string(), "a name of steering/methods.py; original, codec (alone) and sae (α = 0) have class -1, α 0"),
    class_index=(pa.int16(), "class k of the steered attribute"),
    alpha=(pa.float32(), "as in EFFECTS"),
    clip_id=CLIP_ID,
    kind=(pa.string(), "solo, mix, drums or unknown"),
    magnitude=(pa.float32(), "factor of the direction, which is as long as w_k"),
    displacement=(pa.float32(), "RMS of the change of the scaled latents, whose own RMS over all data is 1"),
    latent_rms=(pa.float32(), "RMS of the scaled latents that are decoded"),
    lsd_original_db=(pa.float32(), "multi-resolution log-spectral distance to the original; NaN if that is silent"),
    lsd_reference_db=(pa.float32(), "the same to the method's sound for α = 0: of the autoencoder, or of the codec"),
    n_samples=(pa.int32(), "samples of the excerpt, all channels"),
    n_clipped=(pa.int32(), "of them beyond full scale, clipped before anything is measured"),
    silent_share=(pa.float32(), "share of 10 ms frames below -70 dBFS"),
)
DISTANCES = columns_of(
    method=(pa.string(), "as in SOUNDS"),
    class_index=(pa.int16(), "as in SOUNDS"),
    alpha=(pa.float32(), "as in EFFECTS"),
    embedding=(pa.string(), "name of the embedding in the config"),
    distance=(pa.float32(), "Fréchet distance to the originals, extrapolated to endless windows; NaN of too few"),
    distance_as_is=(pa.float32(), "the same of all windows, which is too large where they are few"),
    n_windows=(pa.int32(), "windows embedded"),
)
