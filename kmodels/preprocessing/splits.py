"""Splits of interactions into training, validation and test rows, user by user.

Arrays of ids go in, a `Split` of row positions comes out. A random split orders the rows of a user by a hash
of (seed, user, item), so the same rows make the same split however the table is sorted.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kmodels.errors import ConfigurationError, DataError

IntArray = npt.NDArray[np.int64]


class Split(NamedTuple):
    """Row positions of the three parts: int64, ascending, disjoint, together every row exactly once."""

    train: IntArray
    validation: IntArray
    test: IntArray


METHODS = ("random", "time", "leave-last-out", "given")


def make(
    method: str,
    users: npt.ArrayLike,
    items: npt.ArrayLike,
    timestamps: npt.ArrayLike,
    *,
    seed: int,
    in_test: npt.ArrayLike | None = None,
) -> Split:
    """Splits by the method of that name, with its usual shares.

    Args:
        method: "random", "time", "leave-last-out" or "given": `random_per_user`, `by_time`, `leave_last_out`, `given`.
        users: Raw user ids, shape (rows,), any integers.
        items: Raw item ids, shape (rows,), any integers.
        timestamps: When each row happened, shape (rows,).
        seed: Any integer.
        in_test: For "given", whether each row is in the test, shape (rows,). Default None.

    Returns:
        The split.

    Raises:
        DataError: What the method itself refuses.
        ConfigurationError: Another method, or "given" without `in_test`.

    Example:
        >>> from kmodels.preprocessing import splits
        >>> [len(part) for part in splits.make("time", [1] * 20, range(20), range(20), seed=0)]
        [14, 3, 3]
    """
    match method:
        case "random":
            return random_per_user(users, items, seed=seed)
        case "time":
            return by_time(users, items, timestamps)
        case "leave-last-out":
            return leave_last_out(users, items, timestamps)
        case "given" if in_test is not None:
            return given(users, items, in_test, seed=seed)
        case "given":
            raise ConfigurationError("a given split needs to be told which rows are in the test")
    raise ConfigurationError(f"unknown split; expected one of {', '.join(METHODS)}; received {method!r}")


def random_per_user(
    users: npt.ArrayLike, items: npt.ArrayLike, *, seed: int, validation: float = 0.15, test: float = 0.15
) -> Split:
    """Splits each user's rows at random.

    Of a user's n rows the first floor(n · (1 − validation − test)) of a random order are for training, those
    up to floor(n · (1 − test)) for validation, and the rest for the test, so a test part is never rounded
    down.

    Args:
        users: Raw user ids, shape (rows,), any integers.
        items: Raw item ids, shape (rows,), any integers; a (user, item) pair occurs once.
        seed: Any integer. The same seed gives the same split, whatever the order of the rows.
        validation: Share of each user's rows, 0 or more.
        test: Share of each user's rows, 0 or more; with `validation` less than 1.

    Returns:
        The split.

    Raises:
        DataError: No rows, different lengths, ids that are not integers, a pair that occurs twice, or a user
            with too few rows to leave one for training.
        ConfigurationError: Shares that are negative or leave nothing for training.

    Example:
        >>> from kmodels.preprocessing.splits import random_per_user
        >>> split = random_per_user([1] * 10 + [2] * 20, list(range(30)), seed=0)
        >>> [len(part) for part in split]
        [21, 4, 5]
    """
    shares = exact_shares(validation, test)
    users, items = _ids(users, "users"), _ids(items, "items")
    _check_lengths(users=users, items=items)
    order = _random_order(seed, users, items)
    _check_distinct(order, users=users, items=items)
    return _cut(users, order, *shares)


def by_time(
    users: npt.ArrayLike,
    items: npt.ArrayLike,
    timestamps: npt.ArrayLike,
    *,
    validation: float = 0.15,
    test: float = 0.15,
) -> Split:
    """Splits each user's rows by time: the earliest for training, the latest for the test.

    The counts are those of `random_per_user`. Rows of one user and one time are taken in the order of their
    item ids.

    Args:
        users: Raw user ids, shape (rows,), any integers.
        items: Raw item ids, shape (rows,), any integers.
        timestamps: When each row happened, shape (rows,): numbers or datetime64, without missing values.
        validation: Share of each user's rows, 0 or more.
        test: Share of each user's rows, 0 or more; with `validation` less than 1.

    Returns:
        The split.

    Raises:
        DataError: No rows, different lengths, ids that are not integers, missing times, two rows alike in
            user, item and time, or a user with too few rows to leave one for training.
        ConfigurationError: Shares that are negative or leave nothing for training.

    Example:
        >>> from kmodels.preprocessing.splits import by_time
        >>> by_time([7] * 10, list(range(10)), list(range(9, -1, -1))).test.tolist()
        [0, 1]
    """
    shares = exact_shares(validation, test)
    users, order = _time_order(users, items, timestamps)
    return _cut(users, order, *shares)


def leave_last_out(users: npt.ArrayLike, items: npt.ArrayLike, timestamps: npt.ArrayLike) -> Split:
    """Keeps each user's last row for the test and the last but one for validation.

    Args:
        users: Raw user ids, shape (rows,), any integers.
        items: Raw item ids, shape (rows,), any integers; they order the rows of one user and one time.
        timestamps: When each row happened, shape (rows,): numbers or datetime64, without missing values.

    Returns:
        The split.

    Raises:
        DataError: No rows, different lengths, ids that are not integers, missing times, two rows alike in
            user, item and time, or a user with fewer than three rows.

    Example:
        >>> from kmodels.preprocessing.splits import leave_last_out
        >>> [part.tolist() for part in leave_last_out([5, 5, 5], [1, 2, 3], [30, 10, 20])]
        [[1], [2], [0]]
    """
    users, order = _time_order(users, items, timestamps)
    rank, count = _rank_and_count(users[order])
    _check_train_rows(users[order], count - 2, count, needed=3)
    return _parts(order, rank < count - 2, rank == count - 1)


def oldest_first(times: npt.ArrayLike, *, validation: float = 0.15, test: float = 0.15) -> Split:
    """Splits rows that stand alone by time: the oldest for training, the newest for the test.

    The counts are those of `random_per_user`, over all rows. Rows of one time are taken in their own order.

    Args:
        times: When each row happened, shape (rows,): numbers or datetime64, without missing values.
        validation: Share of the rows, 0 or more.
        test: Share of the rows, 0 or more; with `validation` less than 1.

    Returns:
        The split.

    Raises:
        DataError: No rows, missing times, or too few rows to leave one for training.
        ConfigurationError: Shares that are negative or leave nothing for training.

    Example:
        >>> from kmodels.preprocessing.splits import oldest_first
        >>> [part.tolist() for part in oldest_first([1999, 1950, 2010, 1970], validation=0.25, test=0.25)]
        [[1, 3], [0], [2]]
    """
    train, until_test = exact_shares(validation, test)
    rows = np.arange(len(np.asarray(times)))
    # As the rows of one user, each with an item of its own.
    _, order = _time_order(np.zeros_like(rows), rows, times)
    ends = [len(rows) * share.numerator // share.denominator for share in (train, until_test)]
    if not ends[0]:
        needed = -(-train.denominator // train.numerator)
        raise DataError("too few rows to leave one for training", expected=f"at least {needed}", received=len(rows))
    return Split(*(np.sort(part).astype(np.int64) for part in np.split(order, ends)))


def given(users: npt.ArrayLike, items: npt.ArrayLike, in_test: npt.ArrayLike, *, seed: int) -> Split:
    """Takes the test rows as given, and a tenth of each user's other rows, at random, for validation.

    A user with n rows outside the test keeps floor(n / 10) of them for validation.

    Args:
        users: Raw user ids, shape (rows,), any integers.
        items: Raw item ids, shape (rows,), any integers; a (user, item) pair occurs once.
        in_test: True where the row is a test row, boolean, shape (rows,).
        seed: Any integer. The same seed gives the same split, whatever the order of the rows.

    Returns:
        The split.

    Raises:
        DataError: No rows, different lengths, ids that are not integers, marks that are not boolean, no row
            in the test, a pair that occurs twice, or a user all of whose rows are in the test.

    Example:
        >>> from kmodels.preprocessing.splits import given
        >>> split = given([1] * 12, list(range(12)), [True, True] + [False] * 10, seed=0)
        >>> [len(part) for part in split]
        [9, 1, 2]
    """
    users, items, marks = _ids(users, "users"), _ids(items, "items"), np.asarray(in_test)
    if marks.dtype != np.bool_:
        raise DataError("the test marks are not boolean", column="in_test", received=str(marks.dtype))
    _check_lengths(users=users, items=items, in_test=marks)
    if not marks.any():
        raise DataError("no row is marked as a test row", column="in_test", expected="at least one True")
    # Test rows come last in each user, so that the rank of a training row is its rank among the training
    # rows.
    order = np.lexsort((items, _hash(seed, users, items), marks, users))
    _check_distinct(np.lexsort((items, users)), users=users, items=items)
    starts, count = _groups(users[order])
    remaining = np.repeat(np.add.reduceat((~marks[order]).astype(np.int64), starts), count[starts])
    _check_train_rows(users[order], remaining, count, needed=1, kind="rows outside the test")
    rank = np.arange(len(order)) - np.repeat(starts, count[starts])
    return _parts(order, rank < remaining - remaining // 10, marks[order])


def exact_shares(validation: float, test: float) -> tuple[Fraction, Fraction]:
    """Returns the shares of train and of train + validation, exact: floats put (1 - 0.15 - 0.15) · 90 below 63."""
    if not (validation >= 0 and test >= 0 and validation + test < 1):
        raise ConfigurationError(
            "the shares of validation and test must be 0 or more and leave something for training; "
            f"received validation={validation}, test={test}"
        )
    exact = [Fraction(share).limit_denominator(10**6) for share in (validation, test)]
    return 1 - exact[0] - exact[1], 1 - exact[1]


def _ids(values: npt.ArrayLike, name: str) -> IntArray:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise DataError(
            "ids are not a column of integers",
            column=name,
            expected="shape (rows,) of an integer dtype",
            received=f"shape {array.shape} of {array.dtype}",
        )
    return array.astype(np.int64)


def _check_lengths(**columns: npt.NDArray[Any]) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError("the columns differ in length", received=lengths)
    if min(lengths.values()) == 0:
        raise DataError("there are no rows to split", expected="at least one row")


def _hash(seed: int, users: IntArray, items: IntArray) -> npt.NDArray[np.uint64]:
    """Scrambles (seed, user, item) into 64 bits, mixed as in splitmix64 (Steele et al., 2014)."""

    def mix(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        value = value + np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return value ^ (value >> np.uint64(31))

    start = np.array([seed % 2**64], np.uint64)
    return mix(mix(mix(start) ^ users.view(np.uint64)) ^ items.view(np.uint64))


def _random_order(seed: int, users: IntArray, items: IntArray) -> npt.NDArray[np.intp]:
    """Rows by user, those of a user by hash; rows of equal hash by item."""
    hashes = _hash(seed, users, items)
    if int(users.max()) - int(users.min()) < 2**24:
        # One sort of numbers is quicker than one of three columns, and as good where no two are alike.
        numbers = (users - users.min()).astype(np.uint64) << np.uint64(40) | hashes >> np.uint64(24)
        order = np.argsort(numbers)
        ordered = numbers[order]
        if (ordered[1:] > ordered[:-1]).all():
            return order
    return np.lexsort((items, hashes, users))


def _time_order(
    users: npt.ArrayLike, items: npt.ArrayLike, timestamps: npt.ArrayLike
) -> tuple[IntArray, npt.NDArray[np.intp]]:
    """The checked users, and the order of the rows by user, time and item."""
    users, items, times = _ids(users, "users"), _ids(items, "items"), np.asarray(timestamps)
    _check_lengths(users=users, items=items, timestamps=times)
    if times.ndim != 1 or times.dtype.kind not in "iufM":
        raise DataError("times are not a column of numbers or dates", column="timestamps", received=str(times.dtype))
    missing = np.isnat(times) if times.dtype.kind == "M" else np.isnan(times)
    if missing.any():
        raise DataError("a time is missing", row=int(np.argmax(missing)) + 1, column="timestamps")
    order = np.lexsort((items, times, users))
    _check_distinct(order, users=users, items=items, timestamps=times)
    return users, order


def _check_distinct(order: npt.NDArray[np.intp], **columns: npt.NDArray[Any]) -> None:
    """Raises if two rows are alike in all columns; `order` brings such rows together."""
    alike = np.ones(len(order) - 1, bool)
    for column in columns.values():
        alike &= column[order[1:]] == column[order[:-1]]
    if alike.any():
        at = int(np.argmax(alike))
        first, second = sorted((int(order[at]), int(order[at + 1])))
        what = ", ".join(f"{name} {column[first]}" for name, column in columns.items())
        raise DataError(f"this row repeats row {first + 1}", row=second + 1, expected="distinct rows", received=what)


def _groups(sorted_users: IntArray) -> tuple[npt.NDArray[np.intp], IntArray]:
    """Where each user's rows start, and for every row the number of rows of its user."""
    starts = np.flatnonzero(np.r_[True, sorted_users[1:] != sorted_users[:-1]])
    sizes = np.diff(np.r_[starts, len(sorted_users)])
    return starts, np.repeat(sizes, sizes)


def _rank_and_count(sorted_users: IntArray) -> tuple[IntArray, IntArray]:
    starts, count = _groups(sorted_users)
    return np.arange(len(sorted_users)) - np.repeat(starts, count[starts]), count


def _cut(users: IntArray, order: npt.NDArray[np.intp], train: Fraction, until_test: Fraction) -> Split:
    rank, count = _rank_and_count(users[order])
    n_train = count * train.numerator // train.denominator
    _check_train_rows(users[order], n_train, count, needed=-(-train.denominator // train.numerator))
    n_before_test = count * until_test.numerator // until_test.denominator
    return _parts(order, rank < n_train, rank >= n_before_test)


def _parts(order: npt.NDArray[np.intp], train: npt.NDArray[np.bool_], test: npt.NDArray[np.bool_]) -> Split:
    validation = ~(train | test)
    return Split(*(np.sort(order[part]).astype(np.int64) for part in (train, validation, test)))


def _check_train_rows(
    sorted_users: IntArray, n_train: IntArray, count: IntArray, *, needed: int, kind: str = "rows"
) -> None:
    lacking = n_train < 1
    if lacking.any():
        at = int(np.argmax(lacking))
        more = len(np.unique(sorted_users[lacking])) - 1
        others = f" (and {more} more users)" if more else ""
        received = f"{count[at]} rows" if kind == "rows" else f"{count[at]} rows, all of them in the test"
        raise DataError(
            f"user {sorted_users[at]}{others} would be left without training rows",
            expected=f"at least {needed} {kind}",
            received=received,
        )
