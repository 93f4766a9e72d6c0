"""The pictures of a run that predicts an amount or a rating: against its baselines, by epoch, by prediction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from kmodels.report import canvas, plots
from kmodels.report.fragments import Picture
from kmodels.report.record import unit_of, variant_record


def draw(
    folder: str | Path,
    record: Mapping[str, Any],
    history: pd.DataFrame,
    true: ArrayLike,
    predicted: ArrayLike,
    *,
    error_label: str = "RMSE, normalised",
) -> list[Picture]:
    """Draw five pictures into the run folder's `plots/`: rmse, loss, scatter, errors, residuals.

    Args:
        folder: The run folder.
        record: A record of `metrics.json`; of variants, the best one is drawn. `data.unit` names the unit.
        history: One row per epoch: epoch, rmse and val_rmse of what the model was trained on, learning_rate; without
            rmse, the loss is drawn.
        true: (rows,) true values of the test rows.
        predicted: (rows,) the model's values for them.
        error_label: What the history's rmse is, for its axis.

    Returns:
        The pictures, in the report's order.

    Raises:
        DataError: If the history lacks a column or arrays differ in length.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "plots").mkdir()
        >>> record = {"model": {"name": "net"}, "test": {"rmse": 2.0}, "baselines": {}, "data": {"unit": "INR"}}
        >>> history = pd.DataFrame({"epoch": [1, 2], "rmse": [0.5, 0.4], "val_rmse": [0.5, 0.45]})
        >>> [picture.path.stem for picture in draw(folder, record, history, [1.0, 9.0], [3.0, 7.0])]
        ['rmse', 'loss', 'scatter', 'errors', 'residuals']
    """
    best, unit = variant_record(record), unit_of(record)
    model = best["model"]["name"]
    rmse = {model: best["test"]["rmse"]}
    rmse |= {name: values["rmse"] for name, values in best["baselines"].items() if "rmse" in values}
    errors, label = history, "loss"
    if "rmse" in history:
        # The loss itself may hold a penalty on the weights: the error is what compares.
        errors = history.drop(columns=["loss", "val_loss"], errors="ignore")
        errors, label = errors.rename(columns={"rmse": "loss", "val_rmse": "val_loss"}), error_label
    in_unit = {"unit": unit or "as given"}
    drawn: dict[str, tuple[Figure, str, str]] = {
        "rmse": (
            plots.baseline_bars(rmse, "RMSE", model=model, unit=unit),
            "The model beside its baselines",
            "Test rows; shorter is better. Every setting was chosen on validation rows.",
        ),
        "loss": (
            plots.loss_curves(errors, loss_label=label),
            "Training and validation by epoch",
            "The weights of the best epoch on validation are kept.",
        ),
        "scatter": (
            plots.true_vs_predicted(true, predicted, **in_unit),
            f"True and predicted {'stars' if unit == 'stars' else 'values'}",
            "Test rows.",
        ),
        "errors": (
            plots.error_histogram(true, predicted, **in_unit),
            "Errors",
            f"Predicted less true {'stars' if unit == 'stars' else 'values'}, test rows.",
        ),
        "residuals": (
            plots.residuals(true, predicted, **in_unit),
            "Residuals against predictions",
            "Where the mean line leaves zero, predictions of that height are too high or too low.",
        ),
    }
    return [
        Picture(canvas.save(figure, Path(folder) / "plots" / f"{name}.png"), title, caption)
        for name, (figure, title, caption) in drawn.items()
    ]
