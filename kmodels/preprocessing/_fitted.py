"""What every fitted column has: its kind, the columns it gives, and how it encodes a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.preprocessing import _cells
from kmodels.preprocessing.columns import Kind, Number, Tags, TargetMean, kind_to_dict, sources_of

Target = npt.NDArray[np.float64] | None


class Block(NamedTuple):
    """An encoded column: numbers (rows, k) before scaling, or ids (rows,), or columns of 0 and 1; and its gaps."""

    gaps: npt.NDArray[np.bool_]
    numbers: npt.NDArray[np.float64] | None = None
    ids: npt.NDArray[np.int32] | None = None
    hot: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Fitted:
    """A column's name and kind, and whether the input `missing` marks its gaps."""

    name: str
    kind: Kind
    flagged: bool

    @property
    def sources(self) -> tuple[str, ...]:
        """Columns of the table that are read."""
        return sources_of(self.name, self.kind)

    @property
    def number_names(self) -> tuple[str, ...]:
        """Names of the columns that join the input `numbers`."""
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

    @classmethod
    def fit(cls, frame: pd.DataFrame, name: str, kind: Any, target: Target) -> Self | str:
        """Learns from training rows; a text says why the column is left out."""
        raise NotImplementedError

    @classmethod
    def load(cls, name: str, kind: Any, flagged: bool, learnt: Mapping[str, Any]) -> Self:
        """Rebuilds the column from its `state`."""
        raise NotImplementedError

    @property
    def summary(self) -> str:
        """What was learnt, in a few words."""
        raise NotImplementedError

    def encode(self, frame: pd.DataFrame, target: Target = None) -> Block:
        """Encodes a table's rows."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """What was learnt, for JSON."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """The kind and what was learnt, for JSON."""
        return {**kind_to_dict(self.kind), "flagged": self.flagged, "learnt": self.state()}

    def _source(self, frame: pd.DataFrame) -> pd.Series[Any]:
        return _cells.pick(frame, self.sources[0])


def is_flagged(kind: Number | Tags | TargetMean, gaps: npt.NDArray[np.bool_]) -> bool:
    return bool(gaps.any()) if kind.flag_missing is None else kind.flag_missing
