"""What every fitted column has: its kind, the columns it gives, and how it encodes a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.preprocessing import _cells
from kmodels.preprocessing.columns import Kind, kind_to_dict, sources_of

FloatArray = npt.NDArray[np.float64]


class Block(NamedTuple):
    """An encoded column: numbers (rows, k) before scaling, or ids (rows,), or columns of 0 and 1; and its gaps."""

    gaps: npt.NDArray[np.bool_]
    numbers: FloatArray | None = None
    ids: npt.NDArray[np.int32] | None = None
    hot: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Fitted:
    """A column's name and kind, and whether the input `missing` marks its gaps; subclasses add what they learnt."""

    name: str
    kind: Kind
    flagged: bool

    @classmethod
    def fit(cls, frame: pd.DataFrame, name: str, kind: Any, target: FloatArray | None) -> Self | str:
        """Learns from training rows; a text says why the column is left out."""
        raise NotImplementedError

    def encode(self, frame: pd.DataFrame, target: FloatArray | None = None) -> Block:
        """Encodes a table's rows."""
        raise NotImplementedError

    @classmethod
    def load(cls, name: str, kind: Any, flagged: bool, learnt: Mapping[str, Any]) -> Self:
        """Rebuilds the column from its own fields; `DataError` if they are not that."""
        raise NotImplementedError

    @property
    def summary(self) -> str:
        """What was learnt, in a few words."""
        raise NotImplementedError

    @property
    def number_names(self) -> tuple[str, ...]:
        """Names of the columns that join the input of all numbers."""
        return ()

    @property
    def scaled(self) -> tuple[bool, ...]:
        """Whether each number is standardised."""
        return (True,) * len(self.number_names)

    @property
    def hot_names(self) -> tuple[str, ...]:
        """Names of the columns of 0 and 1."""
        return ()

    @property
    def size(self) -> int:
        """Number of ids; 0 where there are none."""
        return 0

    @property
    def sources(self) -> tuple[str, ...]:
        """Columns of the table that are read."""
        return sources_of(self.name, self.kind)

    @property
    def frame_names(self) -> tuple[str, ...]:
        """Names of the columns of the table for scikit-learn, without the flag."""
        return self.number_names or self.hot_names or (self.name,)

    @property
    def flag_name(self) -> str:
        """Name of the column that marks gaps."""
        return f"{self.name} is missing"

    def to_dict(self) -> dict[str, Any]:
        """The kind and what was learnt, the fields of the subclass, for JSON."""
        learnt = {each.name: _plain(getattr(self, each.name)) for each in fields(self)[3:]}
        return {**kind_to_dict(self.kind), "flagged": self.flagged, "learnt": learnt}


def source(frame: pd.DataFrame, name: str, kind: Kind) -> pd.Series[Any]:
    """The one column that a kind reads, under its name in the table."""
    return _cells.pick(frame, sources_of(name, kind)[0])


def is_flagged(kind: Any, gaps: npt.NDArray[np.bool_]) -> bool:
    """What the kind says of the flag, or else whether training rows have gaps."""
    chosen = getattr(kind, "flag_missing", None)
    return bool(gaps.any()) if chosen is None else chosen


def _plain(value: Any) -> Any:
    """A value with lists for tuples, as JSON gives it back."""
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
