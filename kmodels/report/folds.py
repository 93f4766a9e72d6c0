"""Tables of models compared over the folds of a cross-validation, for page and terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from kmodels.evaluation.selection import mean_and_std
from kmodels.report.metrics import describe, spread

#: Model -> of each fold: part, or "at_threshold" -> metric -> value.
Folds = Mapping[str, Sequence[Mapping[str, Mapping[str, float]]]]


def means_table(folds: Folds, metrics: Sequence[str]) -> pd.DataFrame:
    """A row for each model and a column for each metric of the test rows, as text: mean ± standard deviation."""
    rows = {}
    for name, every in folds.items():
        mean, std = mean_and_std([fold["test"] for fold in every])
        rows[name] = {describe(metric).label: spread(mean[metric], std[metric]) for metric in metrics}
    return pd.DataFrame.from_dict(rows, orient="index")


def paired_table(paired: pd.DataFrame) -> pd.DataFrame:
    """What `evaluation.selection.paired` gives, its differences with their sign and `significant` as yes or no."""
    gaps = {name: paired[name].map("{:+.4f}".format, na_action="ignore") for name in ("difference", "low", "high")}
    significant = paired["significant"].map({True: "yes", False: "no"}).where(paired["difference"].notna())
    return paired[["mean", "std"]].assign(**gaps, better_in=paired["better_in"], significant=significant)


def threshold_table(folds: Folds) -> pd.DataFrame:
    """Means over the folds of what `classification.evaluate_with_threshold` gives, with and without the threshold."""
    rows = {}
    for name, every in folds.items():
        plain, _ = mean_and_std([fold["test"] for fold in every])
        decided, std = mean_and_std([fold["at_threshold"] for fold in every])
        row: dict[str, object] = {"threshold": spread(decided.pop("threshold"), std["threshold"])}
        for metric, value in decided.items():
            label = describe(metric).label
            row |= {f"{label} at 0.5": plain[metric], f"{label} at the threshold": value}
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def split_table(
    folds: Folds, other: Mapping[str, Mapping[str, float]], metrics: Sequence[str], name: str
) -> pd.DataFrame:
    """The means over random folds and the test metrics of one other split, column by column."""
    table = means_table(folds, metrics)
    for position, metric in enumerate(metrics):
        label = describe(metric).label
        values = [other[model][metric] for model in table.index]
        table.insert(2 * position + 1, f"{label}, {name}", values)
    return table.rename(columns={describe(metric).label: f"{describe(metric).label}, random" for metric in metrics})
