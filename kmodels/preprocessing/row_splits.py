"""Splits of rows that stand alone into training, validation and test: at random, class by class, or in folds.

Interactions of users and items are split in `kmodels.preprocessing.splits`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedKFold, train_test_split

from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing.splits import IntArray, Split, exact_shares


def random_rows(rows: int, *, seed: int, validation: float = 0.15, test: float = 0.15) -> Split:
    """Splits rows at random, whatever is in them.

    The counts follow the rule of `kmodels.preprocessing.splits.random_per_user`. This is the split for a target
    that is itself cut by quantiles of the training rows: there are no classes yet to stratify by.

    Args:
        rows: Number of rows.
        seed: Any integer from 0. The split depends on the order of the rows.
        validation: Share of the rows, 0 or more.
        test: Share of the rows, 0 or more; with `validation` less than 1.

    Returns:
        The split.

    Raises:
        DataError: Too few rows to leave one for training.
        ConfigurationError: Shares that are negative or leave nothing for training.

    Example:
        >>> from kmodels.preprocessing.row_splits import random_rows
        >>> [len(part) for part in random_rows(1569, seed=0, validation=0.1275, test=0.15)]
        [1133, 200, 236]
    """
    n_train, n_before_test = _row_counts(rows, validation, test)
    order = np.random.default_rng(seed).permutation(rows)
    return Split(*(np.sort(part) for part in np.split(order, [n_train, n_before_test])))


def stratified(labels: npt.ArrayLike, *, seed: int, validation: float = 0.15, test: float = 0.15) -> Split:
    """Splits rows at random so that each class has nearly the same share in every part.

    The counts follow the rule of `kmodels.preprocessing.splits.random_per_user`.

    Args:
        labels: Class of each row, shape (rows,), integers or text.
        seed: Any integer from 0. The split depends on the order of the rows.
        validation: Share of the rows, 0 or more.
        test: Share of the rows, 0 or more; with `validation` less than 1.

    Returns:
        The split.

    Raises:
        DataError: Too few rows to leave one for training, or a class with too few rows for every part.
        ConfigurationError: Shares that are negative or leave nothing for training.

    Example:
        >>> from kmodels.preprocessing.row_splits import stratified
        >>> labels = np.array([0] * 60 + [1] * 40)
        >>> [(len(part), int(labels[part].sum())) for part in stratified(labels, seed=0)]
        [(70, 28), (15, 6), (15, 6)]
    """
    classes = np.asarray(labels)
    if classes.ndim != 1:
        raise DataError("labels are not a column", expected="shape (rows,)", received=f"shape {classes.shape}")
    n_train, n_before_test = _row_counts(len(classes), validation, test)
    before, in_test = _halve(np.arange(len(classes)), len(classes) - n_before_test, classes, seed)
    train, in_validation = _halve(before, n_before_test - n_train, classes, seed)
    return Split(train, in_validation, in_test)


def stratified_folds(labels: npt.ArrayLike, *, seed: int, folds: int = 5, validation: float = 0.1) -> list[Split]:
    """Splits rows into folds of nearly equal size and shares of the classes; each is the test part of one split.

    Of the other rows, floor(rows · validation) are drawn for validation, class by class.

    Args:
        labels: Class of each row, shape (rows,), integers or text.
        seed: Any integer from 0. The splits depend on the order of the rows.
        folds: Number of folds, 2 or more. Default 5.
        validation: Share of all rows that validate in each split, 0 or more. Default 0.1.

    Returns:
        A split for each fold. Every row is in exactly one test part.

    Raises:
        DataError: A class with fewer rows than folds, or too few rows for every part.
        ConfigurationError: Fewer than two folds, or a share that is negative or leaves nothing for training.

    Example:
        >>> from kmodels.preprocessing.row_splits import stratified_folds
        >>> labels = np.array([0] * 60 + [1] * 40)
        >>> [[len(part) for part in split] for split in stratified_folds(labels, folds=4, seed=0)]
        [[65, 10, 25], [65, 10, 25], [65, 10, 25], [65, 10, 25]]
        >>> [int(labels[split.test].sum()) for split in stratified_folds(labels, folds=4, seed=0)]
        [10, 10, 10, 10]
    """
    classes = np.asarray(labels)
    if classes.ndim != 1:
        raise DataError("labels are not a column", expected="shape (rows,)", received=f"shape {classes.shape}")
    if folds < 2:
        raise ConfigurationError(f"folds must be 2 or more. Received: folds={folds}")
    exact_shares(validation, 1 / folds)
    kinds, count = np.unique(classes, return_counts=True)
    if not len(kinds) or count.min() < folds:
        rarest = f"class {kinds[count.argmin()]!s} with {count.min()} rows" if len(kinds) else "no row"
        raise DataError("too few rows for the folds", expected=f"{folds} rows of each class or more", received=rarest)
    n_validation = int(len(classes) * Fraction(validation).limit_denominator(10**6))
    cut = StratifiedKFold(folds, shuffle=True, random_state=seed).split(np.zeros(len(classes)), classes)
    return [Split(*_halve(others, n_validation, classes, seed + i), test) for i, (others, test) in enumerate(cut)]


def require_classes(labels: npt.ArrayLike, split: Split, names: Sequence[str]) -> None:
    """Checks that every class has a row in every part of a split, as metrics and training need.

    Args:
        labels: Class of each row, shape (rows,), integers from 0.
        split: The split; a part without rows is passed over.
        names: Name of each class, for the message.

    Raises:
        DataError: A class without a row in a part; names the class and the part.

    Example:
        >>> from kmodels.preprocessing.row_splits import require_classes
        >>> from kmodels.preprocessing.splits import Split
        >>> parts = Split(np.array([0, 1]), np.array([], np.int64), np.array([2]))
        >>> require_classes([0, 1, 1], parts, ("low", "high"))
        Traceback (most recent call last):
        kmodels.errors.DataError: class 'low' has no row in the test part; expected rows of each class in every
        part; received [0, 1]
    """
    classes = np.asarray(labels)
    for part, rows in split._asdict().items():
        counts = np.bincount(classes[rows], minlength=len(names))
        if len(rows) and not counts.all():
            raise DataError(
                f"class '{names[int(np.argmin(counts))]}' has no row in the {part} part",
                expected="rows of each class in every part",
                received=counts.tolist(),
            )


def _row_counts(rows: int, validation: float, test: float) -> tuple[int, int]:
    """Number of training rows, and of training and validation rows together."""
    train, until_test = exact_shares(validation, test)
    n_train = rows * train.numerator // train.denominator
    if n_train < 1:
        needed = -(-train.denominator // train.numerator)
        raise DataError("too few rows to leave one for training", expected=f"at least {needed}", received=rows)
    return n_train, rows * until_test.numerator // until_test.denominator


def _halve(rows: IntArray, n_second: int, classes: npt.NDArray[Any], seed: int) -> tuple[IntArray, IntArray]:
    """Draws `n_second` of the rows, class by class; returns the others and them."""
    if not n_second:
        return rows, rows[:0]
    kinds, count = np.unique(classes[rows], return_counts=True)
    smallest = int(np.argmin(count))
    if count[smallest] < 2 or n_second < len(kinds) or len(rows) - n_second < len(kinds):
        raise DataError(
            "too few rows to have every class in every part",
            expected=f"{len(kinds)} rows or more in each part and 2 or more of each class",
            received=f"a part of {n_second} of {len(rows)} rows, class {kinds[smallest]!s} with {count[smallest]}",
        )
    first, second = train_test_split(rows, test_size=n_second, random_state=seed, stratify=classes[rows])
    return np.sort(first), np.sort(second)
