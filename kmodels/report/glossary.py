"""What each metric is called, which direction is better, and what it means in plain words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from kmodels.report.record import plain

Better = Literal["lower", "higher"]
RATING = "Rating error"
AMOUNT = "Prediction error"
CLASSES = "Classes"
PROBABILITIES = "Probabilities of the classes"
RATED = "Ranking the rated test items"
CATALOGUE = "Ranking the whole catalogue"
FLATTERING = "Flattering figures, only to compare with published values"
OTHER = "Other figures"
CATALOGUE_MEANING = (
    "The ranking figures again, with every item the user has not rated in training as a candidate, not only "
    "the rated test items: far harder, so far lower."
)
GROUPS = (RATING, AMOUNT, CLASSES, PROBABILITIES, RATED, CATALOGUE, FLATTERING, OTHER)


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
    "accuracy": Metric("Accuracy", "higher", CLASSES, "Share of rows given the right class."),
    "balanced_accuracy": Metric(
        "Balanced accuracy",
        "higher",
        CLASSES,
        "Share given the right class, within each class, then averaged: naming the most frequent class every time "
        "scores one over the number of classes.",
    ),
    "macro_f1": Metric(
        "Macro F1",
        "higher",
        CLASSES,
        "F1, which is high only when both precision and recall are, averaged over the classes with equal weight.",
    ),
    "roc_auc": Metric(
        "ROC AUC",
        "higher",
        CLASSES,
        "Chance that a row of the class scores above a row of another; 0.5 is guessing. With more than two classes: "
        "each against the rest, averaged.",
    ),
    "pr_auc": Metric(
        "PR AUC",
        "higher",
        CLASSES,
        "Precision averaged over all values of recall; guessing scores the class's share of the rows.",
    ),
    "log_loss": Metric(
        "Log loss",
        "lower",
        PROBABILITIES,
        "Mean of −log of the probability given to the true class: confident mistakes cost most.",
    ),
    "brier": Metric(
        "Brier score", "lower", PROBABILITIES, "Mean squared distance between the probabilities and what happened."
    ),
    "ece": Metric(
        "Calibration error",
        "lower",
        PROBABILITIES,
        "How far a stated confidence is from the share of such rows that is right, averaged over ten bands of "
        "confidence; 0.05 is five points off.",
    ),
    "loss": Metric("Loss", "lower", OTHER, "The value that training minimises."),
}
# The same metrics where what is predicted is an amount, not a rating.
_AMOUNTS = {
    "rmse": Metric("RMSE", "lower", AMOUNT, METRICS["rmse"].meaning),
    "mae": Metric("MAE", "lower", AMOUNT, METRICS["mae"].meaning),
    "r2": Metric("R²", "higher", AMOUNT, "Share of the variance explained; always guessing the mean gives 0."),
    "rmse_normalised": Metric("RMSE, normalised", "lower", AMOUNT, "RMSE on the scale the model was trained on."),
}
# What a model costs: name in a sentence, and unit.
COSTS = {
    "parameters": ("parameters", ""),
    "fit_s": ("training time", "s"),
    "s_per_epoch": ("time per epoch", "s"),
    "latency_ms": ("time of one prediction", "ms"),
    "file_kib": ("model file", "KiB"),
}


def describe(name: str, unit: str = "stars") -> Metric:
    """Describe a metric; `catalogue_` before a ranking metric means every unseen item was ranked.

    Args:
        name: The metric's name in `metrics.json`.
        unit: Unit of the data's errors; "stars" for ratings, anything else, "" too, for amounts.

    Returns:
        Its description; a name that is not known keeps its name as label and has no better direction.

    Example:
        >>> describe("rmse").better, describe("catalogue_ndcg_at_10").label, describe("novelty").better
        ('lower', 'Catalogue NDCG@10', None)
        >>> describe("mae", "INR").unit
        'INR'
    """
    if unit != "stars" and name in _AMOUNTS:
        found = _AMOUNTS[name]
        return replace(found, unit=unit) if name in ("rmse", "mae") else found
    if name in METRICS:
        return METRICS[name]
    ranked = METRICS.get(name.removeprefix("catalogue_"))
    if ranked is not None and name.startswith("catalogue_"):
        return replace(ranked, label=f"Catalogue {ranked.label}", group=CATALOGUE)
    return Metric(name, None, OTHER, "")


def number(value: object, *, like: float | None = None) -> str:
    """Write a value of a table: four decimals, fewer from ten on, two digits of what is below a thousandth.

    A large count has separators, None is a dash.

    Args:
        value: Number, text, bool, None or a list of them, NumPy's included.
        like: A number beside which a fraction stands, to have as many decimals.

    Returns:
        The text shown.

    Example:
        >>> number(0.88432), number(2503.127), number(999611), number(None), number("jax"), number([64, 32])
        ('0.8843', '2,503.1', '999,611', '–', 'jax', '64, 32')
    """
    value = plain(value, "value")
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        size = abs(value if like is None else like)
        if 1e-12 < size < 1e-3:  # what is smaller is the rounding of a zero
            return f"{value:.2g}"
        decimals = 4 if size < 10 else 2 if size < 1000 else 1
        return f"{value:,.{decimals}f}"
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


def by_group(names: Iterable[str], unit: str = "stars") -> dict[str, list[str]]:
    """Sort metrics into the tables they are shown in.

    Args:
        names: Metric names, repeats allowed.
        unit: As `describe` takes it.

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
    groups = {group: [name for name in unique if describe(name, unit).group == group] for group in GROUPS}
    return {group: members for group, members in groups.items() if members}
