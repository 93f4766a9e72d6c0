"""Splits of a table's rows into training, validation and test: at random, by class, group, time or user, or as given.

Each function returns a `Split` of row positions. `random`, `stratified`, `by_group`, `by_time`, `by_hash`, `folds` and
`kept_back` split rows that stand alone; the others split the rows of each user, and all but `given` leave every user
training rows.
Of n rows (of a user), floor(n · (1 − validation − test)) are for training, those up to floor(n · (1 − test)) for
validation, the rest for the test. Shares that are negative or leave nothing for training raise `ConfigurationError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import StratifiedKFold

from kmodels import checks
from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing import _split_rows as rows_of
from kmodels.preprocessing._split_rows import IntArray, Split, SplitWithUnseen

__all__ = [
    "Split",
    "SplitWithUnseen",
    "by_group",
    "by_hash",
    "by_time",
    "by_time_per_user",
    "folds",
    "given",
    "kept_back",
    "leave_last_out",
    "make",
    "parts_by_hash",
    "random",
    "random_per_user",
    "stratified",
    "time_rank",
]

#: The methods of `make`.
METHODS = ("random", "time", "leave-last-out", "given", "hash")


def make(
    method: str,
    users: npt.ArrayLike,
    items: npt.ArrayLike,
    timestamps: npt.ArrayLike | None = None,
    *,
    seed: int,
    in_test: npt.ArrayLike | None = None,
) -> Split:
    """Splits interactions by the method of that name, with its default shares.

    Args:
        method: "random", "time", "leave-last-out", "given" or "hash": `random_per_user`, `by_time_per_user`,
            `leave_last_out`, `given`, `by_hash`.
        users: Id of each row's user, integers or text, shape (rows,).
        items: Id of each row's item, likewise.
        timestamps: Time of each row, shape (rows,), for "time" and "leave-last-out". Default None.
        seed: Any integer.
        in_test: For "given", whether each row is in the test, shape (rows,). Default None.

    Raises:
        DataError: As the method raises it.
        ConfigurationError: An unknown method, a method by time without `timestamps`, or "given" without `in_test`.

    Example:
        >>> [len(part) for part in make("time", [1] * 20, range(20), range(20), seed=0)]
        [14, 3, 3]
    """
    if method == "random":
        return random_per_user(users, items, seed=seed)
    if method == "hash":
        return by_hash(users, items, seed=seed)
    if method == "given":
        if in_test is None:
            raise ConfigurationError("split 'given' needs in_test, which marks the test rows")
        return given(users, items, in_test, seed=seed)
    if method not in METHODS:
        raise ConfigurationError(f"unknown split; expected one of {', '.join(METHODS)}; received {method!r}")
    if timestamps is None:
        raise ConfigurationError(f"split {method!r} needs timestamps, which the data does not have")
    return (by_time_per_user if method == "time" else leave_last_out)(users, items, timestamps)


def random(rows: int, *, seed: int, validation: float = 0.15, test: float = 0.15) -> Split:
    """Splits rows at random.

    Args:
        rows: Number of rows.
        seed: Any integer from 0. The split depends on the order of the rows.
        validation: Share of the rows. Default 0.15.
        test: Share of the rows. Default 0.15.

    Raises:
        DataError: Too few rows to leave one for training.

    Example:
        >>> [len(part) for part in random(1569, seed=0, validation=0.1275, test=0.15)]
        [1133, 200, 236]
    """
    return rows_of.cut_rows(np.random.default_rng(seed).permutation(rows), validation, test)


def stratified(labels: npt.ArrayLike, *, seed: int, validation: float = 0.15, test: float = 0.15) -> Split:
    """Splits rows at random so that each class has nearly the same share in every part.

    Args:
        labels: Class of each row, integers or text, shape (rows,).
        seed: Any integer from 0. The split depends on the order of the rows.
        validation: Share of the rows. Default 0.15.
        test: Share of the rows. Default 0.15.

    Raises:
        DataError: Too few rows to leave one for training, or a class with too few rows for every part.

    Example:
        >>> labels = np.array([0] * 60 + [1] * 40)
        >>> [(len(part), int(labels[part].sum())) for part in stratified(labels, seed=0)]
        [(70, 28), (15, 6), (15, 6)]
    """
    classes = rows_of.class_column(labels)
    n_train, n_before_test = rows_of.row_counts(len(classes), validation, test)
    before, in_test = rows_of.draw_stratified(np.arange(len(classes)), len(classes) - n_before_test, classes, seed)
    train, in_validation = rows_of.draw_stratified(before, n_before_test - n_train, classes, seed)
    return Split(train, in_validation, in_test)


def folds(labels: npt.ArrayLike, *, seed: int, n_folds: int = 5, validation: float = 0.1) -> list[Split]:
    """Makes a split for each of several stratified folds, which is its test.

    Args:
        labels: Class of each row, integers or text, shape (rows,).
        seed: Any integer from 0. The splits depend on the order of the rows.
        n_folds: Number of folds, 2 or more. Default 5.
        validation: Share of all rows, rounded down, that validate in each split, drawn class by class. Default 0.1.

    Returns:
        A split for each fold. Every row is in exactly one test.

    Raises:
        DataError: A class with fewer rows than folds, or too few rows for every part.
        ConfigurationError: Fewer than two folds.

    Example:
        >>> labels = np.array([0] * 60 + [1] * 40)
        >>> [[len(part) for part in split] for split in folds(labels, n_folds=4, seed=0)]
        [[65, 10, 25], [65, 10, 25], [65, 10, 25], [65, 10, 25]]
    """
    classes = rows_of.class_column(labels)
    if n_folds < 2:
        raise ConfigurationError(f"n_folds must be 2 or more. Received: n_folds={n_folds}")
    rows_of.exact_shares(validation, 1 / n_folds)
    kinds, count = np.unique(classes, return_counts=True)
    if not len(kinds) or count.min() < n_folds:
        rarest = f"class {kinds[count.argmin()]!s} with {count.min()} rows" if len(kinds) else "no row"
        expected = f"{n_folds} rows of each class or more"
        raise DataError("too few rows for the folds", expected=expected, received=rarest)
    n_validation = int(len(classes) * Fraction(validation).limit_denominator(10**6))
    cut = StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(np.zeros(len(classes)), classes)
    return [
        Split(*rows_of.draw_stratified(others, n_validation, classes, seed + i), test)
        for i, (others, test) in enumerate(cut)
    ]


def by_time(times: npt.ArrayLike, *, validation: float = 0.15, test: float = 0.15, skip_missing: bool = False) -> Split:
    """Splits rows by time: the oldest for training, the newest for the test.

    Args:
        times: Time of each row, shape (rows,): numbers or datetime64. Ties keep the order of the rows.
        validation: Share of the rows. Default 0.15.
        test: Share of the rows. Default 0.15.
        skip_missing: Whether rows without a time are in no part; False, the default, refuses them.

    Raises:
        DataError: No rows with a time, missing times, or too few rows to leave one for training.

    Example:
        >>> [part.tolist() for part in by_time([1999, 1950, 2010, 1970], validation=0.25, test=0.25)]
        [[1, 3], [0], [2]]
    """
    column = np.asarray(times)
    known = np.flatnonzero(pd.notna(column)) if skip_missing else np.arange(len(column))
    rows_of.check_times(column[known], str(getattr(times, "name", None) or "timestamps"))
    return rows_of.cut_rows(known[np.argsort(column[known], kind="stable")], validation, test)


def by_group(groups: npt.ArrayLike, *, seed: int, validation: float = 0.15, test: float = 0.15) -> Split:
    """Splits groups of rows at random: no group has rows in two parts, and the shares are those of the groups.

    Args:
        groups: Group of each row, numbers, text or dates, shape (rows,), none missing.
        seed: Any integer from 0. The same seed gives the same groups, whatever the order of the rows.
        validation: Share of the groups. Default 0.15.
        test: Share of the groups. Default 0.15.

    Raises:
        DataError: No rows, a missing group, or too few groups to have one in every part.

    Example:
        >>> patients = np.repeat(["Ann", "Bob", "Cem", "Dee"], 3)
        >>> [sorted(set(patients[part].tolist())) for part in by_group(patients, seed=0)]
        [['Ann', 'Cem'], ['Bob'], ['Dee']]
    """
    codes = rows_of.sorted_codes(pd.Series(groups, name=getattr(groups, "name", "groups")).reset_index(drop=True))
    checks.refuse_rows(codes < 0, "the group is missing", getattr(groups, "name", "groups"))
    checks.same_length(groups=codes)
    kinds = np.unique(codes)
    parts = rows_of.cut_rows(np.random.default_rng(seed).permutation(kinds), validation, test)
    if not all(len(part) for part, share in zip(parts[1:], (validation, test), strict=True) if share):
        received = [len(part) for part in parts]
        raise DataError("too few groups", expected="a group in every part", received=received)
    return Split(*(np.flatnonzero(np.isin(codes, part)).astype(np.int64) for part in parts))


def kept_back(
    ids: Mapping[Any, npt.ArrayLike] | pd.DataFrame,
    *,
    seed: int,
    validation: float = 0.1,
    test: float = 0.1,
    unseen: float = 0.02,
) -> SplitWithUnseen:
    """Splits rows at random, and keeps all rows of some ids of each column back for the part "unseen".

    The rows that are not kept back are split as by `random`; test rows with an id that then has no training row are
    unseen too.

    Args:
        ids: Columns of ids, each of shape (rows,): a frame, or name -> column.
        seed: Any integer from 0. The split depends on the order of the rows.
        validation: Share of the rows that are not kept back. Default 0.1.
        test: Share of the rows that are not kept back. Default 0.1.
        unseen: Share of each column's distinct ids to keep back, rounded up, from 0 to below 1. Default 0.02.

    Raises:
        DataError: No column, or no row is left for training.

    Example:
        >>> user, item = np.divmod(np.arange(2500), 50)
        >>> split = kept_back({"user": user, "item": item}, seed=0)
        >>> [len(part) for part in split], len(set(user) - set(user[split.train]))
        ([1920, 240, 241, 99], 1)
    """
    shares = rows_of.exact_shares(validation, test)
    if not 0 <= unseen < 1:
        raise ConfigurationError(f"the share of unseen ids must be from 0 to below 1. Received: unseen={unseen}")
    codes = [rows_of.sorted_codes(pd.Series(ids[name])) for name in ids]
    if not codes:
        raise DataError("there is no column of ids to split by")
    rng, back = np.random.default_rng(seed), np.zeros(len(codes[0]), bool)
    for column in codes:
        distinct = np.unique(column)
        back |= np.isin(column, rng.permutation(distinct)[: ceil(unseen * len(distinct))])
    order = rng.permutation(np.flatnonzero(~back))
    n_train, n_before_test = (len(order) * share.numerator // share.denominator for share in shares)
    if n_train < 1:
        raise DataError("no row is left for training", received=f"{len(back)} rows, {back.sum()} kept back")
    train, rest = order[:n_train], np.concatenate([order[n_before_test:], np.flatnonzero(back)])
    known = np.all([np.isin(column[rest], column[train]) for column in codes], axis=0)
    parts = (train, order[n_train:n_before_test], rest[known], rest[~known])
    return SplitWithUnseen(*(np.sort(part).astype(np.int64) for part in parts))


def random_per_user(
    users: npt.ArrayLike, items: npt.ArrayLike, *, seed: int, validation: float = 0.15, test: float = 0.15
) -> Split:
    """Splits each user's rows at random, in the order of a hash of (seed, user, item).

    Args:
        users: Id of each row's user, integers or text, shape (rows,).
        items: Id of each row's item, likewise; a (user, item) pair occurs once.
        seed: Any integer. The same seed gives the same split, whatever the order of the rows.
        validation: Share of each user's rows. Default 0.15.
        test: Share of each user's rows. Default 0.15.

    Raises:
        DataError: No rows, different lengths, missing ids, a pair that occurs twice, or a user with too few rows to
            leave one for training.

    Example:
        >>> [len(part) for part in random_per_user([1] * 10 + [2] * 20, range(30), seed=0)]
        [21, 4, 5]
    """
    user_ids, item_ids = rows_of.id_columns(users, items)
    order = rows_of.order_by(user_ids, rows_of.hashed(seed, user_ids, item_ids))
    rows_of.check_distinct(order, users=users, items=items)
    return rows_of.cut_users(users, user_ids, order, validation, test)


def by_hash(
    users: npt.ArrayLike, items: npt.ArrayLike, *, seed: int, validation: float = 0.15, test: float = 0.15
) -> Split:
    """Splits rows at random, each by a hash of its own (seed, user, item) alone.

    A row is in the same part whatever rows are around it, so that a table can be split piece by piece. Parts have their
    shares in expectation: of n rows, a part with share p has n · p, give or take sqrt(n · p · (1 - p)). Some users may
    have no training rows. Rows that are alike in user and item are in one part.

    Args:
        users: Id of each row's user, integers or text, shape (rows,). Text is hashed by its letters (SipHash), so the
            text "7" is another user than the number 7.
        items: Id of each row's item, likewise.
        seed: Any integer.
        validation: Share of the rows. Default 0.15.
        test: Share of the rows. Default 0.15.

    Raises:
        DataError: Different lengths or missing ids.

    Example:
        >>> whole = by_hash(np.arange(100), np.arange(100), seed=0)
        >>> first = by_hash(np.arange(50), np.arange(50), seed=0)
        >>> whole.sizes, np.array_equal(first.test, whole.test[whole.test < 50])
        ({'train': 68, 'validation': 15, 'test': 17}, True)
    """
    parts = parts_by_hash(users, items, seed=seed, validation=validation, test=test)
    return Split(*(np.flatnonzero(parts == number) for number in range(3)))


def parts_by_hash(
    users: npt.ArrayLike, items: npt.ArrayLike, *, seed: int, validation: float = 0.15, test: float = 0.15
) -> npt.NDArray[np.int8]:
    """Gives the part of each row by `by_hash`, for tables that come piece by piece.

    Args:
        users: Id of each row's user, integers or text, shape (rows,); as for `by_hash`.
        items: Id of each row's item, likewise.
        seed: Any integer.
        validation: Share of the rows. Default 0.15.
        test: Share of the rows. Default 0.15.

    Returns:
        int8 (rows,): 0 for training, 1 for validation, 2 for the test.

    Raises:
        DataError: Different lengths or missing ids.

    Example:
        >>> parts_by_hash([1, 1, 2, 2, 3], [7, 8, 7, 8, 7], seed=0).tolist()
        [0, 0, 0, 0, 0]
    """
    return rows_of.hash_parts(seed, users, items, validation, test)


def by_time_per_user(
    users: npt.ArrayLike,
    items: npt.ArrayLike,
    timestamps: npt.ArrayLike,
    *,
    validation: float = 0.15,
    test: float = 0.15,
) -> Split:
    """Splits each user's rows by time: the earliest for training, the latest for the test.

    Args:
        users: Id of each row's user, integers or text, shape (rows,).
        items: Id of each row's item, likewise. A user's rows of one time are in the order of `time_rank`.
        timestamps: Time of each row, shape (rows,): numbers or datetime64, none missing.
        validation: Share of each user's rows. Default 0.15.
        test: Share of each user's rows. Default 0.15.

    Raises:
        DataError: No rows, different lengths, missing ids or times, two rows alike in user, item and time, or a user
            with too few rows to leave one for training.

    Example:
        >>> by_time_per_user([7] * 10, range(10), range(9, -1, -1)).test.tolist()
        [0, 1]
    """
    return rows_of.cut_users(users, *_time_order(users, items, timestamps), validation, test)


def leave_last_out(users: npt.ArrayLike, items: npt.ArrayLike, timestamps: npt.ArrayLike) -> Split:
    """Keeps each user's last row for the test and the last but one for validation.

    The arguments and errors are those of `by_time_per_user`; a user needs three rows.

    Example:
        >>> [part.tolist() for part in leave_last_out([5, 5, 5], [1, 2, 3], [30, 10, 20])]
        [[1], [2], [0]]
    """
    codes, order = _time_order(users, items, timestamps)
    _, rank, count = rows_of.ranks_of(codes[order])
    rows_of.check_train_rows(users, order, count - 2, count, needed=3)
    return rows_of.cut(order, rank, count - 2, count - 1)


def given(users: npt.ArrayLike, items: npt.ArrayLike, in_test: npt.ArrayLike, *, seed: int) -> Split:
    """Takes the test rows as given, and a tenth of each user's other rows, rounded down, at random for validation.

    A user all of whose rows are in the test has no training rows.

    Args:
        users: Id of each row's user, integers or text, shape (rows,).
        items: Id of each row's item, likewise; a (user, item) pair occurs once.
        in_test: Whether the row is a test row, bool, shape (rows,).
        seed: Any integer. The same seed gives the same split, whatever the order of the rows.

    Raises:
        DataError: No rows, different lengths, missing ids, marks that are not boolean, no row in the test or none
            outside it, or a pair that occurs twice.

    Example:
        >>> split = given([1] * 12, range(12), [True, True] + [False] * 10, seed=0)
        >>> [len(part) for part in split]
        [9, 1, 2]
    """
    marks = np.asarray(in_test)
    if marks.dtype != np.bool_:
        raise DataError("the test marks are not boolean", column="in_test", received=str(marks.dtype))
    user_ids, item_ids = rows_of.id_columns(users, items, in_test=marks)
    if not marks.any():
        raise DataError("no row is marked as a test row", column="in_test", expected="at least one True")
    if marks.all():
        raise DataError("no row is left for training", column="in_test", expected="at least one False")
    # A user's test rows come last, so that the rank of a training row is its rank among the training rows.
    order = np.lexsort((item_ids, rows_of.hashed(seed, user_ids, item_ids), marks, user_ids))
    rows_of.check_distinct(np.lexsort((item_ids, user_ids)), users=users, items=items)
    user, rank, _ = rows_of.ranks_of(user_ids[order])
    remaining = np.bincount(user, ~marks[order]).astype(np.int64)[user]
    return rows_of.cut(order, rank, remaining - remaining // 10, remaining)


def time_rank(users: npt.ArrayLike, items: npt.ArrayLike, timestamps: npt.ArrayLike) -> IntArray:
    """Ranks rows by time, those of equal times by a hash of their user and item.

    An order by the ids would make the last of equal rows a systematic choice: where ids are given in the order of
    appearance, of new and rare items. Splits by time and sequences have this order; it does not depend on that of the
    rows.

    Args:
        users: Id of each row's user, integers or text, shape (rows,); of a missing id, and of a missing item, the hash
            is that of all missing ones.
        items: Id of each row's item, likewise.
        timestamps: Time of each row, shape (rows,): numbers or datetime64; a missing one is the oldest.

    Returns:
        int64 (rows,), the ranks from 0, each once. The hash is of the positions of the ids among the sorted distinct
        ones: ids as integers and as text of the same order have the same ranks.

    Raises:
        DataError: Columns of different lengths, or of values without an order.

    Example:
        >>> time_rank([1, 1, 2], ["b", "a", "a"], [30, 10, 20]).tolist()
        [2, 0, 1]
    """
    ids = (("users", users), ("items", items))
    codes = {name: rows_of.sorted_codes(pd.Series(np.asarray(column), name=name)) for name, column in ids}
    times = np.asarray(timestamps)
    if times.dtype.kind != "i":  # whole numbers need no codes
        times = rows_of.sorted_codes(pd.Series(times, name="timestamps"))
    checks.same_length(0, **codes, timestamps=times)
    rank = np.empty(len(times), np.int64)
    order = rows_of.order_by(times.astype(np.int64), rows_of.hashed(0, codes["users"], codes["items"]))
    rank[order] = np.arange(len(rank))
    return rank


def require_classes(labels: npt.ArrayLike, split: Split, names: Sequence[str]) -> None:
    """Refuses a split of classes (integers from 0) in which one has no row in a part that has rows; names both."""
    classes = np.asarray(labels)
    for part, rows in split._asdict().items():
        counts = np.bincount(classes[rows], minlength=len(names))
        if len(rows) and not counts.all():
            raise DataError(
                f"class '{names[int(np.argmin(counts))]}' has no row in the {part} part",
                expected="rows of each class in every part",
                received=counts.tolist(),
            )


def _time_order(users: npt.ArrayLike, items: npt.ArrayLike, timestamps: npt.ArrayLike) -> tuple[IntArray, IntArray]:
    """Users as integers, and the order of the rows by user, time and, where times are equal, `time_rank`."""
    times = np.asarray(timestamps)
    user_ids, item_ids = rows_of.id_columns(users, items, timestamps=times)
    rows_of.check_times(times)
    rows_of.check_distinct(np.lexsort((item_ids, times, user_ids)), users=users, items=items, timestamps=times)
    return user_ids, np.lexsort((time_rank(user_ids, item_ids, times), user_ids))
