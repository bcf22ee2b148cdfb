"""What the page says of the data: a line per dataset, and what was not used, alike things together."""

from typing import NamedTuple

import pandas as pd

from sonolens.downloads.licences import licence
from sonolens.report.data_tables import LEFT_OUT, REJECTED, SPLITS

# More files than this are not listed one by one: rejected.csv has them all
MOST_LISTED = 30


class Overview(NamedTuple):
    """One dataset: what is used of it, how well its labels agree with its truth, and what is not used."""

    name: str
    hours: float
    n_clips: int
    n_groups: int
    splits: list[int]  # clips in train, validation, test
    licences: list[dict[str, str]]  # short, title and url of each; no url where it is a text of the card
    n_with_truth: int
    within_50_cents: str  # '' where nothing was scored
    interval: str
    reason: str  # why nothing was scored
    n_left_out: int
    n_rejected: int


class Unused(NamedTuple):
    """Files that are not used for one reason: how many, the first of them, and what was said of it."""

    dataset: str
    what: str
    n_files: int
    reason: str
    path: str


def overview(recordings: pd.DataFrame, labels: pd.DataFrame, experiment: dict) -> list[Overview]:
    """A line per dataset, in the config's order. recordings, labels: recordings.csv and labels.csv."""
    is_headline = (labels[["kind", "instrument", "frames"]] == "all").all(axis=1)
    headlines = labels[is_headline].set_index("dataset")
    return [_line(entry, recordings, headlines.loc[entry["name"]]) for entry in experiment["datasets"]]


def _line(entry: dict, recordings: pd.DataFrame, score: pd.Series) -> Overview:
    own = recordings[recordings["dataset"] == entry["name"]].set_index("split")
    used = own.loc[[split for split in SPLITS if split in own.index]]
    is_scored = pd.notna(score["within_50_cents"])
    has_interval = pd.notna(score["within_50_cents_low"])
    return Overview(
        name=entry["name"],
        hours=float(used["hours"].sum()),
        n_clips=int(used["n_clips"].sum()),
        n_groups=int(used["n_groups"].sum()),  # no group lies in two splits
        splits=used["n_clips"].reindex(SPLITS, fill_value=0).astype(int).tolist(),
        licences=licences_of(entry["card"]),
        n_with_truth=int(used["n_with_truth"].sum()),
        within_50_cents=_percent(score["within_50_cents"]) if is_scored else "",
        interval="–".join(_percent(score[f"within_50_cents_{end}"]) for end in ("low", "high")) if has_interval else "",
        reason="" if is_scored else score["reason"],
        n_left_out=int(own.loc[LEFT_OUT, "n_clips"]),
        n_rejected=int(own.loc[REJECTED, "n_clips"]),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def licences_of(card: dict) -> list[dict[str, str]]:
    """Key, title and link of the licences of a card's files; of a card without files its own, which may be a text."""
    files = card["files"] if "files" in card else []
    stated = dict.fromkeys(file["licence"] for file in files) or ([card["licence"]] if "licence" in card else [])
    found = []
    for key in stated:
        try:
            found.append({"short": key, "title": licence(key).title, "url": licence(key).url})
        except ValueError:  # what is rendered here, or the user's own, has no key
            found.append({"short": key.partition(";")[0], "title": key, "url": ""})
    return found


def not_used(rejected: pd.DataFrame) -> list[Unused]:
    """Files that are not used, one by one, or by reason where they are more than MOST_LISTED.

    rejected: rejected.csv read as text. Reasons are alike if they are up to the first colon, behind which stands what
    is so of one file.
    """
    what = rejected["counts"].map({"True": REJECTED, "False": LEFT_OUT})
    alike = rejected["reason"].str.partition(":")[0] if len(rejected) > MOST_LISTED else rejected["path"]
    files = rejected.assign(what=what, alike=alike)
    return [
        Unused(dataset, kind, len(own), own["reason"].iloc[0], own["path"].iloc[0])
        for (dataset, kind, _), own in files.groupby(["dataset", "what", "alike"], sort=True)
    ]
