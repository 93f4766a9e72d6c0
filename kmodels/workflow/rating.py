"""Models of ratings in a recipe: predictions, metrics and figures of the parts of the split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from kmodels import serving, training
from kmodels.evaluation import recommender
from kmodels.pipelines import Ratings
from kmodels.report import figures
from kmodels.report.record import Metrics, RunRecord, VariantRecord
from kmodels.workflow.run import Run
from kmodels.workflow.variants import Fitted

_BASELINE = "matrix_factorization"  # with which users are compared one by one


@dataclass(frozen=True)
class Rating:
    """A fitted model of ratings and its figures.

    Attributes:
        fitted: The model and its training.
        record: Its figures.
        baselines: Baseline -> its test metrics.
        predicted: float (test rows,), in the unit of the ratings.
        per_user: "model" and baseline -> one row per user of the test, as `evaluation.recommender.evaluate` gives them.
    """

    fitted: Fitted
    record: VariantRecord
    baselines: Mapping[str, Metrics]
    predicted: npt.NDArray[np.floating]
    per_user: Mapping[str, pd.DataFrame]


def for_rows(settings: Mapping[str, Any], rows: int, *, found_with: int = 70_000) -> tuple[dict[str, Any], int]:
    """Settings for so many training rows, and rows of a batch, from settings that were found with fewer and 512.

    Batches grow with the rows: as many steps, each of which passes over all tables. The loss is a mean over rows, the
    penalty a sum over users and items: divided by the same factor, `l2` stays the same for each of them.
    """
    factor = max(1.0, rows / found_with)
    return {**settings, "l2": settings["l2"] / factor}, round(512 * factor)


def predict(ratings: Ratings, model: keras.Model, *parts: str) -> dict[str, npt.NDArray[np.floating]]:
    """Predicted ratings of parts of the split, in the ratings' unit."""
    rows = [getattr(ratings.split, part) for part in parts]
    predicted = training.predict(model, ratings.batches(model, np.concatenate(rows)))
    bounds = np.cumsum([len(each) for each in rows])[:-1]
    return dict(zip(parts, np.split(ratings.in_units(predicted), bounds), strict=True))


def rate(
    ratings: Ratings, model: keras.Model, part: str, more: recommender.MoreMetrics | None = None
) -> dict[str, float]:
    """The metrics of a part of the split, `more` being as `evaluation.recommender.rate` takes it."""
    return recommender.rate(**ratings.arrays(part), predicted=predict(ratings, model, part)[part], more=more)[0]


def evaluate(run: Run, fitted: Fitted, ratings: Ratings, more: recommender.MoreMetrics | None = None) -> Rating:
    """Evaluates a fitted model of `models.neumf` and its baselines."""
    model = fitted.model
    users, items = ratings.user_batches(model), ratings.item_batches(model)
    with run.timed("evaluate_s"):
        predicted = predict(ratings, model, "validation", "test")
        scores = serving.catalogue_scores(model, users, items)
        found, per_user = recommender.evaluate(**ratings.arrays(), predicted=predicted, scores=scores, more=more)
    record = run.variant(fitted, **{name: found[name] for name in ("test", "validation", "warnings")})
    return Rating(fitted, record, found["baselines"], predicted["test"], per_user)


def draw(record: RunRecord, ratings: Ratings, rating: Rating) -> dict[str, Figure]:
    """The figures of a page: those of errors, and the ranking of each user's rated items."""
    true, history = ratings.rating[ratings.split.test], rating.fitted.history
    drawn = figures.regression_figures(record, true, rating.predicted, history=history)
    ndcg = {name: users["ndcg_at_10"] for name, users in rating.per_user.items()}
    rated = rating.per_user["model"]["n_items"]
    return drawn | {"users": figures.user_ranking(ndcg["model"], ndcg[_BASELINE], rated, name=_BASELINE)}
