"""The figures that go together on a page, by the name of their file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from kmodels.evaluation import classification, selection
from kmodels.report.figures.amounts import error_histogram, per_user_ranking, predictions, residuals
from kmodels.report.figures.comparison import bars, costs, importance_bars, pareto, shap_bars
from kmodels.report.figures.curves import by_class, calibration_curve, learning_curves, precision_recall, roc_curves
from kmodels.report.figures.pictures import confusion_matrix, hardest, heat_maps
from kmodels.report.figures.trials import search_coordinates, search_importance, search_parameters, search_progress
from kmodels.report.metrics import describe
from kmodels.report.record import RunRecord


def comparison_figures(
    record: RunRecord,
    histories: Mapping[str, pd.DataFrame],
    metric: str,
    *,
    floors: Mapping[str, float] | None = None,
    spread: Mapping[str, float] | None = None,
    cost: str = "parameters",
) -> dict[str, Figure]:
    """Draw the variants of a run compared with each other and with the baselines.

    Args:
        record: A record of variants.
        histories: By variant, one row per epoch: epoch, loss and val_loss, and the metric and its `val_` where known.
        metric: The metric compared; every variant has it on the test split.
        floors: As `bars` takes it.
        spread: As `bars` takes it.
        cost: "parameters" (default), "fit_s", or a name in every variant's `cost`.

    Returns:
        variants, pareto, time_and_size, and `<metric>_curves` and loss_curves where every history has them.
    """
    unit = describe(metric, str(record.data.get("unit", ""))).unit
    values = {name: each.test.get(metric) for name, each in record.variants.items()}
    values |= {name: each[metric] for name, each in record.baselines.items() if metric in each}
    known = {
        name: {"parameters": each.parameters, "fit_s": each.timing.fit_s, "epochs": each.timing.epochs, **each.cost}
        for name, each in record.variants.items()
    }
    points = {name: (known[name].get(cost), values[name]) for name in record.variants}
    drawn = {
        "variants": bars(values, metric, floors=floors, spread=spread, marked=list(record.variants), unit=unit),
        "pareto": pareto(points, metric, cost=cost, chosen=record.best, unit=unit),
        "time_and_size": costs(known),
    }
    for column in dict.fromkeys((metric, "loss")):
        if histories and all(column in history for history in histories.values()):
            drawn[f"{column}_curves"] = learning_curves(histories, column)
    return drawn


def classifier_figures(
    true: ArrayLike,
    probability: ArrayLike,
    labels: Sequence[str],
    *,
    history: pd.DataFrame | None = None,
    pictures: ArrayLike | None = None,
    threshold: float | None = None,
) -> dict[str, Figure]:
    """Draw one classifier on its test rows.

    Args:
        true: (rows,) true classes, integers from 0.
        probability: (rows, classes).
        labels: Name of each class, in order.
        history: One row per epoch: epoch, loss and val_loss, perhaps accuracy and val_accuracy.
        pictures: The rows' pictures, as `picture_grid` takes them.
        threshold: For two classes: class 1 is predicted where its probability is at least this. Default None: the most
            probable class is predicted.

    Returns:
        loss (with a history), confusion, calibration, roc, precision_recall and, with pictures, hardest.
    """
    share = np.asarray(probability, dtype=float)
    predicted = share.argmax(axis=1) if threshold is None else (share[:, 1] >= threshold).astype(int)
    scores = by_class(true, share, labels)
    drawn = {} if history is None else {"loss": learning_curves(history, also=("accuracy",))}
    drawn |= {
        "confusion": confusion_matrix(classification.confusion(true, predicted, len(labels)), labels),
        "calibration": calibration_curve(classification.calibration(true, share)),
        "roc": roc_curves(scores),
        "precision_recall": precision_recall(scores),
    }
    if pictures is not None:
        drawn["hardest"] = hardest(pictures, true, predicted, share, labels)
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
    """Draw what `explain.survey` found: `explanation_figures(true, probability, labels, **found._asdict())`.

    Args:
        true: (rows,) true classes, integers from 0.
        probability: (rows, classes) of the model that was surveyed.
        labels: Name of each class, in order.
        pictures: uint8 (n, height, width, 3), of the first n rows.
        heat: (n, h, w), 0 to 1, of the predicted class.
        importance: As `importance_bars` takes it.
        shap: As `shap_bars` takes it, or None.
        groups: Name of each group of `shap`.

    Returns:
        heat, importance and, with SHAP values, shap.

    Raises:
        DataError: Arrays do not fit together.
    """
    n, share = len(np.asarray(heat)), np.asarray(probability)
    rows = np.asarray(true)[:n], share[:n].argmax(axis=1), share[:n]
    drawn = {"heat": heat_maps(pictures, heat, *rows, labels), "importance": importance_bars(importance)}
    return drawn | ({} if shap is None else {"shap": shap_bars(shap, groups, labels)})


def regression_figures(
    true: ArrayLike,
    predicted: ArrayLike,
    rmse: Mapping[str, float],
    *,
    model: str,
    history: pd.DataFrame,
    unit: str = "",
    column: str = "rmse",
    label: str = "RMSE, normalised",
) -> dict[str, Figure]:
    """Draw one model of amounts on its test rows.

    Args:
        true: (rows,) true values.
        predicted: (rows,) the model's values.
        rmse: Test RMSE of the model and of the baselines, by name.
        model: The model's name among them.
        history: One row per epoch: epoch, the column and its `val_`, perhaps learning_rate.
        unit: Unit of the values, or "" (default).
        column: Column of the history that is drawn. Default "rmse": the loss may hold a penalty on the weights.
        label: What it is, for the axis.

    Returns:
        rmse, loss, scatter, errors and residuals.
    """
    return {
        "rmse": bars(rmse, "rmse", marked=[model], unit=unit),
        "loss": learning_curves(history, column, label),
        "scatter": predictions(true, predicted, unit),
        "errors": error_histogram(true, predicted, unit),
        "residuals": residuals(true, predicted, unit),
    }


def rating_figures(
    true: ArrayLike,
    predicted: ArrayLike,
    metrics: Mapping[str, Mapping[str, Any]],
    per_user: Mapping[str, pd.DataFrame],
    *,
    model: str,
    history: pd.DataFrame,
    baseline: str = "matrix_factorization",
    unit: str = "",
) -> dict[str, Figure]:
    """Draw one model of ratings on its test rows, with what `evaluation.recommender.evaluate` gives.

    Args:
        true: (rows,) true ratings.
        predicted: (rows,) the model's.
        metrics: "test" -> the model's metrics; "baselines" -> name -> metrics, drawn where there is an `rmse`.
        per_user: "model" and the baseline -> a table with `ndcg_at_10` and `n_items` of each user.
        model: The model's name.
        history: One row per epoch: epoch, rmse and val_rmse of the normalised rating, perhaps learning_rate.
        baseline: Name of the baseline whose ranking is compared. Default "matrix_factorization".
        unit: Unit of the ratings, or "" (default).

    Returns:
        What `regression_figures` gives, and users.
    """
    tested = {model: metrics["test"], **metrics["baselines"]}
    rmse = {name: each["rmse"] for name, each in tested.items() if "rmse" in each}
    own, other = per_user["model"], per_user[baseline]
    users = per_user_ranking(own["ndcg_at_10"], other["ndcg_at_10"], own["n_items"], name=baseline)
    drawn = regression_figures(true, predicted, rmse, model=model, history=history, unit=unit)
    return drawn | {"users": users}


def search_figures(
    trials: pd.DataFrame, parameters: Sequence[str], objective: str, *, direction: str = "min", seed: int = 0
) -> dict[str, Figure]:
    """Draw a search over hyper-parameters.

    Args:
        trials: The table of trials, as `tuning.Search` has it.
        parameters: The hyper-parameters.
        objective: Name of the objective's column.
        direction: "min" (default) or "max".
        seed: Seed of the forest behind the importances. Default 0.

    Returns:
        search_trials, search_parameters, search_coordinates and, with five completed trials, search_importance.
    """
    drawn = {
        "search_trials": search_progress(trials, objective, direction=direction),
        "search_parameters": search_parameters(trials, parameters, objective),
        "search_coordinates": search_coordinates(trials, parameters, objective, direction=direction),
    }
    ranked = selection.parameter_importance(trials, parameters, objective, seed=seed)
    return drawn | ({"search_importance": search_importance(ranked)} if len(ranked) else {})
