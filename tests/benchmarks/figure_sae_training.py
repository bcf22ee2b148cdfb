"""Picture of what sae_training.py printed: frames/s of every trainer against the plain loop, a panel a size.

PYTHONPATH=workflow_scripts python tests/benchmarks/figure_sae_training.py lines.jsonl picture.png
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

OURS, OTHERS = "#0072B2", "#9A9A9A"  # Okabe and Ito's blue, and grey
SIZES = [(64, 1024), (64, 4096), (64, 16384), (128, 2048), (128, 16384), (512, 8192)]


def main(lines_path: str, picture_path: str) -> None:
    rows = [json.loads(line) for line in Path(lines_path).read_text().splitlines() if line.startswith("{")]
    measured = [row for row in rows if row["figure"] == "sae_training"]
    figure, panels = plt.subplots(2, 3, figsize=(10, 5.2), layout="constrained", sharex=True)
    for axes, size in zip(panels.flat, SIZES, strict=True):
        of_size = [row for row in measured if (row["d_latent"], row["n_features"]) == size][::-1]
        for place, row in enumerate(of_size):
            ratio, low, high = row["ratio_to_plain"], row["ratio_low"], row["ratio_high"]
            axes.barh(place, ratio, color=OURS if row["trainer"].startswith("ours") else OTHERS)
            axes.errorbar(ratio, place, xerr=[[ratio - low], [high - ratio]], color="black", capsize=2, lw=1)
            axes.text(high + 0.15, place, f"{ratio:.1f}", va="center", fontsize=9)
        axes.set_yticks(range(len(of_size)), [row["trainer"] for row in of_size], fontsize=9)
        axes.set_title(f"d_latent {size[0]}, n_features {size[1]}", fontsize=10)
        axes.set_xlim(0, 17)
        axes.axvline(1, color="black", lw=0.8, ls=":")
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[-1]:
        axes.set_xlabel("frames/s, times the plain loop's")
    figure.savefig(picture_path, dpi=150)


if __name__ == "__main__":
    main(*sys.argv[1:])
