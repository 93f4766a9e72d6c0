"""Values to ids and labels to columns, learnt from the training rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.preprocessing import MultiLabelBinarizer

from kmodels.errors import DataError
from kmodels.preprocessing._columns import FloatArray, column_of, kind_of, label_rows, list_of


@dataclass(frozen=True)
class Vocabulary:
    """Distinct values and their ids: the i-th value, from 1, has id i; id 0 stands for every other value.

    Attributes:
        values: The values in ascending order, all int or all str.

    Example:
        >>> from kmodels.preprocessing.vocabulary import Vocabulary
        >>> vocabulary = Vocabulary.fit(["b", "a", "b"])
        >>> vocabulary.size, vocabulary.transform(["b", "c", None]).tolist()
        (3, [2, 0, 0])
        >>> vocabulary.inverse([2, 0]).tolist()
        ['b', None]
    """

    values: tuple[int, ...] | tuple[str, ...]

    @classmethod
    def fit(cls, values: Iterable[int] | Iterable[str]) -> Self:
        """Learns the distinct values.

        Args:
            values: A column of integers or of strings, shape (rows,).

        Returns:
            The vocabulary.

        Raises:
            DataError: No values, a missing value, or values that are not all integers or all strings.
        """
        column = column_of(values)
        missing = column.isna().to_numpy()
        if missing.any():
            raise DataError("a value to learn is missing", row=int(np.argmax(missing)) + 1)
        if (kind := kind_of(column)) not in ("integer", "string"):
            raise DataError("values to learn are not integers alone or text alone", received=kind)
        return cls(tuple(sorted(column.unique().tolist())))

    @property
    def size(self) -> int:
        """Rows of an embedding table for these ids: one per value, and row 0 for the unknown."""
        return len(self.values) + 1

    def transform(self, values: Iterable[Any]) -> npt.NDArray[np.int32]:
        """Maps values to ids.

        Args:
            values: A column of the kind that was learnt, shape (rows,), missing values allowed. Integers may
                come as floats, as pandas stores them beside missing values.

        Returns:
            Ids, shape (rows,), int32 from 0 to `size` - 1; 0 for values that were not learnt and for missing
            ones.

        Raises:
            DataError: Text where integers were learnt, or integers where text was.
        """
        column = column_of(values)
        learnt = "text" if isinstance(self.values[0], str) else "integers"
        accepted = ("string", "empty") if learnt == "text" else ("integer", "floating", "empty")
        if kind_of(column) not in accepted and not column.isna().all():
            raise DataError("values are not of the learnt kind", expected=learnt, received=kind_of(column))
        return (self._index.get_indexer(pd.Index(column)) + 1).astype(np.int32)

    def inverse(self, ids: npt.ArrayLike) -> npt.NDArray[np.object_]:
        """Maps ids back to values.

        Args:
            ids: Integers from 0 to `size` - 1, any shape.

        Returns:
            The values, object array of that shape; None for id 0.

        Raises:
            DataError: An id out of range.
        """
        ids = np.asarray(ids)
        check_ids(ids, self.size, "ids")
        return np.array([None, *self.values], dtype=object)[ids]

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Rebuilds the encoder from its fields as read from JSON; `DataError` if they are not that."""
        values = list_of(content, "values", (int, str))
        if not values or len({type(value) for value in values}) > 1 or sorted(set(values)) != values:
            raise DataError("values are not distinct, ascending and of one type", column="values")
        return cls(tuple(values))

    @cached_property
    def _index(self) -> pd.Index:
        return pd.Index(self.values, dtype=object if isinstance(self.values[0], str) else np.int64)


@dataclass(frozen=True)
class MultiHotVocabulary:
    """Distinct labels of lists of labels; the i-th label is column i of the encoded matrix.

    Attributes:
        labels: The labels in ascending order.

    Example:
        >>> from kmodels.preprocessing.vocabulary import MultiHotVocabulary
        >>> tags = MultiHotVocabulary.fit([["old", "big"], [], ["old"]])
        >>> tags.labels
        ('big', 'old')
        >>> tags.transform([["old"], []]).tolist()
        [[0.0, 1.0], [0.0, 0.0]]
    """

    labels: tuple[str, ...]

    @classmethod
    def fit(cls, lists: Iterable[Iterable[str]]) -> Self:
        """Learns the distinct labels.

        Args:
            lists: One iterable of labels per row; it may be empty.

        Returns:
            The vocabulary.

        Raises:
            DataError: No labels at all, a row that is a bare string or no iterable, or a label that is not
                text.
        """
        rows = label_rows(lists)
        if not any(rows):
            raise DataError("there are no labels to learn", expected="at least one label")
        return cls(tuple(MultiLabelBinarizer().fit(rows).classes_.tolist()))

    @property
    def size(self) -> int:
        """Columns of the encoded matrix, one per label; there is none for unknown labels."""
        return len(self.labels)

    def transform(self, lists: Iterable[Iterable[str]]) -> FloatArray:
        """Maps lists of labels to rows of zeros and ones.

        A label that was not learnt has no column: it is left out, and scikit-learn's `UserWarning` names it.

        Args:
            lists: One iterable of labels per row; order and repeats within a row do not matter.

        Returns:
            Shape (rows, `size`), float32, 1 where the row has the label and 0 elsewhere.

        Raises:
            DataError: A row that is a bare string or no iterable, or a label that is not text.
        """
        binarizer = MultiLabelBinarizer(classes=list(self.labels)).fit([])
        return binarizer.transform(label_rows(lists)).astype(np.float32)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Rebuilds the encoder from its fields as read from JSON; `DataError` if they are not that."""
        labels = list_of(content, "labels", (str,))
        if not labels or sorted(set(labels)) != labels:
            raise DataError("labels are not distinct and ascending", column="labels")
        return cls(tuple(labels))


def check_ids(ids: npt.ArrayLike, size: int, name: str) -> None:
    """Checks that ids are rows of a table before they reach a model.

    Out of range, JAX would answer NaN without a word, and -1 would read the last row.

    Args:
        ids: Ids, any shape, an integer dtype.
        size: Number of rows of the table.
        name: Name of the input, for the message.

    Raises:
        DataError: Another dtype, or an id below 0 or not below `size`; names the first such row.

    Example:
        >>> from kmodels.preprocessing.vocabulary import check_ids
        >>> check_ids([0, 4], 5, "user_id")
        >>> check_ids([0, 5], 5, "user_id")
        Traceback (most recent call last):
        kmodels.errors.DataError: row 2, column 'user_id': an id is out of range; expected 0 to 4; received 5
    """
    array = np.asarray(ids)
    if array.dtype.kind not in "iu":
        raise DataError("ids are not integers", column=name, received=str(array.dtype))
    if array.size and (array.min() < 0 or array.max() >= size):
        at = tuple(np.argwhere((array < 0) | (array >= size))[0])
        raise DataError(
            "an id is out of range",
            row=int(at[0]) + 1 if at else None,
            column=name,
            expected=f"0 to {size - 1}",
            received=int(array[at]),
        )
