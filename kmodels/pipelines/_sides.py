"""What is known of each user, or of each item: its encoded side table, found by raw id."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels import checks
from kmodels.errors import DataError
from kmodels.features import Feature
from kmodels.preprocessing import TableEncoder, Vocabulary
from kmodels.preprocessing.columns import sources_of
from kmodels.preprocessing.table_encoder import NoColumnError

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Side:
    """A vocabulary of ids and an encoded side table.

    Attributes:
        name: "user" or "item".
        vocabulary: The ids of the training rows.
        encoder: The fitted encoder of the side table; None without one.
        table_ids: (entities,) raw ids of the side table's rows.
        tables: The encoder's name of an input -> array (entities + 1, ...); the last row is that of missing values.
    """

    name: str
    vocabulary: Vocabulary
    encoder: TableEncoder | None
    table_ids: npt.NDArray[Any]
    tables: Arrays

    @classmethod
    def fit(cls, name: str, ids: pd.Series, table: pd.DataFrame | None, columns: Mapping[str, Any] | None) -> Self:
        """Learns the ids of the training rows and encodes the side table, fitted on its rows of these ids."""
        vocabulary, column = Vocabulary.fit(ids), f"{name}_id"
        if table is None or not len(table.columns.drop(column, errors="ignore")):
            return cls(name, vocabulary, None, np.array([]), {})
        if column not in table:
            raise DataError(f"the table of {name}s has no ids", column=column, received=list(table))
        table_ids = table[column].to_numpy()
        if (twice := table[column].duplicated().to_numpy()).any():
            row = int(np.argmax(twice))
            raise DataError("the id stands twice", row=row + 1, column=column, received=table_ids[row])
        known = table.drop(columns=column)
        drop: list[str] = []
        if columns is not None:
            sources = {source for key, kind in columns.items() for source in sources_of(key, kind)}
            drop = [str(source) for source in known if source not in sources]
        training = known[table[column].isin(vocabulary.values).to_numpy()]
        try:
            encoder = TableEncoder.fit(training, columns=columns, drop=drop, numbers="numbers")
        except NoColumnError:  # a warning has said why
            return cls(name, vocabulary, None, np.array([]), {})
        return cls(name, vocabulary, encoder, table_ids, _encoded(encoder, known))

    @classmethod
    def of_arrays(cls, name: str, encoders: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Puts together what `arrays` took apart."""
        prefix = f"{name}.table."
        tables = {key.removeprefix(prefix): values for key, values in arrays.items() if key.startswith(prefix)}
        ids = arrays[f"{name}.ids"]
        ids = ids.astype(object) if ids.dtype.kind == "U" else ids
        checks.same_length(0, ids=ids, **{key: values[1:] for key, values in tables.items()})
        return cls(name, encoders[f"{name}_id"], encoders.get(f"{name}s"), ids, tables)

    def arrays(self) -> Arrays:
        """Ids and tables as arrays that NumPy saves without pickles."""
        ids = self.table_ids.astype(str) if self.table_ids.dtype == object else self.table_ids
        return {f"{self.name}.ids": ids, **{f"{self.name}.table.{name}": each for name, each in self.tables.items()}}

    def inputs(self, taken: Collection[str]) -> dict[str, tuple[str, Feature]]:
        """Name of each side input of the model -> its name by the encoder, and its feature under the model's name."""
        if self.encoder is None:
            return {}
        shared = {"numbers", *taken}
        names = {f.name: f"{self.name}_{f.name}" if f.name in shared else f.name for f in self.encoder.features}
        return {names[f.name]: (f.name, replace(f, name=names[f.name])) for f in self.encoder.features}

    def rows_of(self, ids: pd.Series) -> npt.NDArray[np.int32]:
        """Rows of `tables` of raw ids."""
        rows = pd.Index(self.table_ids).get_indexer(pd.Index(ids)) if len(self.table_ids) else np.full(len(ids), -1)
        return np.where(rows < 0, len(self.table_ids), rows).astype(np.int32)

    def rows_of_vocabulary(self) -> npt.NDArray[np.int32]:
        """Rows of `tables` of each id of the vocabulary, of which 0, the unknown, has missing values."""
        return np.append(np.int32(len(self.table_ids)), self.rows_of(pd.Series(self.vocabulary.values)))


def _encoded(encoder: TableEncoder, table: pd.DataFrame) -> Arrays:
    """The encoded table, and below it a row of missing values."""
    missing = table.iloc[:1].reindex([-1])
    rows, last = encoder.transform(table), encoder.transform(missing)
    return {name: np.concatenate([values, last[name]]) for name, values in rows.items()}
