"""Predicted ratings judged by their error alone, beside what every factorisation has to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from kmodels.evaluation import baselines, regression

Metrics = dict[str, float]
Rows = npt.NDArray[np.int64]


def score(
    rating: npt.NDArray[np.float32],
    split: Sequence[Rows],
    predict: Callable[[Rows], npt.ArrayLike],
    *,
    limits: tuple[float, float] | None = None,
) -> dict[str, Metrics]:
    """Scores predictions on the validation and the test rows.

    Args:
        rating: (rows,) true ratings.
        split: Positions of the training, validation and test rows.
        predict: From positions (n,) to predicted ratings (n,).
        limits: Lowest and highest rating there is, to which predictions are cut; None (default) leaves them.

    Returns:
        "validation" and "test" -> `rmse`, `mae` and `r2`.

    Raises:
        DataError: If a prediction is not finite, or there are too few rows.

    Example:
        >>> parts = np.array([0]), np.array([1, 2]), np.array([3, 4])
        >>> rating = np.array([3, 1, 5, 2, 4], "float32")
        >>> score(rating, parts, lambda rows: [2.0, 7.0], limits=(1, 5))["test"]["mae"]
        0.5
    """
    found = {}
    for part, rows in zip(("validation", "test"), split[1:], strict=True):
        predicted = np.asarray(predict(rows))
        found[part] = regression.regression_metrics(
            rating[rows], predicted if limits is None else np.clip(predicted, *limits)
        )
    return found


def rivals(
    users: npt.NDArray[np.int32],
    items: npt.NDArray[np.int32],
    rating: npt.NDArray[np.float32],
    split: Sequence[Rows],
    *,
    n_users: int,
    n_items: int,
    limits: tuple[float, float] | None = None,
) -> dict[str, Metrics]:
    """Fits the baselines to the training rows, with settings chosen on the validation rows.

    Args:
        users: (rows,) user ids, 0 (unknown) to n_users - 1.
        items: (rows,) item ids, 0 (unknown) to n_items - 1.
        rating: (rows,) true ratings.
        split: Positions of the training, validation and test rows.
        n_users: Rows of the users' table, row 0 included.
        n_items: Rows of the items' table, row 0 included.
        limits: As `score` takes them.

    Returns:
        Metrics of the test rows of `global_mean`, `linear_regression` (ridge regression on an indicator for each user
        and item: a bias each) and `alternating_least_squares`.

    Raises:
        DataError: If arrays differ in length or an id is out of range.

    Example:
        >>> users, items = np.repeat([1, 2, 3], 4), np.tile([1, 2, 3, 4], 3)
        >>> rating = np.array([5, 4, 1, 5, 4, 5, 2, 4, 5, 5, 1, 4], "float32")
        >>> split = np.array([0, 2, 5, 6, 8, 10]), np.array([1, 4, 9]), np.array([3, 7, 11])
        >>> list(rivals(users, items, rating, split, n_users=4, n_items=5))
        ['global_mean', 'linear_regression', 'alternating_least_squares']
    """
    fitted = baselines.fit_rating_baselines(users, items, rating, split, n_users=n_users, n_items=n_items)
    names = {"biases": "linear_regression", "matrix_factorization": "alternating_least_squares"}

    def test_metrics(rival: baselines.RatingBaseline) -> dict[str, float]:
        return score(rating, split, lambda rows: rival.predict(users[rows], items[rows]), limits=limits)["test"]

    return {names.get(name, name): test_metrics(rival) for name, rival in fitted.items()}
