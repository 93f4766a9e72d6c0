"""The pictures of a rating model's run: against its baselines, by epoch, by prediction, by user."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from kmodels.report import canvas, plots
from kmodels.report.fragments import Picture


def draw(
    folder: str | Path,
    record: Mapping[str, Any],
    history: pd.DataFrame,
    true: ArrayLike,
    predicted: ArrayLike,
    per_user: Mapping[str, pd.DataFrame],
    *,
    baseline: str,
) -> list[Picture]:
    """Draws the six pictures into the run folder's `plots/`.

    Args:
        folder: The run folder.
        record: A record of `metrics.json`.
        history: One row per epoch: epoch, rmse and val_rmse of the normalised rating, learning_rate.
        true: (rows,) stars of the test rows.
        predicted: (rows,) the model's stars for them.
        per_user: "model" and each rating baseline -> its table of `evaluation.ranking.rated_ranking`.
        baseline: The one beside which the model's ranking is drawn.

    Returns:
        The pictures, in the report's order.

    Raises:
        DataError: If the history lacks a column or arrays differ in length.
    """
    model = record["model"]["name"]
    rmse = {model: record["test"]["rmse"]}
    rmse |= {name: values["rmse"] for name, values in record["baselines"].items() if "rmse" in values}
    # The loss itself holds the penalty on the weights: the error is what compares.
    errors = history.drop(columns=["loss", "val_loss"]).rename(columns={"rmse": "loss", "val_rmse": "val_loss"})
    ndcg = {name: table["ndcg_at_10"] for name, table in per_user.items()}
    drawn = {
        "rmse": (
            plots.baseline_bars(rmse, "RMSE", model=model, unit="stars"),
            "The model beside its baselines",
            "Test rows; shorter is better. Every setting was chosen on validation rows.",
        ),
        "loss": (
            plots.loss_curves(errors, loss_label="RMSE of rating / 5"),
            "Training and validation by epoch",
            "The weights of the best epoch on validation are kept.",
        ),
        "scatter": (plots.true_vs_predicted(true, predicted), "True and predicted stars", "Test rows."),
        "errors": (plots.error_histogram(true, predicted), "Errors", "Predicted less true stars, test rows."),
        "residuals": (
            plots.residuals(true, predicted),
            "Residuals against predictions",
            "Where the mean line leaves zero, predictions of that height are too high or too low.",
        ),
        "users": (
            plots.per_user_ranking(ndcg["model"], ndcg[baseline], per_user["model"]["n_items"], baseline=baseline),
            "Ranking, user by user",
            f"NDCG@10 of each user's rated test items, the model beside {baseline}.",
        ),
    }
    return [
        Picture(canvas.save(figure, Path(folder) / "plots" / f"{name}.png"), title, caption)
        for name, (figure, title, caption) in drawn.items()
    ]
