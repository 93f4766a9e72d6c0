"""Context features: what is known of the circumstances of a rating, which belongs to neither its user nor its item.

Ratings that a user gives within minutes are alike beyond what user and items explain. Koren, "Collaborative Filtering
with Temporal Dynamics", KDD 2009, gives a user a bias for each day; here the times need not fall into days, and only
earlier ratings count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels import checks
from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing._split_rows import sorted_codes

#: Seconds before a row.
WINDOWS = (15, 120, 1800)


def earlier_surplus(
    ratings: pd.DataFrame,
    train: npt.NDArray[np.int64],
    *,
    windows: Sequence[int] = WINDOWS,
    strength: float = 5.0,
) -> npt.NDArray[np.float32]:
    """Computes by how much a user's training ratings shortly before exceed what user and items lead to expect.

    Ratings count on a scale whose highest absolute training rating is 5, whatever their own. An item's surplus over
    the mean rating, and a user's over their items, are regularised means: a sum divided by its number of ratings plus
    `strength`. For a row and a window, the result is the regularised mean, over the user's earlier training rows
    within the window, of rating - mean - item's surplus - user's surplus.

    Of the user, earlier training rows alone take part, in the user's surplus too: neither later ratings nor those of
    the very same second, whose order is unknown. The mean rating and the items' surplus are of all training rows, as a
    fitted model's parameters are. Training rows are treated as held-out rows are.

    Args:
        ratings: Columns user_id and item_id (integers or text), rating (read for `train` alone), timestamp (seconds).
            A pair of user and item occurs once.
        train: Positions of the training rows.
        windows: Seconds before a row, each 1 or more; at least one. Default (15, 120, 1800).
        strength: Ratings without surplus that are added to each mean, above 0. Default 5.

    Returns:
        float32 (rows, windows), on the scale of 5; 0 where the user has no training row within the window.

    Raises:
        DataError: If an id is missing, timestamps are no integers, a training rating is not finite, all training
            ratings are 0, or there is no training row.
        ConfigurationError: If there are no timestamps or no window, one is below 1, or `strength` is not above 0.

    Example:
        >>> columns = {"user_id": list("aaab"), "item_id": [1, 2, 3, 1], "rating": [10, 10, 2, 6]}
        >>> table = pd.DataFrame(columns | {"timestamp": [0, 10, 9999, 10]})
        >>> earlier = earlier_surplus(table, np.array([0, 1, 2]), windows=[60])
        >>> [round(value, 2) for value in earlier[:, 0].tolist()]
        [0.0, 0.15, 0.0, 0.0]
    """
    if not len(windows) or min(windows) < 1:
        raise ConfigurationError(f"windows must be at least one number, each 1 or more. Received: windows={windows}")
    if strength <= 0:
        raise ConfigurationError(f"strength must be above 0. Received: strength={strength}")
    if "timestamp" not in ratings:
        raise ConfigurationError("a feature of earlier ratings needs timestamps, which the data does not have")
    user, item = _codes(ratings, "user_id"), _codes(ratings, "item_id")
    time, rating = ratings["timestamp"].to_numpy(), _scaled(ratings["rating"].to_numpy(np.float64), train)
    if time.dtype.kind not in "iu":
        raise DataError("the column does not hold integers", column="timestamp", received=str(time.dtype))

    in_train = np.zeros(len(user), bool)
    in_train[train] = True
    above = np.where(in_train, rating - rating[train].mean(), 0.0)
    of_item = np.bincount(item, above) / (np.bincount(item, in_train) + strength)
    above -= of_item[item]

    # One axis on which the users' times lie behind one another, too far apart for a window to reach the next user's.
    time = time.astype(np.int64)
    span = int(np.ptp(time)) + int(max(windows)) + 1
    position = user * span + (time - time.min())
    order = np.argsort(position, kind="stable")  # searches in ascending order are an order of magnitude faster
    position, user, kept = position[order], user[order], order[in_train[order]]
    known, sums = position[in_train[order]], np.concatenate([[0.0], np.cumsum(above[kept])])
    end = np.searchsorted(known, position, side="left")

    def since(start: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Number and sum of the training rows from a position of each row until just before it."""
        first = np.searchsorted(known, start, side="left")
        return end - first, sums[end] - sums[first]

    count, total = since(user * span)
    of_user = total / (count + strength)
    result = np.empty((len(position), len(windows)), np.float32)
    for column, window in enumerate(windows):
        count, total = since(position - window)
        result[order, column] = np.where(count > 0, (total - count * of_user) / (count + strength), 0.0)
    return result


def _codes(ratings: pd.DataFrame, name: str) -> npt.NDArray[np.int64]:
    """Positions of the ids among the sorted distinct ones."""
    codes = sorted_codes(ratings[name])
    checks.refuse_rows(codes < 0, "an id is missing", name)
    return codes


def _scaled(rating: npt.NDArray[np.float64], train: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Ratings on a scale whose highest absolute training rating is 5."""
    if not len(train):
        raise DataError("there is no training row")
    wrong = np.zeros(len(rating), bool)
    wrong[train] = ~np.isfinite(rating[train])
    checks.refuse_rows(wrong, "a training rating is not a number", "rating", values=rating)
    if not rating[train].any():
        raise DataError("all training ratings are 0", column="rating")
    return rating * (5 / float(np.abs(rating[train]).max()))
