"""Predictions to numbers: regression and ranking metrics, and the baselines a model has to beat.

Example:
    >>> from kmodels.evaluation import regression
    >>> regression.rmse([4.0, 2.0], [3.0, 3.0])
    1.0
"""

from __future__ import annotations

from kmodels.evaluation import (
    baselines,
    classification,
    decisions,
    factorization,
    pixels,
    ranking,
    regression,
    spending,
    tabular,
)

__all__ = [
    "baselines",
    "classification",
    "decisions",
    "factorization",
    "pixels",
    "ranking",
    "regression",
    "spending",
    "tabular",
]
