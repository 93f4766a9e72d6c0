"""What every fitted column has: its kind, the form of its values, and how it encodes a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.features import Categorical, MultiHot, Numeric
from kmodels.preprocessing import _cells
from kmodels.preprocessing._cells import FloatArray
from kmodels.preprocessing.columns import Kind, sources_of


class Encoded(NamedTuple):
    """A column's values in its form, numbers before scaling; each row's gap; labels not learnt -> their rows."""

    values: np.ndarray
    gaps: npt.NDArray[np.bool_]
    unknown: Mapping[str, int] = {}


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

    def encode(self, frame: pd.DataFrame, target: FloatArray | None = None) -> Encoded:
        """Encodes a table's rows."""
        raise NotImplementedError

    @property
    def summary(self) -> str:
        """What was learnt, in a few words."""
        raise NotImplementedError

    @property
    def form(self) -> type[Numeric | Categorical | MultiHot]:
        """Numbers (rows, k), which join the input of all numbers; ids (rows,); or columns of 0 and 1 (rows, k)."""
        return Numeric

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of the table for scikit-learn, without the flag."""
        return (self.name,)

    @property
    def size(self) -> int:
        """Number of columns, or of ids."""
        return len(self.names)

    @property
    def scaled(self) -> tuple[bool, ...]:
        """Whether each number is standardised."""
        return (True,) * len(self.names)

    @property
    def flag_name(self) -> str:
        """Name of the column that marks gaps."""
        return f"{self.name} is missing"

    def to_dict(self) -> dict[str, Any]:
        """The kind, the flag and what was learnt, which are the fields of the subclass."""
        learnt = {field.name: getattr(self, field.name) for field in fields(self)[3:]}
        return {"kind": type(self.kind).__name__, **asdict(self.kind), "flagged": self.flagged, "learnt": learnt}


def source(frame: pd.DataFrame, name: str, kind: Kind) -> pd.Series[Any]:
    """The one column that a kind reads, under its name in the table."""
    return _cells.pick(frame, sources_of(name, kind)[0])


def is_flagged(kind: Any, gaps: npt.NDArray[np.bool_]) -> bool:
    """What the kind says of the flag, or else whether training rows have gaps."""
    chosen = getattr(kind, "flag_missing", None)
    return bool(gaps.any()) if chosen is None else chosen
