"""Figures: functions that take arrays and tables and return a Matplotlib figure; they know no task and write nothing.

Every figure is 5 inches wide, in the common style of `report.style`, and known to no global state of Matplotlib.
Arrays and tables that cannot be drawn raise `DataError`, which names the column, and settings `ConfigurationError`.

Titles and captions are the page's; `sets` names the figures that go together by the files they become.

Example:
    >>> from kmodels.report import figures
    >>> figures.bars({"net": 0.9, "majority": 0.3}, "accuracy", marked=["net"]).axes[0].get_xlabel()
    'Accuracy, higher is better'
"""

from __future__ import annotations

from kmodels.report.figures.amounts import error_histogram, per_user_ranking, predictions, residuals
from kmodels.report.figures.columns import (
    bands,
    category_shares,
    correlations,
    histogram,
    mean_by_category,
    mean_by_column,
    scatter_map,
    vectors_map,
)
from kmodels.report.figures.comparison import bars, costs, differences, importance_bars, pareto, shap_bars
from kmodels.report.figures.curves import by_class, calibration_curve, learning_curves, precision_recall, roc_curves
from kmodels.report.figures.pictures import confusion_matrix, heat_maps, picture_grid
from kmodels.report.figures.sets import (
    classifier_figures,
    comparison_figures,
    explanation_figures,
    rating_figures,
    regression_figures,
    search_figures,
)

__all__ = [
    "bands",
    "bars",
    "by_class",
    "calibration_curve",
    "category_shares",
    "classifier_figures",
    "comparison_figures",
    "confusion_matrix",
    "correlations",
    "costs",
    "differences",
    "error_histogram",
    "explanation_figures",
    "heat_maps",
    "histogram",
    "importance_bars",
    "learning_curves",
    "mean_by_category",
    "mean_by_column",
    "pareto",
    "per_user_ranking",
    "picture_grid",
    "precision_recall",
    "predictions",
    "rating_figures",
    "regression_figures",
    "residuals",
    "roc_curves",
    "scatter_map",
    "search_figures",
    "shap_bars",
    "vectors_map",
]
