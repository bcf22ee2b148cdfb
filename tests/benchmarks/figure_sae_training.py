"""Picture of what sae_training.py printed: frames/s of every trainer against the plain loop, a panel a size.

PYTHONPATH=workflow_scripts python tests/benchmarks/figure_sae_training.py lines.jsonl picture.png
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import Patch

OURS, OTHERS = "#0072B2", "#8A8A8A"  # Okabe and Ito's blue, and grey
PALER = 0.45  # opacity of what is measured at the start of a training
SIZES = [(64, 1024), (64, 4096), (64, 16384), (128, 2048), (128, 16384), (512, 8192)]
HEIGHT = 0.38


def main(lines_path: str, picture_path: str) -> None:
    rows = [json.loads(line) for line in Path(lines_path).read_text().splitlines() if line.startswith("{")]
    measured = [row for row in rows if row["figure"] == "sae_training"]
    figure, panels = plt.subplots(2, 3, figsize=(10, 6), layout="constrained", sharex=True)
    largest = max(row["ratio_high"] for row in measured)
    for axes, size in zip(panels.flat, SIZES, strict=True):
        of_size = [row for row in measured if (row["d_latent"], row["n_features"]) == size]
        names = list(dict.fromkeys(row["trainer"] for row in of_size))[::-1]
        for row in of_size:
            is_start = row["state"] == "start"
            place = names.index(row["trainer"]) + (HEIGHT / 2 if is_start else -HEIGHT / 2)
            ratio, low, high = row["ratio_to_plain"], row["ratio_low"], row["ratio_high"]
            colour = OURS if row["trainer"].startswith("ours") else OTHERS
            axes.barh(place, ratio, HEIGHT, color=colour, alpha=PALER if is_start else 1)
            axes.errorbar(ratio, place, xerr=[[ratio - low], [high - ratio]], color="black", capsize=1.5, lw=0.8)
            axes.text(high + 0.015 * largest, place, f"{ratio:.1f}", va="center", fontsize=7.5)
        share = next(row["active_share"] for row in of_size if (row["trainer"], row["state"]) == ("ours", "trained"))
        axes.set_yticks(range(len(names)), names, fontsize=9)
        axes.set_title(f"d_latent {size[0]}, n_features {size[1]}\nof the trained codes {share:.0%} active", fontsize=9)
        axes.set_xlim(0, 1.1 * largest)
        axes.axvline(1, color="black", lw=0.8, ls=":")
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[-1]:
        axes.set_xlabel("frames/s ÷ the plain loop's")
    legend = [
        Patch(color=OURS, alpha=PALER, label="first steps (half of the codes active)"),
        Patch(color=OURS, label="after 1000 steps"),
    ]
    figure.legend(handles=legend, loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    figure.savefig(picture_path, dpi=150)


if __name__ == "__main__":
    main(*sys.argv[1:])
