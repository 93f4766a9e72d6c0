"""Predictions to numbers: metrics of regressions, classifiers and rankings, and the baselines a model has to beat.

Example:
    >>> from kmodels.evaluation import regression
    >>> regression.regression_metrics([4.0, 2.0], [3.0, 3.0])["rmse"]
    1.0
"""

from __future__ import annotations

from kmodels.evaluation import (
    baselines,
    classification,
    conformal,
    ranking,
    ranking_baselines,
    recommender,
    regression,
    selection,
)
from kmodels.evaluation.images import image_baselines
from kmodels.evaluation.tabular import tabular_baselines

__all__ = [
    "baselines",
    "classification",
    "conformal",
    "image_baselines",
    "ranking",
    "ranking_baselines",
    "recommender",
    "regression",
    "selection",
    "tabular_baselines",
]
