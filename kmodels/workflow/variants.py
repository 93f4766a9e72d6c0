"""Variants compared: what each costs, which one to choose, and whether one predicts a constant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kmodels import serving
from kmodels.evaluation import classification, selection
from kmodels.report import comparisons, sentences
from kmodels.report.metrics import describe
from kmodels.report.record import VariantRecord
from kmodels.workflow.run import Fitted


def costs(fitted: Fitted, example: Mapping[str, np.ndarray]) -> dict[str, float]:
    """What a trained model costs: s_per_epoch, latency_ms of one prediction (`example`), file_kib once it is saved."""
    return {
        "s_per_epoch": float(fitted.history["seconds"].median()),
        "latency_ms": serving.latency_ms(fitted.model, dict(example)),
        "file_kib": (fitted.folder / "model.keras").stat().st_size / 1024,
    }


def choose(
    variants: Mapping[str, VariantRecord], metric: str, *, cost: str = "parameters", **tolerance: Any
) -> tuple[str, str]:
    """The cheapest variant that cannot be told from the best one on validation, and the sentence that says why.

    `tolerance` is one of `tolerance`, `rows` and `repeats`, as `evaluation.selection.choose` takes them.
    """
    values = {name: float(each.validation[metric] or np.nan) for name, each in variants.items()}
    prices = {name: comparisons.costs_of(each)[cost] for name, each in variants.items()}
    better = describe(metric).better or "higher"
    chosen = selection.choose(values, prices, better=better, **tolerance)
    return chosen.name, sentences.choice(chosen, metric, cost)


def constant_prediction(name: str, predicted: np.ndarray, labels: Sequence[str]) -> list[str]:
    """A warning where a classifier predicts one class for 99 % of the rows or more; else none."""
    only = classification.collapsed(predicted, 0.99)
    if only is None:
        return []
    return [sentences.constant_prediction(name, labels[only], float(np.mean(np.asarray(predicted) == only)))]
