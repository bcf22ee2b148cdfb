"""Captions as HTML. They are written once, in rules/captions, where `snakemake --report` reads them too."""

import html
import re
from pathlib import Path
from typing import NamedTuple

DISAPPOINTMENT = "**What would disappoint:**"


class Caption(NamedTuple):
    """A figure's caption as HTML: what is plotted, and what would disappoint."""

    plotted: str
    disappointing: str


def inline_html(text: str) -> str:
    """The inline markup that the captions use, **strong**, *emphasis* and ``code``, as HTML."""
    text = html.escape(" ".join(text.split()), quote=False)
    text = re.sub(r"``(.+?)``", r"<code>\1</code>", text)
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"\*(.+?)\*", r"<em>\1</em>", text)


def read_caption(path: str | Path) -> Caption:
    """Read one caption. Raises ValueError if it does not say what would disappoint."""
    plotted, mark, disappointing = Path(path).read_text().partition(DISAPPOINTMENT)
    if not mark or not disappointing.strip():
        raise ValueError(f"{path} lacks a paragraph that begins with {DISAPPOINTMENT}")
    return Caption(inline_html(plotted), inline_html(disappointing))
