"""The pictures of a rating model's run: those of any amount, and its ranking user by user."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from kmodels.report import amount, canvas, users
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
    """Draw the six pictures into the run folder's `plots/`.

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
    pictures = amount.draw(folder, record, history, true, predicted, error_label="RMSE of rating / 5")
    ndcg = {name: table["ndcg_at_10"] for name, table in per_user.items()}
    figure = users.per_user_ranking(ndcg["model"], ndcg[baseline], per_user["model"]["n_items"], baseline=baseline)
    caption = f"NDCG@10 of each user's rated test items, the model beside {baseline}."
    path = canvas.save(figure, Path(folder) / "plots" / "users.png")
    return [*pictures, Picture(path, "Ranking, user by user", caption)]
