"""Figures: functions that take arrays and tables and return a Matplotlib figure; they know no task and write nothing.

Every figure is 5 inches wide, in the common style of `report.style`, and known to no global state of Matplotlib. What
cannot be drawn raises `DataError`. Titles and captions are the page's; a set names figures by the files they become.

Example:
    >>> from kmodels.report import figures
    >>> figures.bars({"net": 0.9, "majority": 0.3}, "accuracy", marked=["net"]).axes[0].get_xlabel()
    'Accuracy, higher is better'
"""

from kmodels.report.figures.amounts import user_ranking
from kmodels.report.figures.columns import by_category, correlations, histogram, scatter, vectors_map
from kmodels.report.figures.comparison import bars
from kmodels.report.figures.curves import learning_curves
from kmodels.report.figures.pictures import picture_grid
from kmodels.report.figures.sets import classifier_figures, regression_figures

__all__ = [
    "bars",
    "by_category",
    "classifier_figures",
    "correlations",
    "histogram",
    "learning_curves",
    "picture_grid",
    "regression_figures",
    "scatter",
    "user_ranking",
    "vectors_map",
]
