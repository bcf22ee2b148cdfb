"""Which files of ours a script runs: the script, every module it imports, and the cards beside them.

Snakemake's own `code` trigger looks at the time stamp of the script alone. With these files as inputs of the rule a job
reruns when the *content* of code that it runs has changed, and only then.
"""

import ast
import functools
from collections.abc import Callable, Iterable
from pathlib import Path


@functools.cache
def _imported(path: Path, root: Path) -> frozenset[Path]:
    """Files under `root` that the module at `path` imports, anywhere in it; absolute imports only."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(), filename=str(path))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found |= {root / f"{name.replace('.', '/')}.py" for name in names}
    return frozenset(filter(Path.is_file, found))


def reached(root: Path, start: list[Path], imported: Callable[[Path, Path], Iterable[Path]] = _imported) -> list[Path]:
    """`start` and everything of ours that it imports, directly or not, and the cards (.yaml) of what was found.

    imported: what one file imports from under `root`, by rules other than ours.
    """
    found: set[Path] = set()
    queue = list(start)
    while queue:
        path = queue.pop()
        if path in found:
            continue
        found.add(path)
        if path.suffix == ".py":
            queue += imported(path, root)
            queue += [card for card in [path.with_suffix(".yaml")] if card.is_file()]
    return sorted(found)
