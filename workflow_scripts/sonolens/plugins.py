"""Datasets, encoders and attributes are modules found by the name that the config gives them.

A plugin is two files side by side, `<name>.py` and its card `<name>.yaml`. The card states what must be known before
anything heavy is imported (a Snakefile reads it): constants, licence, and the JSON schema of the plugin's options.
Constants that depend on an option (which of several released models) stand in the card under `variants`.
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


def options_of_variant(card: dict, options: dict) -> list[dict]:
    """JSON schemas of what the variant that `options` choose allows of them, where that is less than the card does."""
    if "variant" not in card:
        return []
    chosen = card["variants"][options[card["variant"]]]
    return [chosen["options"]] if "options" in chosen else []


def with_variant(card: dict, options: dict) -> dict:
    """The card with the constants of the variant that checked `options` choose, if it has variants."""
    if "variant" not in card:
        return card
    chosen = card["variants"][options[card["variant"]]]
    return {key: value for key, value in (card | chosen).items() if key not in ("variant", "variants", "options")} | {
        "options": card["options"]
    }


def load(kind: str, module: str) -> ModuleType:
    """Import a plugin. Rules that call this name the module to code(), which cannot see it."""
    return importlib.import_module(f"sonolens.{kind}.{module}")
