"""What Paek, Zang, Yang and Leistikow (arXiv 2510.23802, section 5) report of DiffRhythm's generation.

Steps are of 32, from 0, noise, to 31, the end; pitch converges at about 21, timbre at about 25, amplitude does not.
"""

import math

N_STEPS = 32
# Step at which an attribute has converged, in the order in which the paper has them converge
CONVERGED_AT = {"pitch": 21.0, "timbre": 25.0, "amplitude": math.nan}
ORDER = tuple(CONVERGED_AT)


def paper_step(attribute: str, n_steps: int) -> float:
    """The paper's step in a run of `n_steps` time points, at the same t; NaN if the paper has none."""
    if attribute not in CONVERGED_AT:
        return math.nan
    return CONVERGED_AT[attribute] * (n_steps - 1) / (N_STEPS - 1)
