"""What a user gave around the same time: the mood and the company in which a rating is made, as a few numbers.

People rate many films at one sitting, and within it their ratings are alike beyond what user and film explain: the page
they rate from lists films of one kind, and moods differ. Koren, "Collaborative Filtering with Temporal Dynamics", KDD
2009, gives a user a bias for each day; here the times need not fall into days.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kmodels.errors import ConfigurationError, DataError

#: Half a page of ratings, a page, a sitting: seconds to either side.
WINDOWS = (15, 120, 1800)


def session_surplus(
    users: npt.ArrayLike,
    items: npt.ArrayLike,
    ratings: npt.ArrayLike,
    timestamps: npt.ArrayLike,
    train: npt.NDArray[np.int64],
    *,
    windows: Sequence[int] = WINDOWS,
    strength: float = 5.0,
) -> npt.NDArray[np.float32]:
    """By how much a user's training ratings near in time are above what the films and the user lead to expect.

    An item's surplus over the mean rating, and a user's over their items, are regularised means: a sum divided by its
    number of ratings plus `strength`. For a row and a window, the result is the regularised mean, over the user's
    other training rows no further away in time, of rating - mean - item's surplus - user's surplus. Beyond its share in
    the mean of all ratings, a row's own rating takes no part in it: training rows look as held-out rows do.

    Args:
        users: (rows,) ids, integers of 0 or more.
        items: (rows,) ids, integers of 0 or more.
        ratings: (rows,) stars; those outside `train` are not looked at.
        timestamps: (rows,) whole seconds.
        train: Positions of the training rows.
        windows: Seconds to either side, each 0 or more; at least one. Default (15, 120, 1800).
        strength: Ratings of no surplus that each mean is given beside its own, above 0. Default 5.

    Returns:
        float32 (rows, windows), in stars; 0 where the user has no other training row so near.

    Raises:
        DataError: If the arrays differ in length, ids or timestamps are no integers, an id is negative, a training
            rating is not finite, or there is no training row.
        ConfigurationError: If there is no window, one is negative, or `strength` is not above 0.

    Example:
        >>> users, items, times = [1, 1, 1, 2], [1, 2, 3, 1], [0, 10, 9999, 10]
        >>> near = session_surplus(users, items, [5, 5, 1, 3], times, np.array([0, 1, 2]), windows=[60])
        >>> [round(value, 2) for value in near[:, 0].tolist()]
        [0.21, 0.21, 0.0, 0.0]
    """
    if not len(windows) or min(windows) < 0:
        raise ConfigurationError(f"windows must be at least one number, each 0 or more. Received: windows={windows}")
    if strength <= 0:
        raise ConfigurationError(f"strength must be above 0. Received: strength={strength}")
    user, item, time = (
        _whole(column, name) for column, name in ((users, "users"), (items, "items"), (timestamps, "timestamps"))
    )
    stars = np.asarray(ratings, np.float64)
    lengths = {"users": len(user), "items": len(item), "ratings": len(stars), "timestamps": len(time)}
    if len(set(lengths.values())) != 1:
        raise DataError("the columns of ratings differ in length", received=lengths)
    if not len(train):
        raise DataError("there is no training row")
    if min(user.min(), item.min()) < 0:
        raise DataError("an id is negative", expected="ids of 0 or more", received=int(min(user.min(), item.min())))
    if not (known_stars := np.isfinite(stars[train])).all():
        row = int(np.asarray(train)[np.argmin(known_stars)])
        raise DataError("a training rating is not a number", row=row + 1, column="ratings", received=float(stars[row]))

    in_train = np.zeros(len(user), bool)
    in_train[train] = True
    above = np.where(in_train, stars - stars[train].mean(), 0.0)
    of_item = np.bincount(item, above) / (np.bincount(item, in_train) + strength)
    above = np.where(in_train, above - of_item[item], 0.0)
    others = np.bincount(user, in_train)[user] - in_train
    of_user = (np.bincount(user, above)[user] - above) / (others + strength)

    # One axis on which the users' times lie behind one another, too far apart for a window to reach the next user's.
    span = int(np.ptp(time)) + int(max(windows)) + 1
    place = user * span + (time - time.min())
    order = np.argsort(place, kind="stable")  # searches in ascending order are an order of magnitude faster
    place, above, of_user, in_train = place[order], above[order], of_user[order], in_train[order]
    known, sums = place[in_train], np.concatenate([[0.0], np.cumsum(above[in_train])])
    result = np.empty((len(place), len(windows)), np.float32)
    for column, window in enumerate(windows):
        first = np.searchsorted(known, place - window, side="left")
        end = np.searchsorted(known, place + window, side="right")
        count = end - first - in_train
        surplus = sums[end] - sums[first] - above - count * of_user
        result[order, column] = np.where(count > 0, surplus / (count + strength), 0.0)
    return result


def _whole(column: npt.ArrayLike, name: str) -> npt.NDArray[np.int64]:
    values = np.asarray(column)
    if values.dtype.kind not in "iu":
        raise DataError("the column does not hold integers", column=name, received=str(values.dtype))
    return values.astype(np.int64)
