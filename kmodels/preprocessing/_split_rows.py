"""What the splits share: checks of id columns, orders of rows, and the cut of an ordered user into parts."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import train_test_split

from kmodels import checks
from kmodels.errors import ConfigurationError, DataError

IntArray = npt.NDArray[np.int64]
Parts = tuple[IntArray, IntArray, IntArray]


class Split(NamedTuple):
    """Row positions of the three parts: int64, ascending, disjoint, together every row exactly once."""

    train: IntArray
    validation: IntArray
    test: IntArray

    @property
    def sizes(self) -> dict[str, int]:
        """Part -> its number of rows."""
        return {part: len(rows) for part, rows in self._asdict().items()}


class SplitWithUnseen(NamedTuple):
    """As `Split`, with the test rows in two parts: those whose ids all have training rows, and the others."""

    train: IntArray
    validation: IntArray
    test: IntArray
    unseen: IntArray

    @property
    def sizes(self) -> dict[str, int]:
        """Part -> its number of rows."""
        return {part: len(rows) for part, rows in self._asdict().items()}


def exact_shares(validation: float, test: float) -> tuple[Fraction, Fraction]:
    """Returns the shares of train and of train + validation, exact: floats put (1 - 0.15 - 0.15) · 90 below 63."""
    if not (validation >= 0 and test >= 0 and validation + test < 1):
        raise ConfigurationError(
            "the shares of validation and test must be 0 or more and leave something for training; "
            f"received validation={validation}, test={test}"
        )
    exact = [Fraction(share).limit_denominator(10**6) for share in (validation, test)]
    return 1 - exact[0] - exact[1], 1 - exact[1]


def row_counts(rows: int, validation: float, test: float) -> list[int]:
    """Number of training rows, and of training and validation rows together."""
    train, until_test = exact_shares(validation, test)
    n_train = rows * train.numerator // train.denominator
    if n_train < 1:
        needed = -(-train.denominator // train.numerator)
        raise DataError("too few rows to leave one for training", expected=f"at least {needed}", received=rows)
    return [n_train, rows * until_test.numerator // until_test.denominator]


def class_column(labels: npt.ArrayLike) -> npt.NDArray[Any]:
    """Takes one class per row."""
    classes = np.asarray(labels)
    if classes.ndim != 1:
        raise DataError("labels are not a column", expected="shape (rows,)", received=f"shape {classes.shape}")
    return classes


def draw_stratified(rows: IntArray, n_drawn: int, classes: npt.NDArray[Any], seed: int) -> tuple[IntArray, IntArray]:
    """Draws `n_drawn` of the rows, class by class; returns the others and them."""
    if not n_drawn:
        return rows, rows[:0]
    kinds, count = np.unique(classes[rows], return_counts=True)
    smallest = int(np.argmin(count))
    if count[smallest] < 2 or n_drawn < len(kinds) or len(rows) - n_drawn < len(kinds):
        raise DataError(
            "too few rows to have every class in every part",
            expected=f"{len(kinds)} rows or more in each part and 2 or more of each class",
            received=f"a part of {n_drawn} of {len(rows)} rows, class {kinds[smallest]!s} with {count[smallest]}",
        )
    others, drawn = train_test_split(rows, test_size=n_drawn, random_state=seed, stratify=classes[rows])
    return np.sort(others), np.sort(drawn)


def sorted_codes(column: pd.Series[Any]) -> IntArray:
    """Position of each row's value among the column's sorted values (a categorical's own order); -1 where missing."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy().astype(np.int64)
    return pd.factorize(column, sort=True)[0].astype(np.int64)


def id_column(values: npt.ArrayLike, name: str) -> IntArray:
    """Takes ids as integers: integers as they are, text by its position among the sorted values."""
    array = np.asarray(values)
    if array.ndim == 1 and array.dtype.kind in "iu":
        return array.astype(np.int64)
    column = pd.Series(array.reshape(-1))
    if array.ndim != 1 or (len(column) and pd.api.types.infer_dtype(column, skipna=True) != "string"):
        received = f"shape {array.shape} of {array.dtype}"
        raise DataError("ids are not a column of integers or of text", column=name, received=received)
    if column.isna().any():
        raise DataError("an id is missing", row=int(column.isna().to_numpy().argmax()) + 1, column=name)
    return sorted_codes(column)


def check_distinct(order: npt.NDArray[np.intp], **columns: npt.ArrayLike) -> None:
    """Refuses two rows that are alike in all columns; `order` brings such rows together."""
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    alike = np.ones(len(order) - 1, bool)
    for column in arrays.values():
        alike &= column[order[1:]] == column[order[:-1]]
    if alike.any():
        at = int(np.argmax(alike))
        first, second = sorted((int(order[at]), int(order[at + 1])))
        what = ", ".join(f"{name} {column[first]}" for name, column in arrays.items())
        raise DataError(f"this row repeats row {first + 1}", row=second + 1, expected="distinct rows", received=what)


def hashed(seed: int, users: IntArray, items: IntArray) -> npt.NDArray[np.uint64]:
    """Scrambles (seed, user, item) into 64 bits, mixed as in splitmix64 (Steele et al., 2014)."""

    def mix(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        value = value + np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return value ^ (value >> np.uint64(31))

    start = np.array([seed % 2**64], np.uint64)
    return mix(mix(mix(start) ^ users.view(np.uint64)) ^ items.view(np.uint64))


def random_order(seed: int, users: IntArray, items: IntArray) -> npt.NDArray[np.intp]:
    """Rows by user, those of a user by hash; rows of equal hash by item."""
    hashes = hashed(seed, users, items)
    if int(users.max()) - int(users.min()) < 2**24:
        # One sort of numbers is quicker than one of three columns, and as good where no two are alike.
        numbers = (users - users.min()).astype(np.uint64) << np.uint64(40) | hashes >> np.uint64(24)
        order = np.argsort(numbers)
        ordered = numbers[order]
        if (ordered[1:] > ordered[:-1]).all():
            return order
    return np.lexsort((items, hashes, users))


def time_order(
    users: npt.ArrayLike, items: npt.ArrayLike, timestamps: npt.ArrayLike
) -> tuple[IntArray, npt.NDArray[np.intp]]:
    """Users as integers, and the order of the rows by user, time and item."""
    user_ids, item_ids, times = id_column(users, "users"), id_column(items, "items"), np.asarray(timestamps)
    checks.same_length(users=user_ids, items=item_ids, timestamps=times)
    if times.ndim != 1 or times.dtype.kind not in "iufM":
        raise DataError("times are not a column of numbers or dates", column="timestamps", received=str(times.dtype))
    missing = np.isnat(times) if times.dtype.kind == "M" else np.isnan(times)
    if missing.any():
        raise DataError("a time is missing", row=int(np.argmax(missing)) + 1, column="timestamps")
    order = np.lexsort((item_ids, times, user_ids))
    check_distinct(order, users=users, items=items, timestamps=times)
    return user_ids, order


def ranks_of(sorted_users: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """For every row the number of its user, its rank within its user from 0, and the rows of its user."""
    _, starts, user, sizes = np.unique(sorted_users, return_index=True, return_inverse=True, return_counts=True)
    return user, np.arange(len(sorted_users)) - starts[user], sizes[user]


def cut_each_user(
    users: IntArray, names: npt.NDArray[Any], order: npt.NDArray[np.intp], train: Fraction, until_test: Fraction
) -> Parts:
    """Cuts each user's ordered rows by exact shares; `names` has the users' ids as given, for the message."""
    _, rank, count = ranks_of(users[order])
    n_train = count * train.numerator // train.denominator
    check_train_rows(names[order], n_train, count, needed=-(-train.denominator // train.numerator))
    n_before_test = count * until_test.numerator // until_test.denominator
    return parts_of(order, rank < n_train, rank >= n_before_test)


def parts_of(order: npt.NDArray[np.intp], train: npt.NDArray[np.bool_], test: npt.NDArray[np.bool_]) -> Parts:
    """Row positions of the three parts, from marks of the ordered rows."""
    train_rows, validation_rows, test_rows = (
        np.sort(order[part]).astype(np.int64) for part in (train, ~(train | test), test)
    )
    return train_rows, validation_rows, test_rows


def check_train_rows(
    sorted_users: npt.NDArray[Any], n_train: IntArray, count: IntArray, *, needed: int, kind: str = "rows"
) -> None:
    """Refuses users that would be left without training rows."""
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
