"""What each metric is called, which direction is better, and what it means in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from kmodels.report.run_folder import plain

Better = Literal["lower", "higher"]
RATING = "Rating error"
RATED = "Ranking the rated test items"
CATALOGUE = "Ranking the whole catalogue"
FLATTERING = "Flattering figures, only to compare with published values"
OTHER = "Other figures"
CATALOGUE_MEANING = (
    "The ranking figures again, with every item the user has not rated in training as a candidate, not only "
    "the rated test items: far harder, so far lower."
)
GROUPS = (RATING, RATED, CATALOGUE, FLATTERING, OTHER)


@dataclass(frozen=True)
class Metric:
    """One metric as a person reads it.

    Attributes:
        label: Short name for a table heading.
        better: Which direction is better; None when that is unknown.
        group: The table it belongs to, one of `GROUPS`.
        meaning: One or two sentences without formulae.
        unit: Unit of the value, or "".
    """

    label: str
    better: Better | None
    group: str
    meaning: str
    unit: str = ""


_RANKED = {
    "precision_at_10": ("Precision@10", "Share of the first ten items of a user's list that the user liked."),
    "recall_at_10": (
        "Recall@10",
        "Share of the items a user liked that are among the first ten of the list.",
    ),
    "hit_rate_at_10": ("Hit rate@10", "Share of users with at least one liked item among the first ten."),
    "ndcg_at_10": (
        "NDCG@10",
        "How close the order of the first ten comes to the best possible order of all the user's test items: "
        "1 is perfect, a place near the top counts more.",
    ),
    "map_at_10": ("MAP@10", "Precision averaged over the places where a liked item stands, then over users."),
    "mrr_at_10": (
        "MRR@10",
        "One over the place of the first liked item in the first ten, averaged over users.",
    ),
}
METRICS: dict[str, Metric] = {
    "rmse": Metric("RMSE", "lower", RATING, "Root of the mean squared error; large mistakes weigh more.", "stars"),
    "mae": Metric("MAE", "lower", RATING, "Mean absolute error: how far off a typical prediction is.", "stars"),
    "r2": Metric("R²", "higher", RATING, "Share of the ratings' variance explained; always guessing the mean gives 0."),
    "rmse_normalised": Metric("RMSE, rating / 5", "lower", RATING, "RMSE on the scale where five stars are 1."),
    **{name: Metric(label, "higher", RATED, meaning) for name, (label, meaning) in _RANKED.items()},
    "precision_at_10_of_ten_slots": Metric(
        "Precision@10 of ten slots",
        "higher",
        FLATTERING,
        "This figure flatters: it orders only items the user rated in the test split, most of which people "
        "like, and divides by ten even for a user with fewer test items. It exists to stand beside published "
        "values.",
    ),
    "ndcg_at_10_retrieved_ideal": Metric(
        "NDCG@10, retrieved ideal",
        "higher",
        FLATTERING,
        "This figure flatters: its ideal order is the retrieved ten themselves re-sorted, so leaving good "
        "items out costs nothing, and even a random order scores above 0.9. It exists to stand beside "
        "published values.",
    ),
    "loss": Metric("Loss", "lower", OTHER, "The value that training minimises."),
    "accuracy": Metric("Accuracy", "higher", OTHER, "Share of rows given the right class."),
    "macro_f1": Metric("Macro F1", "higher", OTHER, "F1 of each class, averaged with equal weight."),
    "roc_auc": Metric("ROC AUC", "higher", OTHER, "Chance that a positive row scores above a negative one."),
}


def describe(name: str) -> Metric:
    """Describe a metric; `catalogue_` before a ranking metric means every unseen item was ranked.

    Args:
        name: The metric's name in `metrics.json`.

    Returns:
        Its description; a name that is not known keeps its name as label and has no better direction.

    Example:
        >>> describe("rmse").better, describe("catalogue_ndcg_at_10").label, describe("novelty").better
        ('lower', 'Catalogue NDCG@10', None)
    """
    if name in METRICS:
        return METRICS[name]
    ranked = METRICS.get(name.removeprefix("catalogue_"))
    if ranked is not None and name.startswith("catalogue_"):
        return replace(ranked, label=f"Catalogue {ranked.label}", group=CATALOGUE)
    return Metric(name, None, OTHER, "")


def number(value: object) -> str:
    """Write a value of a table: four decimals for a fraction, separators in a large count, a dash for none.

    Args:
        value: Number, text, bool, None or a list of them, NumPy's included.

    Returns:
        The text shown.

    Example:
        >>> number(0.88432), number(999611), number(None), number("jax"), number(1e-5), number([64, 32])
        ('0.8843', '999,611', '–', 'jax', '1e-05', '64, 32')
    """
    value = plain(value, "value")
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}" if value != 0 and abs(value) < 1e-3 else f"{value:,.4f}"
    if isinstance(value, list | tuple):
        return ", ".join(number(item) for item in value)
    return str(value)


def best(values: Mapping[str, float | None], better: Better | None) -> str | None:
    """Name the entry with the best value.

    Args:
        values: Value by name; None and NaN take no part.
        better: Which direction wins; None means that nobody does.

    Returns:
        The winner's name (the first of equals), or None when there is nobody to choose.

    Example:
        >>> best({"model": 0.88, "biases": 0.94, "popularity": None}, "lower")
        'model'
    """
    known = {name: value for name, value in values.items() if value is not None and not math.isnan(value)}
    if better is None or not known:
        return None
    return (min if better == "lower" else max)(known, key=lambda name: known[name])


def by_group(names: Iterable[str]) -> dict[str, list[str]]:
    """Sort metrics into the tables they are shown in.

    Args:
        names: Metric names, repeats allowed.

    Returns:
        Metric names by group, groups in the order of `GROUPS`, known metrics in the glossary's order.

    Example:
        >>> by_group(["ndcg_at_10", "mae", "rmse"])
        {'Rating error': ['rmse', 'mae'], 'Ranking the rated test items': ['ndcg_at_10']}
    """
    order = list(METRICS)

    def place(name: str) -> int:
        base = name.removeprefix("catalogue_")
        return order.index(base) if base in order else len(order)

    unique = sorted(dict.fromkeys(names), key=place)
    groups = {group: [name for name in unique if describe(name).group == group] for group in GROUPS}
    return {group: members for group, members in groups.items() if members}
