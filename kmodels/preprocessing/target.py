"""The target of a model: labels to class ids or amounts to standardised numbers, and the way back."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels import checks
from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing import _cells
from kmodels.preprocessing._infer import infer_kind
from kmodels.preprocessing.columns import Category, Number
from kmodels.preprocessing.encoders import Encoder
from kmodels.preprocessing.standardizer import Standardizer

_MOST_CLASSES = 20


@dataclass(frozen=True)
class Target(Encoder):
    """What a model predicts, as numbers that it can learn; made by `classes`, `quantiles`, `amount` or `infer`.

    Attributes:
        labels: The classes in the order of their ids; empty for an amount.
        scaler: Mean and scale of an amount (of its logarithm where `log`); None for classes.
        log: Whether an amount is learnt as log(1 + amount).
        edges: For `quantiles`, the inner edges of the classes, ascending, in the amounts' own unit.

    Example:
        >>> kind = Target.classes(["no", "yes", "no"])
        >>> kind.transform(["yes", "no"]).tolist(), kind.inverse([[0.2, 0.8], [0.6, 0.4]]).tolist()
        ([1, 0], ['yes', 'no'])
        >>> price = Target.amount([10.0, 30.0])
        >>> price.transform([50.0]).tolist(), price.inverse([[3.0]]).tolist()
        ([[3.0]], [50.0])
    """

    labels: tuple[int, ...] | tuple[str, ...] = ()
    scaler: Standardizer | None = None
    log: bool = False
    edges: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        classes = len(set(map(str, self.labels)))
        if classes != len(self.labels) or classes == 1 or bool(classes) == (self.scaler is not None):
            raise DataError("neither two distinct classes or more nor an amount", column="labels")
        if self.edges and (len(self.edges) != classes - 1 or sorted(self.edges) != list(self.edges)):
            raise DataError("not the edges of these classes in ascending order", column="edges")
        if self.scaler is not None and len(self.scaler.mean) != 1:
            raise DataError("not one mean and scale", column="scaler")

    @classmethod
    def classes(cls, values: Iterable[Any], labels: Sequence[Any] | None = None) -> Self:
        """Learns the classes.

        Args:
            values: Labels of the training rows, shape (rows,): integers, text or truth values.
            labels: The classes in the order of their ids. None: those of `values`, ascending. Default None.

        Raises:
            DataError: A missing label, a label that is not in `labels`, or fewer than two classes.
        """
        codes, found = _read_labels(values)
        known: list[Any] = [found[code] for code in np.unique(codes)] if labels is None else _read_labels(labels)[1]
        if not all(isinstance(label, int) for label in known):
            known = [str(label) for label in known]
        if labels is None:
            known = sorted(set(known))
        if len(known) < 2:
            raise DataError("the target is constant", expected="two classes or more", received=known)
        target = cls(labels=tuple(known))
        target.transform(values)
        return target

    @classmethod
    def quantiles(cls, values: npt.ArrayLike, labels: Sequence[str]) -> Self:
        """Learns classes of an amount that have nearly equally many training rows; a value on an edge is in the lower.

        Args:
            values: Amounts of the training rows, shape (rows,).
            labels: Names of the classes from the lowest to the highest, two or more.

        Raises:
            DataError: No rows, a value that is missing, infinite or no number, or so many equal values that a class
                would be empty.
            ConfigurationError: Fewer than two labels.

        Example:
            >>> level = Target.quantiles([1, 2, 3, 4, 5, 6, 7], ["low", "middle", "high"])
            >>> level.edges, level.transform([0, 3, 3.5, 99]).tolist()
            ((3.0, 5.0), [0, 0, 1, 2])
        """
        if len(labels) < 2:
            raise ConfigurationError(f"quantiles need two labels or more. Received: labels={labels!r}")
        amounts = _read_amounts(values)
        edges = np.quantile(amounts, np.arange(1, len(labels)) / len(labels))
        target = cls(labels=tuple(labels), edges=tuple(edges.tolist()))
        counts = np.bincount(target.transform(amounts), minlength=len(labels))
        if not counts.all():
            raise DataError(
                "too many values are equal to cut them by quantiles",
                column="target",
                expected=f"{len(labels)} classes with rows in each",
                received=f"rows per class {counts.tolist()}",
            )
        return target

    @classmethod
    def amount(cls, values: npt.ArrayLike, *, log: bool = False) -> Self:
        """Learns mean and standard deviation.

        Args:
            values: Amounts of the training rows, shape (rows,).
            log: Whether to learn log(1 + amount); amounts must then be 0 or more. Default False.

        Raises:
            DataError: No rows, a value that is missing, infinite or no number, or values that are all equal.
        """
        numbers = _read_amounts(values, log)
        if numbers.min() == numbers.max():
            raise DataError("the target is constant", expected="amounts that differ", received=float(numbers[0]))
        return cls(scaler=Standardizer.fit(numbers[:, None]), log=log)

    @classmethod
    def infer(cls, column: pd.Series[Any]) -> Self:
        """Learns classes or an amount, whichever a column looks like.

        Text, truth values and whole numbers of few different values, at most 20 and a tenth of the rows, are classes;
        other numbers are amounts.

        Args:
            column: Values of all rows; errors have its name.

        Raises:
            DataError: As `classes` and `amount`; and if nearly all texts differ, or the values are of another kind.

        Example:
            >>> Target.infer(pd.Series([0, 1, 1, 0] * 5)).labels, Target.infer(pd.Series([0.5, 1.0, 2.5])).labels
            ((0, 1), ())
        """
        kind = infer_kind(column, str(column.name))
        if isinstance(kind, Category):
            return cls.classes(column)
        if not isinstance(kind, Number):
            received = kind if isinstance(kind, str) else type(kind).__name__
            expected = "classes or amounts"
            raise DataError("no target to predict", column=str(column.name), expected=expected, received=received)
        numbers = _read_amounts(column)
        distinct = np.unique(numbers)
        few = len(distinct) <= max(2, min(_MOST_CLASSES, len(numbers) // 10))
        return cls.classes(column) if few and (distinct % 1 == 0).all() else cls.amount(column)

    @property
    def size(self) -> int:
        """Outputs of a model: the number of classes, or 1 for an amount."""
        return len(self.labels) or 1

    def transform(self, values: Iterable[Any] | npt.ArrayLike) -> np.ndarray:
        """Encodes values of any rows.

        Args:
            values: Labels or amounts, shape (rows,).

        Returns:
            Classes: int32 (rows,), from 0 to `size` - 1. Amounts: float32 (rows, 1), standardised.

        Raises:
            DataError: A missing value, a label that is not among the classes, or an amount that is no finite number.
        """
        if self.scaler is not None:
            return self.scaler.transform(_read_amounts(values, self.log, least_rows=0)[:, None])
        if self.edges:
            return np.searchsorted(self.edges, _read_amounts(values, least_rows=0), side="left").astype(np.int32)
        codes, found = _read_labels(values)
        position = {str(label): number for number, label in enumerate(self.labels)}
        ids = np.array([position.get(str(label), -1) for label in found], np.int32)[codes]
        if (ids < 0).any():
            known, labels = [str(each) for each in self.labels], np.array(found, object)[codes]
            nearest = difflib.get_close_matches(str(labels[np.argmin(ids)]), known, n=1, cutoff=0)[0]
            message, expected = f"not one of the classes; the nearest is {nearest!r}", ", ".join(known[:20])
            checks.refuse_rows(ids < 0, message, "target", expected=expected, values=labels)
        return ids

    def inverse(self, predictions: npt.ArrayLike) -> np.ndarray:
        """Turns a model's predictions back into labels or amounts.

        Args:
            predictions: For classes, probabilities or logits (rows, size), probabilities of the second of two classes
                (rows,) or (rows, 1), or integers, which are class ids. For amounts, (rows,) or (rows, 1).

        Returns:
            Labels, object (rows,); or float64 (rows,), in the unit of the training values.

        Raises:
            ConfigurationError: Predictions of another shape, or class ids out of range.
        """
        array = np.asarray(predictions)
        if self.scaler is not None:
            numbers = self._flat(array).astype(np.float64) * self.scaler.scale[0] + self.scaler.mean[0]
            return np.expm1(numbers) if self.log else numbers
        if array.ndim == 2 and array.shape[1] == self.size:
            ids = array.argmax(axis=1)
        elif array.dtype.kind in "iu":
            ids = self._flat(array)
        elif self.size == 2:
            ids = (self._flat(array) >= 0.5).astype(np.int64)
        else:
            raise ConfigurationError(f"predictions must have shape (rows, {self.size}). Received: {array.shape}")
        if len(ids) and (ids.min() < 0 or ids.max() >= self.size):
            raise ConfigurationError(
                f"class ids must be from 0 to {self.size - 1}. Received: {ids.min()} to {ids.max()}"
            )
        return np.array(self.labels, dtype=object)[ids]

    def _flat(self, array: np.ndarray) -> np.ndarray:
        if array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1):
            return array.reshape(-1)
        raise ConfigurationError(f"predictions must have shape (rows,) or (rows, 1). Received: {array.shape}")


def _read_labels(values: Iterable[Any] | npt.ArrayLike) -> tuple[npt.NDArray[np.int64], list[int | str]]:
    column = _cells.column_of(values, _name(values))
    codes, labels = _cells.labels_of(column)
    if not len(codes):
        raise DataError("there are no rows", column=str(column.name))
    checks.refuse_rows(codes < 0, "a label is missing", column.name)
    return codes, labels


def _read_amounts(
    values: Iterable[Any] | npt.ArrayLike, log: bool = False, *, least_rows: int = 1
) -> npt.NDArray[np.float64]:
    column = _cells.column_of(values, _name(values))
    numbers = _cells.numbers_of(column, least=0 if log else None)
    checks.refuse_rows(np.isnan(numbers), "an amount is missing", column.name)
    if len(numbers) < least_rows:
        raise DataError("there are no amounts to learn from", column=str(column.name))
    return np.log1p(numbers) if log else numbers


def _name(values: Any) -> str:
    """The name of a column, for errors."""
    return str(values.name) if isinstance(values, pd.Series) and values.name is not None else "target"


@dataclass(frozen=True)
class Decision(Encoder):
    """What validation rows say of how to use a model's predictions.

    Attributes:
        threshold: Of two classes, the probability from which on the second one makes the balanced accuracy highest.
        half_width: Of amounts, half the width of prediction intervals.
        coverage: The share of new amounts that these hold.
        least: The least amount that is predicted.
    """

    threshold: float | None = None
    half_width: float | None = None
    coverage: float | None = None
    least: float | None = None
