"""Encoders of table columns, fitted on the training rows alone and kept as readable JSON.

Each is a frozen value with `fit` and `transform`; `save_encoders` and `load_encoders` keep a set of them in
one file. They replace Keras's lookup layers, which need TensorFlow.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.preprocessing import MultiLabelBinarizer, StandardScaler

from kmodels.errors import DataError
from kmodels.preprocessing._columns import FloatArray, column_of, kind_of, label_rows, list_of, numbers
from kmodels.preprocessing.bins import Clusters, QuantileBins
from kmodels.preprocessing.target_encoding import TargetEncoder


@dataclass(frozen=True)
class Vocabulary:
    """Distinct values and their ids: the i-th value, from 1, has id i; id 0 stands for every other value.

    Attributes:
        values: The values in ascending order, all int or all str.

    Example:
        >>> from kmodels.preprocessing.encoders import Vocabulary
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
        >>> from kmodels.preprocessing.encoders import MultiHotVocabulary
        >>> genres = MultiHotVocabulary.fit([["Drama", "Crime"], [], ["Drama"]])
        >>> genres.labels
        ('Crime', 'Drama')
        >>> genres.transform([["Drama"], []]).tolist()
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


@dataclass(frozen=True)
class Standardizer:
    """Shifts and scales numeric columns to mean 0 and standard deviation 1 over the rows it was fitted on.

    Attributes:
        mean: Mean of each column, in the column's own unit.
        scale: Standard deviation (divisor n) of each column; 0 marks a constant column, which is encoded as 0
            always.

    Example:
        >>> from kmodels.preprocessing.encoders import Standardizer
        >>> Standardizer.fit([[1.0, 7.0], [3.0, 7.0]]).transform([[5.0, 8.0]]).tolist()
        [[3.0, 0.0]]
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def fit(cls, x: npt.ArrayLike | pd.DataFrame) -> Self:
        """Learns mean and standard deviation of each column.

        Args:
            x: Finite numbers, shape (rows, columns).

        Returns:
            The standardizer.

        Raises:
            DataError: Not a table of numbers, no rows, or a value that is missing or infinite.
        """
        table = numbers(x)
        if not table.size:
            raise DataError("there are no numbers to learn from", received=f"shape {table.shape}")
        scaler = StandardScaler().fit(table)
        # scikit-learn divides a constant column by 1: another value would reach the model unscaled.
        scale = np.where(np.ptp(table, axis=0) == 0, 0.0, scaler.scale_)
        return cls(tuple(scaler.mean_.tolist()), tuple(scale.tolist()))

    def transform(self, x: npt.ArrayLike | pd.DataFrame) -> FloatArray:
        """Shifts and scales.

        Args:
            x: Finite numbers, shape (rows, columns), the columns in the order they were fitted.

        Returns:
            Same shape, float32, mostly from -3 to 3.

        Raises:
            DataError: Another number of columns, not a table of numbers, or a value that is missing or
                infinite.
        """
        table = numbers(x)
        if table.shape[1] != len(self.mean):
            raise DataError("columns differ in number", expected=str(len(self.mean)), received=table.shape[1])
        scale = np.array(self.scale)
        factor = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale != 0)
        return ((table - np.array(self.mean)) * factor).astype(np.float32)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Rebuilds the encoder from its fields as read from JSON; `DataError` if they are not that."""
        mean, scale = (list_of(content, name, (int, float)) for name in ("mean", "scale"))
        if not mean or len(mean) != len(scale) or not np.isfinite([*mean, *scale]).all() or min(scale) < 0:
            raise DataError("mean and scale are not finite numbers, equally many, with no scale below 0")
        return cls(tuple(map(float, mean)), tuple(map(float, scale)))


Encoder = Vocabulary | MultiHotVocabulary | Standardizer | QuantileBins | Clusters | TargetEncoder
_TYPES: dict[str, type[Encoder]] = {
    kind.__name__: kind
    for kind in (Vocabulary, MultiHotVocabulary, Standardizer, QuantileBins, Clusters, TargetEncoder)
}


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
        >>> from kmodels.preprocessing.encoders import check_ids
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


def save_encoders(encoders: Mapping[str, Encoder], path: str | Path) -> None:
    """Writes encoders to a JSON file (UTF-8); an earlier file is replaced whole or not at all.

    Args:
        encoders: Encoders by name.
        path: The file; its folder must exist.

    Example:
        >>> import tempfile
        >>> from kmodels.preprocessing.encoders import Vocabulary, load_encoders, save_encoders
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_encoders({"user_id": Vocabulary.fit([3, 1])}, f"{folder}/encoders.json")
        ...     load_encoders(f"{folder}/encoders.json")
        {'user_id': Vocabulary(values=(1, 3))}
    """
    content = {name: {"type": type(encoder).__name__, **asdict(encoder)} for name, encoder in encoders.items()}
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    temporary = Path(f"{path}.part")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def load_encoders(path: str | Path) -> dict[str, Encoder]:
    """Reads what `save_encoders` wrote.

    Args:
        path: The file.

    Returns:
        Encoders by name, equal to those that were saved, in the same order.

    Raises:
        DataError: No such file, not JSON in UTF-8, an unknown type of encoder, or content that does not fit
            its type.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"the encoders cannot be read ({error.strerror})", file=path) from error
    except ValueError as error:  # both broken JSON and broken UTF-8
        raise DataError(f"the encoders are not JSON in UTF-8 ({error})", file=path) from error
    if not isinstance(content, dict):
        raise DataError("the encoders are not a JSON object", file=path, received=type(content).__name__)
    encoders: dict[str, Encoder] = {}
    for name, entry in content.items():
        kind = entry.get("type") if isinstance(entry, dict) else None
        if not isinstance(kind, str) or kind not in _TYPES:
            known = ", ".join(_TYPES)
            raise DataError(f"encoder '{name}' is of no known type", file=path, expected=known, received=kind)
        try:
            encoders[name] = _TYPES[kind].from_dict(entry)
        except DataError as error:
            raise DataError(f"encoder '{name}': {error}", file=path) from error
    return encoders
