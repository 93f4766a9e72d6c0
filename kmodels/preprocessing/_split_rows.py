"""What the splits share: checks of their columns, orders of rows, and the cut of ordered rows into parts."""

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


def row_counts(rows: int, validation: float, test: float) -> tuple[int, int]:
    """Number of training rows, and of training and validation rows together."""
    train, until_test = exact_shares(validation, test)
    if rows * train < 1:
        raise DataError("too few rows to leave one for training", expected=f"at least {-(-1 // train)}", received=rows)
    return int(rows * train), int(rows * until_test)


def cut(order: IntArray, rank: IntArray, n_train: IntArray | int, n_before_test: IntArray | int) -> Split:
    """Cuts ordered rows by their rank (in their user): below `n_train`, from `n_before_test`, and those between."""
    train, test = rank < n_train, rank >= n_before_test
    return Split(*(np.sort(order[part]).astype(np.int64) for part in (train, ~(train | test), test)))


def cut_rows(order: IntArray, validation: float, test: float) -> Split:
    """Cuts ordered rows by shares."""
    return cut(order, np.arange(len(order)), *row_counts(len(order), validation, test))


def cut_users(users: npt.ArrayLike, codes: IntArray, order: IntArray, validation: float, test: float) -> Split:
    """Cuts the ordered rows of each user by shares; `users` are the ids as given, for messages."""
    train, until_test = exact_shares(validation, test)
    _, rank, count = ranks_of(codes[order])
    n_train, n_before_test = (count * share.numerator // share.denominator for share in (train, until_test))
    check_train_rows(users, order, n_train, count, needed=-(-1 // train))
    return cut(order, rank, n_train, n_before_test)


def ranks_of(sorted_users: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """For every row the number of its user, its rank within its user from 0, and the rows of its user."""
    is_first = np.ones(len(sorted_users), bool)
    is_first[1:] = sorted_users[1:] != sorted_users[:-1]
    starts, user = np.flatnonzero(is_first), np.cumsum(is_first) - 1
    sizes = np.diff(starts, append=len(sorted_users))
    return user, np.arange(len(sorted_users)) - starts[user], sizes[user]


def class_column(labels: npt.ArrayLike) -> npt.NDArray[Any]:
    """Takes one class per row."""
    classes = np.asarray(labels)
    kind = pd.api.types.infer_dtype(classes.reshape(-1), skipna=True)
    if classes.ndim != 1 or kind not in ("integer", "string", "boolean", "floating", "empty"):
        received = f"shape {classes.shape} of {kind}"
        raise DataError("labels are not a column", expected="shape (rows,) of one type", received=received)
    checks.refuse_rows(pd.isna(classes), "a label is missing", "labels")
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
    try:
        return pd.factorize(column, sort=True)[0].astype(np.int64)
    except TypeError as error:
        raise DataError(f"not a column of ids ({error})", column=str(column.name)) from error


def id_columns(users: npt.ArrayLike, items: npt.ArrayLike, **others: npt.NDArray[Any]) -> tuple[IntArray, IntArray]:
    """Takes ids as integers, those of text by their rank; all columns must be of one length, with a row or more."""
    user_ids, item_ids = _ids(users, "users"), _ids(items, "items")
    checks.same_length(users=user_ids, items=item_ids, **others)
    return user_ids, item_ids


def _ids(values: npt.ArrayLike, name: str) -> IntArray:
    array = np.asarray(values)
    if array.ndim == 1 and array.dtype.kind in "iu":
        return array.astype(np.int64)
    column = pd.Series(array.reshape(-1), dtype=object)
    if array.ndim != 1 or (len(column) and pd.api.types.infer_dtype(column, skipna=True) != "string"):
        received = f"shape {array.shape} of {array.dtype}"
        raise DataError("ids are not a column of integers or of text", column=name, received=received)
    checks.refuse_rows(column.isna(), "an id is missing", name)
    return sorted_codes(column)


def check_distinct(order: IntArray, **columns: npt.ArrayLike) -> None:
    """Refuses two rows that are alike in all columns; `order` brings such rows together."""
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    alike = np.all([column[order[1:]] == column[order[:-1]] for column in arrays.values()], axis=0)
    if alike.any():
        at = int(np.argmax(alike))
        first, second = sorted((int(order[at]), int(order[at + 1])))
        what = ", ".join(f"{name} {column[first]}" for name, column in arrays.items())
        raise DataError(f"this row repeats row {first + 1}", row=second + 1, expected="distinct rows", received=what)


def check_train_rows(users: npt.ArrayLike, order: IntArray, n_train: IntArray, count: IntArray, *, needed: int) -> None:
    """Refuses users that would be left without training rows."""
    if (lacking := n_train < 1).any():
        names = np.asarray(users)[order[lacking]]
        more = len(np.unique(names)) - 1
        others = f" (and {more} more users)" if more else ""
        message = f"user {names[0]}{others} would be left without training rows"
        raise DataError(message, expected=f"at least {needed} rows", received=f"{count[np.argmax(lacking)]} rows")


def hashed(seed: int, users: IntArray, items: IntArray) -> npt.NDArray[np.uint64]:
    """Scrambles (seed, user, item) into 64 bits, mixed as in splitmix64 (Steele et al., 2014)."""

    def mix(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        value = value + np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return value ^ (value >> np.uint64(31))

    start = np.array([seed % 2**64], np.uint64)
    return mix(mix(mix(start) ^ users.view(np.uint64)) ^ items.view(np.uint64))


def order_by(values: IntArray, hashes: npt.NDArray[np.uint64]) -> IntArray:
    """The order of `np.lexsort((hashes, values))`, for values of a short range several times faster."""
    # One key of 64 bits is sorted: the values, and as much of the hashes as fits. Rows that are equal there are sorted
    # once more in full.
    least = values.min(initial=0)
    bits = np.uint64((int(values.max(initial=0)) - int(least)).bit_length())
    key = ((values - least).view(np.uint64) << (np.uint64(64) - bits)) | (hashes >> bits)
    order = np.argsort(key)
    key = key[order]
    is_equal = np.zeros(len(order), bool)
    is_equal[1:] = key[1:] == key[:-1]
    is_equal[:-1] |= is_equal[1:]
    rows = order[is_equal]
    order[is_equal] = rows[np.lexsort((rows, hashes[rows], values[rows]))]
    return order


def hash_parts(
    seed: int, users: npt.ArrayLike, items: npt.ArrayLike, validation: float, test: float
) -> npt.NDArray[np.int8]:
    """The part of each row, 0 to 2 in the order of `Split`, by its own hash alone; text is hashed by its letters."""
    ids = [_stable_ids(values, name) for values, name in ((users, "users"), (items, "items"))]
    checks.same_length(0, users=ids[0], items=ids[1])
    limits = np.array([int(share * 2**64) - 1 for share in exact_shares(validation, test)], np.uint64)
    value = hashed(seed, *ids)
    return (value > limits[0]).astype(np.int8) + (value > limits[1])


def _stable_ids(values: npt.ArrayLike, name: str) -> IntArray:
    """Ids as integers that depend on no other row."""
    array = np.asarray(values)
    if array.ndim == 1 and array.dtype.kind in "iu":
        return array.astype(np.int64)
    _ids(values, name)
    return pd.util.hash_array(array.astype(object)).view(np.int64)


def check_times(times: npt.NDArray[Any], name: str = "timestamps") -> None:
    """Refuses what is no column of numbers or dates, or lacks one."""
    if times.ndim != 1 or times.dtype.kind not in "iufM":
        raise DataError("times are not a column of numbers or dates", column=name, received=str(times.dtype))
    checks.same_length(**{name: times})
    checks.refuse_rows(pd.isna(times), "a time is missing", name)
