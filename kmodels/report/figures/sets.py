"""The figures that go together on a page, by the name of their file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from kmodels.evaluation import classification
from kmodels.report.figures.amounts import predictions, residuals
from kmodels.report.figures.columns import histogram
from kmodels.report.figures.comparison import bars, costs, pareto
from kmodels.report.figures.curves import calibration_curve, class_curves, learning_curves
from kmodels.report.figures.pictures import confusion_matrix, examples
from kmodels.report.metrics import describe
from kmodels.report.record import RunRecord
from kmodels.report.style import with_unit


def comparison_figures(
    record: RunRecord,
    histories: Mapping[str, pd.DataFrame],
    metric: str,
    *,
    floors: Mapping[str, float] | None = None,
) -> dict[str, Figure]:
    """Draw the variants of a run compared by a metric with each other and the baselines, as `workflow.Run.write` does.

    Returns variants, pareto, time_and_size, and `<metric>_curves` and loss_curves of the histories that have them.
    """
    unit = describe(metric, record.unit).unit
    variants = record.variants
    values = {name: each.test.get(metric) for name, each in variants.items()}
    baselines = {name: each[metric] for name, each in record.baselines.items() if metric in each}
    points = {name: (each.parameters, values[name]) for name, each in variants.items()}
    drawn = {
        "variants": bars(values | baselines, metric, marked=list(variants), floors=floors, unit=unit),
        "pareto": pareto(points, metric, chosen=record.best, unit=unit),
        "time_and_size": costs(variants),
    }
    for column in dict.fromkeys((metric, "loss")):
        logged = {name: history for name, history in (histories or {}).items() if column in history}
        if logged:
            drawn[f"{column}_curves"] = learning_curves(logged, column)
    return drawn


def classifier_figures(
    true: ArrayLike,
    probability: ArrayLike,
    labels: Sequence[str],
    *,
    history: pd.DataFrame | None = None,
    pictures: ArrayLike | None = None,
) -> dict[str, Figure]:
    """Draw one classifier on its test rows.

    Args:
        true: (rows,) true classes, integers from 0.
        probability: (rows, classes).
        labels: Name of each class, in order.
        history: One row per epoch: epoch, loss and val_loss, perhaps accuracy and val_accuracy. Default none.
        pictures: The rows' pictures, as `picture_grid` takes them. Default none.

    Returns:
        loss (with a history), confusion, calibration, roc, precision_recall and, with pictures, hardest.
    """
    share = np.asarray(probability, dtype=float)
    predicted = share.argmax(axis=1)
    drawn = {} if history is None else {"loss": learning_curves(history, also=("accuracy",))}
    drawn |= {
        "confusion": confusion_matrix(classification.confusion(true, predicted, len(labels)), labels),
        "calibration": calibration_curve(classification.calibration(true, share)),
        "roc": class_curves(true, share, labels),
        "precision_recall": class_curves(true, share, labels, "precision_recall"),
    }
    if pictures is not None:
        drawn["hardest"] = examples(pictures, true, share, labels)
    return drawn


def explanation_figures(
    true: ArrayLike,
    probability: ArrayLike,
    labels: Sequence[str],
    *,
    pictures: ArrayLike,
    heat: ArrayLike,
    importance: pd.DataFrame,
    shap: ArrayLike | None,
    groups: Sequence[str],
) -> dict[str, Figure]:
    """Draw what `explain.survey` found as heat, importance and shap: `explanation_figures(…, **found._asdict())`."""
    n, share = len(np.asarray(heat)), np.asarray(probability)
    mean, std = (dict(zip(importance["group"], importance[name], strict=True)) for name in ("mean", "std"))
    drawn = {
        "heat": examples(pictures, np.asarray(true)[:n], share[:n], labels, maps=heat),
        "importance": bars(mean, "accuracy lost when shuffled", spread=std),
    }
    if shap is not None:
        size = pd.DataFrame(np.abs(shap).mean(axis=0), list(groups), list(labels))
        drawn["shap"] = bars(size, "mean |SHAP value| (logit)")
    return drawn


def regression_figures(
    record: RunRecord,
    true: ArrayLike,
    predicted: ArrayLike,
    *,
    history: pd.DataFrame,
    label: str = "RMSE, normalised",
) -> dict[str, Figure]:
    """Draw one model of amounts on its test rows.

    Args:
        record: The record; the model is its chosen one.
        true: (rows,) true values, in the unit of the record's data.
        predicted: (rows,) the model's values.
        history: One row per epoch: epoch, rmse and val_rmse, perhaps learning_rate.
        label: What the history's RMSE is, for the axis.

    Returns:
        rmse, loss, scatter, errors and residuals.
    """
    unit, chosen = str(record.data.get("unit", "")), record.best or record.chosen.name
    return {
        "rmse": bars(record.tested("rmse"), "rmse", marked=[chosen], unit=unit),
        "loss": learning_curves(history, "rmse", label),
        "scatter": predictions(true, predicted, unit),
        "errors": histogram(np.subtract(predicted, true), with_unit("error: predicted − true", unit), errors=True),
        "residuals": residuals(true, predicted, unit),
    }
