"""Datasets, encoders and attributes are modules found by the name that the config gives them.

A plugin is two files side by side, `<name>.py` and its card `<name>.yaml`. The card states what must be known before
anything heavy is imported (a Snakefile reads it): constants, licence, and the JSON schema of the plugin's options.
"""

import importlib
from pathlib import Path
from types import ModuleType

import yaml

PACKAGE = Path(__file__).parent


def card_path(kind: str, module: str) -> Path:
    """The card of a plugin; `kind` is a folder of this package ("datasets", "encoders", "labels")."""
    return PACKAGE / kind / f"{module}.yaml"


def available(kind: str) -> list[str]:
    """Names of the plugins of one kind."""
    return sorted(path.stem for path in (PACKAGE / kind).glob("*.yaml"))


def card(kind: str, module: str) -> dict:
    """Read a plugin's card. Raises ValueError, naming what there is, when there is no such plugin."""
    path = card_path(kind, module)
    if not path.is_file():
        raise ValueError(f"there is no {kind} module '{module}'; there are: {', '.join(available(kind))}")
    return yaml.safe_load(path.read_text())


def load(kind: str, module: str) -> ModuleType:
    """Import a plugin. Rules that call this name the module to code(), which cannot see it."""
    return importlib.import_module(f"sonolens.{kind}.{module}")
