"""The registry of metrics and costs: label, better direction, group and meaning, and numbers as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Better = Literal["lower", "higher"]
ERROR = "Prediction error"
CLASSES = "Classes"
PROBABILITIES = "Probabilities of the classes"
RATED = "Ranking the rated test items"
CATALOGUE = "Ranking the whole catalogue"
OTHER = "Other figures"
CATALOGUE_MEANING = (
    "The ranking figures with every item the user has not rated in training as a candidate, not only the rated test "
    "items: far harder, so far lower."
)
GROUPS = (ERROR, CLASSES, PROBABILITIES, RATED, CATALOGUE, OTHER)


@dataclass(frozen=True)
class Metric:
    """One metric as a person reads it.

    Attributes:
        label: Short name for a table heading.
        better: Which direction is better; None where that is unknown.
        group: The table it belongs to, one of `GROUPS` or a new one, which comes last.
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
    "recall_at_10": ("Recall@10", "Share of the items a user liked that are among the first ten of the list."),
    "hit_rate_at_10": ("Hit rate@10", "Share of users with at least one liked item among the first ten."),
    "ndcg_at_10": (
        "NDCG@10",
        "How close the order of the first ten comes to the best possible order of all the user's test items: 1 is "
        "perfect, a position near the top counts more.",
    ),
    "map_at_10": ("MAP@10", "Precision averaged over the positions where a liked item stands, then over users."),
    "mrr_at_10": ("MRR@10", "One over the position of the first liked item in the first ten, averaged over users."),
}
METRICS: dict[str, Metric] = {
    "precision_at_10_of_ten_slots": Metric(
        "Precision@10 of ten slots",
        None,
        OTHER,
        "Liked items among the first ten, divided by ten even where a user has fewer test items.",
    ),
    "ndcg_at_10_retrieved_ideal": Metric(
        "NDCG@10, retrieved ideal",
        None,
        OTHER,
        "It flatters: its ideal is the retrieved ten re-sorted, so leaving out the best items costs nothing.",
    ),
    "rmse": Metric("RMSE", "lower", ERROR, "Root of the mean squared error; large mistakes weigh more."),
    "mae": Metric("MAE", "lower", ERROR, "Mean absolute error: how far off a typical prediction is."),
    "r2": Metric("R²", "higher", ERROR, "Share of the variance explained; always predicting the mean gives 0."),
    "rmse_normalised": Metric("RMSE, normalised", "lower", ERROR, "RMSE on the scale the model was trained on."),
    **{name: Metric(text, "higher", RATED, meaning) for name, (text, meaning) in _RANKED.items()},
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
    "learning_rate": Metric("Learning rate", None, OTHER, "The optimiser's step size."),
}
# What a model costs: name in a sentence, and unit.
COSTS = {
    "parameters": ("parameters", ""),
    "fit_s": ("training time", "s"),
    "s_per_epoch": ("time per epoch", "s"),
    "latency_ms": ("time of one prediction", "ms"),
    "file_kib": ("model file", "KiB"),
}


def describe(name: str, unit: str = "", *, known: Mapping[str, Metric] = METRICS) -> Metric:
    """Describe a metric.

    Args:
        name: Its name in `metrics.json`; `catalogue_` before a ranking metric means every unseen item was ranked.
        unit: Unit of the data's errors (`data.unit` of the record), given to the RMSE and the MAE. Default "".
        known: The registry. A recipe with metrics of its own passes `METRICS | {...}`.

    Returns:
        Its description; an unknown name keeps its name as label and has no better direction.

    Example:
        >>> describe("rmse", "USD").unit, describe("catalogue_ndcg_at_10").label, describe("novelty").better
        ('USD', 'Catalogue NDCG@10', None)
    """
    if name in known:
        return replace(known[name], unit=unit) if name in ("rmse", "mae") else known[name]
    ranked = known.get(name.removeprefix("catalogue_"))
    if ranked is not None:
        return replace(ranked, label=f"Catalogue {ranked.label}", group=CATALOGUE)
    return Metric(name, None, OTHER, "")


def cost_label(name: str) -> str:
    """Name a cost with its unit, as an axis or a heading has it: "training time (s)"."""
    text, unit = COSTS.get(name, (name.replace("_", " "), ""))
    return f"{text} ({unit})" if unit else text


def number(value: object, *, like: float | None = None) -> str:
    """Write a value of a table.

    Args:
        value: Number, text, bool, None or a list of them, NumPy's included.
        like: A number next to which a fraction stands, to have as many decimals. Default None.

    Returns:
        Four decimals, fewer from ten on, two digits of what is below a thousandth; counts with separators; a dash for
        None and NaN.

    Example:
        >>> number(0.88432), number(2503.127), number(999611), number(None), number("jax"), number([64, 32])
        ('0.8843', '2,503.1', '999,611', '–', 'jax', '64, 32')
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
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
    """Name the entry with the best value, the first of equals; None where there is none or no direction.

    None and NaN take no part.
    """
    finite = {name: value for name, value in values.items() if value is not None and not math.isnan(value)}
    if better is None or not finite:
        return None
    return (min if better == "lower" else max)(finite, key=lambda name: finite[name])


def by_group(names: Iterable[str], *, known: Mapping[str, Metric] = METRICS) -> dict[str, list[str]]:
    """Sort metrics into tables.

    Args:
        names: Metric names, repeats allowed.
        known: As `describe` takes it.

    Returns:
        Metric names by group: `GROUPS` first, then the registry's further ones; known metrics in the registry's order.

    Example:
        >>> by_group(["ndcg_at_10", "mae", "rmse"])
        {'Prediction error': ['rmse', 'mae'], 'Ranking the rated test items': ['ndcg_at_10']}
    """
    order = {name: position for position, name in enumerate(known)}
    unique = sorted(dict.fromkeys(names), key=lambda name: order.get(name.removeprefix("catalogue_"), len(order)))
    described = {name: describe(name, known=known).group for name in unique}
    groups = [*GROUPS, *(group for group in dict.fromkeys(described.values()) if group not in GROUPS)]
    tables = {group: [name for name in unique if described[name] == group] for group in groups}
    return {group: members for group, members in tables.items() if members}
