"""Fitted columns of numbers, dates and points."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from kmodels.errors import DataError
from kmodels.features import MultiHot
from kmodels.preprocessing import _cells
from kmodels.preprocessing._cells import FloatArray
from kmodels.preprocessing._fitted import Encoded, Fitted, is_flagged, source
from kmodels.preprocessing.columns import Clusters, Date, Number

_DAYS = 1e9  # some 2.7 million years, more than any format of dates has


@dataclass(frozen=True)
class _Measured(Fitted):
    """A column read as numbers, and the training median that fills its gaps."""

    median: float

    @classmethod
    def fit(cls, frame: pd.DataFrame, name: str, kind: Any, target: FloatArray | None) -> Self | str:
        values = cls.read(frame, name, kind)
        gaps = np.isnan(values)
        if gaps.all():
            return "no value"
        if not gaps.any() and values.min() == values.max():
            return f"constant, {source(frame, name, kind)[0]}"
        return cls(name, kind, is_flagged(kind, gaps), float(np.median(values[~gaps])))

    @staticmethod
    def read(frame: pd.DataFrame, name: str, kind: Any) -> FloatArray:
        """The column's numbers, NaN where missing."""
        raise NotImplementedError


@dataclass(frozen=True)
class FittedNumber(_Measured):
    """A number."""

    kind: Number

    @staticmethod
    def read(frame: pd.DataFrame, name: str, kind: Number) -> FloatArray:
        return _cells.numbers_of(source(frame, name, kind), least=0 if kind.log else None)

    def encode(self, frame: pd.DataFrame, target: FloatArray | None = None) -> Encoded:
        values = self.read(frame, self.name, self.kind)
        gaps = np.isnan(values)
        filled = np.where(gaps, self.median, values)
        return Encoded((np.log1p(filled) if self.kind.log else filled)[:, None], gaps)

    @property
    def scaled(self) -> tuple[bool, ...]:
        return (self.kind.scale,)

    @property
    def summary(self) -> str:
        return f"median {self.median:.6g}"


@dataclass(frozen=True)
class FittedDate(_Measured):
    """A date, read as days since 1970."""

    kind: Date

    def __post_init__(self) -> None:
        if abs(self.median) > _DAYS:
            raise DataError("not a date", column="median", expected="days since 1970", received=self.median)

    @staticmethod
    def read(frame: pd.DataFrame, name: str, kind: Date) -> FloatArray:
        return _cells.days_of(source(frame, name, kind))

    def encode(self, frame: pd.DataFrame, target: FloatArray | None = None) -> Encoded:
        days = self.read(frame, self.name, self.kind)
        gaps = np.isnan(days)
        dates = pd.Series(np.where(gaps, 0, np.floor(days)).astype(np.int64).astype("datetime64[D]"))
        # 1970-01-01 was a Thursday.
        turns = np.column_stack([(dates.dt.day_of_year.to_numpy() - 1) / 365.25, (np.floor(days) + 3) % 7 / 7])
        angles = 2 * np.pi * turns
        waves = np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(len(days), 4)
        waves[gaps] = 0
        return Encoded(np.column_stack([np.where(gaps, self.median, days), waves]), gaps)

    @property
    def names(self) -> tuple[str, ...]:
        parts = ("days", "season_sin", "season_cos", "weekday_sin", "weekday_cos")
        return tuple(f"{self.name}_{part}" for part in parts)

    @property
    def scaled(self) -> tuple[bool, ...]:
        return (True, False, False, False, False)

    @property
    def summary(self) -> str:
        return f"median {np.datetime64(math.floor(self.median), 'D')}"


@dataclass(frozen=True)
class FittedClusters(Fitted):
    """Points and the centres of their clusters, in ascending order: their numbers do not depend on the search."""

    kind: Clusters
    centres: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if not self.centres or {len(centre) for centre in self.centres} != {len(self.kind.of)}:
            raise DataError("centres do not have a number for each source column", column="centres")

    @classmethod
    def fit(cls, frame: pd.DataFrame, name: str, kind: Clusters, target: FloatArray | None) -> Self | str:
        points = _read_points(frame, kind)
        points = points[~np.isnan(points).any(axis=1)]
        if not len(points):
            return "no value"
        if (distinct := len(np.unique(points, axis=0))) < kind.clusters:
            expected = f"{kind.clusters} or more"
            raise DataError("fewer distinct points than clusters", column=name, expected=expected, received=distinct)
        found = KMeans(kind.clusters, n_init=10, random_state=kind.seed).fit(points)
        return cls(name, kind, False, tuple(sorted(map(tuple, found.cluster_centers_.tolist()))))

    def encode(self, frame: pd.DataFrame, target: FloatArray | None = None) -> Encoded:
        points = _read_points(frame, self.kind)
        gaps = np.asarray(np.isnan(points).any(axis=1))
        squares = ((points[~gaps, None, :] - np.array(self.centres)) ** 2).sum(axis=-1)
        hot = np.zeros((len(points), len(self.centres)), np.float32)
        hot[np.flatnonzero(~gaps), squares.argmin(axis=1)] = 1
        return Encoded(hot, gaps)

    @property
    def form(self) -> type[MultiHot]:
        return MultiHot

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{self.name}={number}" for number in range(1, len(self.centres) + 1))

    @property
    def summary(self) -> str:
        return f"{len(self.centres)} clusters"


def _read_points(frame: pd.DataFrame, kind: Clusters) -> FloatArray:
    return np.column_stack([_cells.numbers_of(_cells.pick(frame, name)) for name in kind.of])
