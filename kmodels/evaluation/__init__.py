"""Predictions to numbers: metrics of regressions, classifiers and rankings, and the baselines a model has to beat.

Example:
    >>> from kmodels.evaluation import regression
    >>> regression.rmse([4.0, 2.0], [3.0, 3.0])
    1.0
"""

from __future__ import annotations

from kmodels.evaluation import (
    baselines,
    classification,
    ranking,
    regression,
    selection,
    tabular,
)
from kmodels.evaluation.images import image_baselines
from kmodels.evaluation.scoring import score_parts
from kmodels.evaluation.tabular import tabular_baselines

__all__ = [
    "baselines",
    "classification",
    "image_baselines",
    "ranking",
    "regression",
    "score_parts",
    "selection",
    "tabular",
    "tabular_baselines",
]
