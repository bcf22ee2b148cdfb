"""Cells on disk that a file can be steered with: those that the workflow has chosen, and the others of the grid."""

from pathlib import Path
from typing import NamedTuple

from sonolens.encoders import own_class
from sonolens.files import read_json
from sonolens.labels import bins
from sonolens.labels.bins import Bins
from sonolens.steering.class_names import described, not_there


class TrainedCell(NamedTuple):
    """Where the files of a cell lie."""

    name: str  # {encoder}/{name} of one that was chosen, {encoder}/dim~{dim}/lam~{lam} of another
    description: Path  # the cell.json of its encoder: how that is loaded, and how the attributes are measured
    model: Path
    probes: dict[str, Path]  # by attribute, those that are there


def find(results: Path) -> list[TrainedCell]:
    """The chosen cells by name, then the grid of their encoders. Raises ValueError if the workflow has chosen none."""
    descriptions = sorted(results.glob("steering/*/*/cell.json"))
    if not descriptions:
        raise ValueError(
            f"no cell to steer with lies in {results}/steering/{{encoder}}/{{name}}/; run the workflow first, "
            "or name its folder of results by --results"
        )
    # One cell.json of an encoder says how it is loaded for all its cells
    of_encoder = {path.parts[-3]: path for path in reversed(descriptions)}
    return [_chosen(path) for path in descriptions] + [
        _of_grid(model, of_encoder[model.parts[-4]], results)
        for model in sorted(results.glob("saes/*/dim~*/lam~*/model.safetensors"), key=_place)
        if model.parts[-4] in of_encoder
    ]


def _chosen(description: Path) -> TrainedCell:
    folder = description.parent
    probes = {path.stem: path for path in sorted(folder.glob("probes/*.safetensors"))}
    return TrainedCell("/".join(folder.parts[-2:]), description, folder / "model.safetensors", probes)


def _of_grid(model: Path, description: Path, results: Path) -> TrainedCell:
    name = "/".join(model.parts[-4:-1])
    probes = {path.parts[-2]: path for path in sorted(results.glob(f"probes/{name}/*/probe.safetensors"))}
    return TrainedCell(name, description, model, probes)


def _place(model: Path) -> tuple[str, list[float]]:
    """Encoder, dim and lam of a model's path: as strings 1024 would come before 256."""
    *_, encoder, dim, lam, _ = model.parts
    return encoder, [float(part.partition("~")[2]) for part in (dim, lam)]


def pick(cells: list[TrainedCell], wanted: str | None) -> TrainedCell:
    """The cell called `wanted`, or by the end of its name if one alone ends so; the first if None.

    Raises ValueError, naming those there are, if none or several are meant.
    """
    if wanted is None:
        return cells[0]
    meant = [cell for cell in cells if cell.name == wanted or cell.name.endswith(f"/{wanted}")]
    if len(meant) > 1:
        raise ValueError(f"several cells are called '{wanted}': {', '.join(cell.name for cell in meant)}")
    if not meant:
        raise not_there(wanted, [cell.name for cell in cells], "cell")
    return meant[0]


def located(path: str, results: Path) -> Path:
    """A path of a cell.json, which was written in the folder that holds results/; results may be called otherwise."""
    given = Path(path).expanduser()
    if given.parts[0] == "results":
        return results.joinpath(*given.parts[1:])
    return results.absolute().parent / given


def located_module(module: str, results: Path) -> str:
    """An encoder's module of a cell.json: a user's own file by where it is, one of ours by its name."""
    if not own_class.is_own(module):
        return module
    path, _, class_name = module.rpartition(":")
    return f"{located(path, results)}:{class_name}"


def attributes(cell: TrainedCell) -> dict[str, dict]:
    """How the attributes that a cell has a probe of are measured: {name: {"module", "options", "bins"}}."""
    entries = read_json(cell.description)["attributes"]
    return {name: entry for name, entry in entries.items() if name in cell.probes}


def classes(cell: TrainedCell, results: Path) -> dict[str, Bins]:
    """Classes of the same attributes, by name."""
    return {name: bins.read(located(entry["bins"], results)) for name, entry in attributes(cell).items()}


def listed(results: Path, attribute: str = "") -> str:
    """Cells and attributes for a reader, or all classes of one attribute. Raises ValueError if there is no such one."""
    cells = find(results)
    known = {name: found for cell in reversed(cells) for name, found in classes(cell, results).items()}
    if attribute:
        if attribute not in known:
            raise not_there(attribute, known, "attribute")
        lines = [f"{f'index:{index}':10}{name}" for index, name in enumerate(known[attribute].class_names)]
        return "\n".join(lines)
    lines = ["cells, of which the first is the default:"]
    lines += [f"    {cell.name}, probes: {', '.join(cell.probes) or 'none'}" for cell in cells]
    lines += ["attributes:"]
    lines += [
        f"    {name}, values in {found.unit}, {found.n_classes} classes: {described(found)}"
        for name, found in known.items()
    ]
    return "\n".join(lines)
