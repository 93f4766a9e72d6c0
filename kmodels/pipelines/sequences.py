"""Each user's items in the order of time, and the next item at each position as a target."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kmodels import checks
from kmodels.errors import DataError
from kmodels.pipelines.batches import Batches


def item_sequences(
    users: npt.NDArray[Any], items: npt.NDArray[Any], times: npt.ArrayLike, *, n_users: int, length: int
) -> npt.NDArray[np.int32]:
    """Each user's last items, oldest first: what a sequential model such as `models.sasrec` is asked with.

    Args:
        users: (rows,) user ids, 0 (unknown) to n_users - 1.
        items: (rows,) item ids, 0 (unknown) or more; rows with an unknown id are left out.
        times: (rows,) numbers, such as the ranks of `splits.time_rank`; rows of one user and equal times keep
            their order.
        n_users: Rows of the users' table, row 0 included.
        length: Items of a sequence; of more, the last ones are taken.

    Returns:
        int32 (n_users, length): row u has the items of user u, padded with 0 at the left.

    Raises:
        DataError: If the arrays differ in length, an id is out of range or a time is missing.

    Example:
        >>> users, items, times = np.array([1, 2, 1, 1]), np.array([5, 6, 7, 8]), np.array([30, 0, 10, 20])
        >>> item_sequences(users, items, times, n_users=3, length=2).tolist()
        [[0, 0], [8, 5], [0, 6]]
    """
    users, items, time = checks.ids(users, "users", n_users), checks.ids(items, "items"), checks.numbers(times, "times")
    checks.same_length(users=users, items=items, times=time)
    checks.refuse_rows(items < 0, "an id is out of range", "items", expected="0 or more", values=items)
    order = np.lexsort((time, users))
    order = order[(users[order] > 0) & (items[order] > 0)]
    user, item = users[order], items[order]
    ends = np.cumsum(np.bincount(user, minlength=n_users))
    position = length - ends[user] + np.arange(len(user))
    result = np.zeros((n_users, length), np.int32)
    last = position >= 0
    result[user[last], position[last]] = item[last]
    return result


def next_item_batches(sequences: npt.NDArray[np.int32], *, batch_size: int = 128, seed: int = 0) -> Batches:
    """Makes training batches of sequences: at each position, the target is the next item.

    Args:
        sequences: int32 (users, length + 1), padded with 0 at the left, as of `item_sequences`; those of less than two
            items are left out.
        batch_size: Sequences of a batch. Default 128.
        seed: Seed of their order. Default 0.

    Returns:
        Shuffled batches of equal size: input `sequence`, int32 (batch, length), all items but the last; target int32
        (batch, length), all items but the first; sample weights float32 (batch, length), 0 where the sequence is
        padding and 1 elsewhere.

    Raises:
        DataError: If no sequence has two items.

    Example:
        >>> inputs, target, weight = next_item_batches(np.array([[0, 0, 5, 3], [0, 0, 0, 2]], "int32"))[0]
        >>> inputs["sequence"].tolist(), target.tolist(), weight.tolist()
        ([[0, 0, 5]], [[0, 5, 3]], [[0.0, 0.0, 1.0]])
    """
    some = sequences[sequences[:, -2] > 0]
    if not len(some):
        raise DataError("no sequence has two items", received=f"{len(sequences)} sequences")
    given, target = some[:, :-1], some[:, 1:]
    weight = (given > 0).astype(np.float32)
    order: dict[str, Any] = {"batch_size": batch_size, "shuffle": True, "seed": seed, "drop_remainder": True}
    return Batches({"sequence": given}, target, sample_weight=weight, **order)
