"""The cell that the report looks into."""

from collections.abc import Callable

from sonolens.files import read_json, write_json

CRITERION = "validation_accuracy"


def select(metrics_paths: list[str], output_path: str) -> None:
    """Write which cell has the best validation accuracy; of equal ones the narrower, then the sparser.

    metrics_paths: metrics of one attribute's probes, one per cell. The test split is not looked at.
    """
    best = best_of([read_json(path) for path in metrics_paths], lambda cell: cell[CRITERION])
    selected = {key: best[key] for key in ("encoder", "dim", "lam", "attribute")}
    write_json(output_path, selected | {"criterion": CRITERION, "value": best[CRITERION]})


def best_of(cells: list[dict], score: Callable[[dict], float]) -> dict:
    """The cell ("dim", "lam", …) with the highest score; of equal ones the narrower, then the sparser."""
    return min(cells, key=lambda cell: (-score(cell), cell["dim"], -cell["lam"]))


def path_of(selected: dict, paths: list[str], *parts: str) -> str:
    """The one of `paths` that lies in the selected cell's folder, and contains all `parts`."""
    cell = f"/dim~{selected['dim']}/lam~{selected['lam']}/"
    found = [path for path in paths if cell in path and all(part in path for part in parts)]
    if len(found) != 1:
        raise ValueError(f"{len(found)} files belong to the selected cell {cell}{parts}, not one: {found}")
    return found[0]
