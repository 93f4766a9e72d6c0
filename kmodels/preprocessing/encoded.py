"""A whole table encoded by what its training rows teach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.preprocessing.columns import Kind, sources_of
from kmodels.preprocessing.table_encoder import MISSING, TableEncoder


class EncodedTable(NamedTuple):
    """All rows of a table as a model's inputs and as plain numbers.

    Attributes:
        encoder: The encoder, fitted to the training rows.
        inputs: Name of an input -> array of all rows.
        frame: The same rows for scikit-learn.
    """

    encoder: TableEncoder
    inputs: dict[str, np.ndarray]
    frame: pd.DataFrame

    @property
    def matrix(self) -> npt.NDArray[np.float32]:
        """All inputs side by side, float32 (rows, columns); ids of categories as numbers."""
        return np.hstack([values.reshape(len(values), -1) for values in self.inputs.values()]).astype(np.float32)

    def unpack(self, matrix: npt.NDArray[np.float32]) -> dict[str, np.ndarray]:
        """The inputs whose `matrix` this is, of any rows."""
        found, start = {}, 0
        for name, values in self.inputs.items():
            width = int(np.prod(values.shape[1:]))
            columns = matrix[:, start : start + width].reshape(-1, *values.shape[1:])
            found[name], start = columns.astype(values.dtype), start + width
        return found

    @property
    def groups(self) -> dict[str, list[int]]:
        """Source column -> positions of its columns in `matrix`; those made of several have their own name."""
        groups: dict[str, list[int]] = {}
        by_input: dict[str, list[list[int]]] = {name: [] for name in self.inputs}
        for column in self.encoder.columns:
            sources = sources_of(column.name, column.kind)
            group = groups.setdefault(sources[0] if len(sources) == 1 else column.name, [])
            by_input[self.encoder.inputs[column.name]] += [group] * len(column.names)
            by_input.get(MISSING, []).extend([group] * column.flagged)
        for position, group in enumerate(chain.from_iterable(by_input.values())):
            group.append(position)
        return groups


def encode_table(
    table: pd.DataFrame,
    train: npt.NDArray[np.int64],
    *,
    columns: Mapping[str, Kind] | None = None,
    drop: Iterable[str] = (),
    target: npt.ArrayLike | None = None,
) -> EncodedTable:
    """Fits a `TableEncoder` to the training rows and encodes all rows.

    Args:
        table: The rows.
        train: Positions of the training rows.
        columns: As `TableEncoder.fit` takes it, whose errors are raised. Default None.
        drop: As `TableEncoder.fit` takes it. Default ().
        target: Numbers of all rows, shape (rows,), for `TargetMean`; those of the training rows are used, and each of
            these is encoded by the folds that it is not in. Default None.

    Example:
        >>> table = pd.DataFrame({"rooms": [2.0, 4.0, 3.0], "city": ["Bonn", "Kiel", "Rome"]})
        >>> encoded = encode_table(table, np.array([0, 1]))
        >>> {name: array.ravel().tolist() for name, array in encoded.inputs.items()}
        {'numbers': [-1.0, 1.0, 0.0], 'city': [1, 2, 0]}
    """
    rows = table.iloc[train]
    own = None if target is None else np.asarray(target)[train]
    encoder = TableEncoder.fit(rows, columns=columns, drop=drop, target=own)
    inputs, frame = encoder.transform(table), encoder.frame(table)
    if own is not None:
        for name, array in encoder.transform(rows, target=own).items():
            inputs[name][train] = array
        frame.iloc[train] = encoder.frame(rows, target=own).to_numpy()
    return EncodedTable(encoder, inputs, frame)
