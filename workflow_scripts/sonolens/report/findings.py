"""What the page says in words and numbers: the key figures of each encoder, and a sentence under some figures."""

from typing import NamedTuple

import pandas as pd

from sonolens.report.claims import DID_NOT_HOLD, HELD, NOT_TESTABLE


class KeyFigures(NamedTuple):
    """What the head of the page says of one encoder; numbers are formatted."""

    encoder: str
    explained_variance: str
    sparsity: str
    n_cells: int
    selected: str
    attributes: list[dict[str, str]]


class Verdict(NamedTuple):
    """A claim with the rows of claims.csv that test it, its verdict over all of them, and the count of comparisons."""

    claim: str
    summary: str
    state: str
    rows: list[dict[str, str]]


def spread(values: pd.Series, digits: int = 2) -> str:
    """ "0.61–0.95", or one number if both ends read alike."""
    low, high = f"{values.min():.{digits}f}", f"{values.max():.{digits}f}"
    return (low if low == high else f"{low}–{high}").replace("-", "−")


def in_order(table: pd.DataFrame, experiment: dict) -> pd.DataFrame:
    """Rows of a CSV in the config's order of encoders and attributes, which is that of the figures."""
    ranks = {
        column: [entry["name"] for entry in experiment[key]].index
        for column, key in (("encoder", "encoders"), ("attribute", "attributes"))
        if column in table
    }
    return table.sort_values(list(ranks), key=lambda column: column.map(ranks[column.name]), kind="stable")


def key_figures(cells: pd.DataFrame, probes: pd.DataFrame, selected: list[dict]) -> list[KeyFigures]:
    """One entry per encoder. cells, probes: cells.csv and probes.csv; selected: the cell of each encoder."""
    figures = []
    for cell in selected:
        own = cells[cells["encoder"] == cell["encoder"]]
        of_encoder = probes[probes["encoder"] == cell["encoder"]]
        here = of_encoder[(of_encoder["dim"] == cell["dim"]) & (of_encoder["lam"] == cell["lam"])]
        raw = of_encoder[of_encoder["source"] == "raw_latents"].set_index("attribute")
        attributes = [
            {
                "attribute": probe.attribute,
                "accuracy": f"{probe.accuracy:.3f}",
                "interval": f"{probe.accuracy_low:.3f}–{probe.accuracy_high:.3f}",
                "raw": f"{raw.loc[probe.attribute, 'accuracy']:.3f}",
                "majority": f"{probe.majority_share:.3f}",
            }
            for probe in here.itertuples()
        ]
        figures.append(
            KeyFigures(
                cell["encoder"],
                spread(own["explained_variance"]),
                spread(own["sparsity"], 3 if own["sparsity"].min() > 0.985 else 2),
                len(own),
                f"n_features {cell['dim']}, λ {cell['lam']:g}",
                attributes,
            )
        )
    return figures


def verdicts(claims: pd.DataFrame) -> list[Verdict]:
    """Claims in their order. claims: claims.csv read as text."""
    found = []
    for claim, rows in claims.groupby("claim", sort=False):
        tested = rows[rows["verdict"] != NOT_TESTABLE]
        state = NOT_TESTABLE if tested.empty else HELD if (tested["verdict"] == HELD).all() else DID_NOT_HOLD
        n_held, n_compared = tested["n_held"].astype(int).sum(), tested["n_compared"].astype(int).sum()
        summary = NOT_TESTABLE if tested.empty else f"{state}: {n_held} of {n_compared}"
        found.append(Verdict(claim, summary, state, rows.to_dict("records")))
    return found


def readings(cells: pd.DataFrame, probes: pd.DataFrame, objective: pd.DataFrame, codecs: pd.DataFrame) -> dict:
    """A sentence with this run's numbers for some of the figures, by the figure's name."""
    texts = {"reconstruction": [], "accuracy": [], "audio_quality": [], "objective": []}
    for encoder, own in cells.groupby("encoder", sort=False):
        texts["reconstruction"].append(
            f"{encoder}: explained variance {spread(own['explained_variance'])}, sparsity {spread(own['sparsity'], 3)}"
            f", L0 {own['l0'].min():.3g} to {own['l0'].max():.3g}, at most {own['dead_share'].max():.0%} dead features."
        )
        texts["audio_quality"].append(_audio_reading(encoder, own, codecs[codecs["encoder"] == encoder]))
    for (encoder, attribute), own in probes.groupby(["encoder", "attribute"], sort=False):
        features, raw = own[own["source"] == "features"], own[own["source"] == "raw_latents"]
        n_above = int((features["accuracy"] >= raw["accuracy"].iloc[0]).sum())
        texts["accuracy"].append(
            f"{encoder}, {attribute}: {spread(features['accuracy'], 3)} on features, {raw['accuracy'].iloc[0]:.3f} on "
            f"raw latents, reached by {n_above} of {len(features)} cells; {raw['majority_share'].iloc[0]:.3f} majority."
        )
    for (encoder, l1_on), own in objective.groupby(["encoder", "l1_on"], sort=False):
        name = "f" if l1_on == "normalised" else "h"
        texts["objective"].append(
            f"{encoder}, L1 of {name}: sparsity {spread(own['sparsity'], 3)}, explained variance "
            f"{spread(own['explained_variance'])}, {own['attribute'].iloc[0]} accuracy {spread(own['accuracy'], 3)}, "
            f"final ‖h‖ {own['hidden_norm'].min():.3g} to {own['hidden_norm'].max():.3g}."
        )
    return {name: sentences for name, sentences in texts.items() if sentences}


def _audio_reading(encoder: str, cells: pd.DataFrame, codecs: pd.DataFrame) -> str:
    whole = codecs[codecs["kind"] == "all"].iloc[0]
    solo = codecs.loc[codecs["kind"] == "solo", "pitch_kept_share"].dropna()  # one pitch says nothing of a mix
    kept = f", pitch kept in {solo.iloc[0]:.1%} of voiced solo frames" if len(solo) else ""
    through = cells["sae_log_spectral_distance_db"]
    return (
        f"{encoder}: codec alone {whole['log_spectral_distance_db']:.1f} dB{kept}; through the autoencoder "
        f"{spread(through, 1)} dB beside {cells['codec_log_spectral_distance_db'].mean():.1f} dB on the same excerpts."
    )
