"""Classes along an axis: a few of them named, a bin by its centre."""

import numpy as np


def short_name(name: str, unit: str) -> str:
    """The centre of a bin called "-20.0 to -15.0 dBFS"; any other name as it is."""
    low, _, high = name.removesuffix(f" {unit}").partition(" to ")
    try:
        return f"{(float(low) + float(high)) / 2:.4g}".replace("-", "−")
    except ValueError:
        return name


def few(names: list[str], unit: str, n_shown: int = 6) -> tuple[list[int], list[str]]:
    """Positions and short names of about `n_shown` of `names`, first and last among them."""
    at = np.unique(np.linspace(0, len(names) - 1, min(n_shown, len(names))).round().astype(int)).tolist()
    return at, [short_name(names[i], unit) for i in at]
