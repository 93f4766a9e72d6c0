"""Trained models: what each costs, which one to choose, and whether one predicts a constant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kmodels.evaluation import classification, selection
from kmodels.report import comparisons, sentences
from kmodels.report.metrics import describe
from kmodels.report.record import VariantRecord
from kmodels.serving.latency import latency_ms


@dataclass(frozen=True)
class Fitted:
    """A trained model and its training.

    Attributes:
        name: Its name in the record: the folder's, such as "deep".
        model: The Keras model.
        history: One row per epoch, as `training.fit` gives it.
        rows: Number of training rows.
        folder: Where its checkpoint lies.
    """

    name: str
    model: Any
    history: pd.DataFrame
    rows: int
    folder: Path

    @property
    def layers(self) -> str:
        """The table of its layers, 100 letters wide; what is no Keras model is text that stands for it."""
        if isinstance(self.model, str):
            return self.model
        lines: list[str] = []
        self.model.summary(print_fn=lambda line, **_: lines.append(line), line_length=100)
        return "\n".join(lines)


def costs(fitted: Fitted, example: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Measures what a trained and saved model costs.

    Args:
        fitted: What `Run.fit` gave; `model.keras` lies in its folder.
        example: Input of the model -> array of one row.

    Returns:
        s_per_epoch (the median), latency_ms (of one prediction) and file_kib.
    """
    return {
        "s_per_epoch": float(fitted.history["seconds"].median()),
        "latency_ms": latency_ms(fitted.model, dict(example)),
        "file_kib": (fitted.folder / "model.keras").stat().st_size / 1024,
    }


def choose(
    variants: Mapping[str, VariantRecord], metric: str, *, cost: str = "parameters", **tolerance: Any
) -> tuple[str, str]:
    """Chooses the cheapest variant that cannot be told from the best one on validation.

    Args:
        variants: Variant -> its record.
        metric: The validation metric that is compared.
        cost: "parameters" (default), "fit_s", or a name in every variant's `cost`.
        **tolerance: One of `tolerance`, `rows` and `repeats`, as `evaluation.selection.choose` takes them.

    Returns:
        The variant's name, and a sentence that says why.

    Raises:
        ConfigurationError: Not exactly one tolerance is given.
        DataError: There is no variant, or a value is not finite.
    """
    scores = {name: each.validation[metric] for name, each in variants.items()}
    values = {name: np.nan if score is None else float(score) for name, score in scores.items()}
    prices = {name: comparisons.costs_of(each)[cost] for name, each in variants.items()}
    chosen = selection.choose(values, prices, better=describe(metric).better or "higher", **tolerance)
    return chosen.name, sentences.choice(chosen, metric, cost)


def constant_prediction(name: str, share: np.ndarray, labels: Sequence[str]) -> list[str]:
    """One sentence for `warnings` of a classifier that predicts one class for 99 % of the rows or more, else none."""
    predicted = share.argmax(axis=1)
    only = classification.collapsed(predicted, 0.99)
    if only is None:
        return []
    rows = 100 * np.mean(predicted == only)
    return [f"{name} predicts {labels[only]!r} for {rows:.1f} % of the rows: its prediction is constant."]
