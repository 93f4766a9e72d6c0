"""Categories with many members as one number: the share of the target among their training rows.

Micci-Barreca, "A Preprocessing Scheme for High-Cardinality Categorical Attributes in Classification and Prediction
Problems", SIGKDD Explorations 3 (1), 2001 (the smoothed mean); Prokhorenkova et al., "CatBoost: unbiased boosting with
categorical features", NeurIPS 2018 (why a training row must not see its own target).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing._columns import FloatArray, column_of, list_of


@dataclass(frozen=True)
class TargetEncoder:
    """The mean target of each text, drawn towards the mean of all where the text is rare.

    A text with n training rows of mean m is encoded as (n · m + smoothing · mean) / (n + smoothing); one that was not
    learnt, or that is empty or missing, as the mean of all.

    Attributes:
        values: The texts in ascending order.
        means: What each is encoded as.
        counts: Training rows of each.
        mean: Mean target of all training rows.

    Example:
        >>> encoder = TargetEncoder.fit(["a", "a", "b", ""], [1, 1, 0, 0], smoothing=2)
        >>> encoder.transform(["a", "b", "c", ""]).tolist()
        [[0.75, 2.0], [0.3333333432674408, 1.0], [0.5, 0.0], [0.5, 0.0]]
    """

    values: tuple[str, ...]
    means: tuple[float, ...]
    counts: tuple[int, ...]
    mean: float

    @classmethod
    def fit(cls, values: Iterable[str], target: npt.ArrayLike, *, smoothing: float = 10.0) -> Self:
        """Learns the smoothed means.

        Args:
            values: A column of text, shape (rows,); empty and missing texts count for the mean of all alone.
            target: Numbers, shape (rows,).
            smoothing: How many rows of the mean target each text is given beside its own, 0 or more. Default 10.

        Returns:
            The encoder.

        Raises:
            DataError: No rows, other lengths, or values that are not text.
            ConfigurationError: If `smoothing` is negative.
        """
        if smoothing < 0:
            raise ConfigurationError(f"smoothing must be 0 or more. Received: smoothing={smoothing}")
        column, numbers = _texts(values), np.asarray(target, np.float64)
        if not len(column) or numbers.shape != (len(column),):
            raise DataError(
                "the column and its target do not go together",
                expected="one target for each row, and a row",
                received=f"shapes {column.shape} and {numbers.shape}",
            )
        mean = float(numbers.mean())
        groups = pd.Series(numbers).groupby(column.to_numpy()).agg(["sum", "count"])
        groups = groups[groups.index != ""]
        means = (groups["sum"] + smoothing * mean) / (groups["count"] + smoothing)
        return cls(tuple(groups.index.tolist()), tuple(means.tolist()), tuple(groups["count"].tolist()), mean)

    def transform(self, values: Iterable[str]) -> FloatArray:
        """Encodes rows that the encoder was not fitted on; for those it was, see `cross_fit`.

        Args:
            values: A column of text, shape (rows,), missing values allowed.

        Returns:
            float32 (rows, 2): the smoothed mean, and the number of training rows with that text.

        Raises:
            DataError: If the values are not text.
        """
        position = self._index.get_indexer(pd.Index(_texts(values), dtype=object))
        # Position -1, of what was not learnt, is the last entry.
        means, counts = np.array([*self.means, self.mean]), np.array([*self.counts, 0])
        return np.column_stack([means[position], counts[position]]).astype(np.float32)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Rebuilds the encoder from its fields as read from JSON; `DataError` if they are not that."""
        values, counts = list_of(content, "values", (str,)), list_of(content, "counts", (int,))
        means, mean = list_of(content, "means", (int, float)), content.get("mean")
        if sorted(set(values)) != values or not len(values) == len(means) == len(counts):
            raise DataError("values are not distinct and ascending, with a mean and a count each", column="values")
        if not isinstance(mean, int | float) or not np.isfinite([*means, mean]).all() or min(counts, default=1) < 1:
            raise DataError("means are not finite numbers, or a count is below 1", column="means")
        return cls(tuple(values), tuple(map(float, means)), tuple(counts), float(mean))

    @cached_property
    def _index(self) -> pd.Index:
        return pd.Index(self.values, dtype=object)


def cross_fit(
    values: Iterable[str], target: npt.ArrayLike, *, smoothing: float = 10.0, folds: int = 5, seed: int = 0
) -> FloatArray:
    """Encodes training rows, each by an encoder fitted on the folds that it is not in.

    Encoded with its own target in the mean, a row of a rare text would give its answer away, and a model would trust
    the column more than it deserves on new rows.

    Args:
        values: A column of text, shape (rows,).
        target: Numbers, shape (rows,).
        smoothing: As for `TargetEncoder.fit`. Default 10.
        folds: Number of folds, from 2 to the number of rows. Default 5.
        seed: Seed of the folds, 0 or more. Default 0.

    Returns:
        float32 (rows, 2): the smoothed mean, and the number of rows of the other folds with that text.

    Raises:
        ConfigurationError: If `folds` is out of range.
        DataError: As `TargetEncoder.fit` raises it.

    Example:
        >>> cross_fit(["a", "a", "b"], [1, 0, 1], smoothing=0, folds=3).tolist()
        [[0.0, 1.0], [1.0, 1.0], [0.5, 0.0]]
    """
    column, numbers = _texts(values), np.asarray(target, np.float64)
    if not 2 <= folds <= len(column):
        raise ConfigurationError(f"folds must be from 2 to the number of rows, {len(column)}. Received: folds={folds}")
    fold = np.random.default_rng(seed).permutation(np.arange(len(column)) % folds)
    result = np.empty((len(column), 2), np.float32)
    for i in range(folds):
        inside = fold == i
        encoder = TargetEncoder.fit(column[~inside], numbers[~inside], smoothing=smoothing)
        result[inside] = encoder.transform(column[inside])
    return result


def _texts(values: Iterable[str]) -> pd.Series:
    column = column_of(values).astype(object)
    column = column.where(column.notna(), "").reset_index(drop=True)
    if len(column) and pd.api.types.infer_dtype(column, skipna=False) != "string":
        wrong = ~column.map(lambda value: isinstance(value, str)).to_numpy(bool)
        row = int(np.argmax(wrong))
        raise DataError("not text", row=row + 1, expected="a column of text", received=column[row])
    return column
