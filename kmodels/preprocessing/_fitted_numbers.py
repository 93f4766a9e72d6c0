"""Fitted columns of numbers, dates and points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.errors import DataError
from kmodels.preprocessing import _cells, bins
from kmodels.preprocessing._columns import list_of
from kmodels.preprocessing._fitted import Block, Fitted, Target, is_flagged
from kmodels.preprocessing.columns import Clusters, Date, Number, sources_of


@dataclass(frozen=True)
class FittedNumber(Fitted):
    """A number and its training median."""

    kind: Number
    median: float

    @classmethod
    def fit(cls, frame: pd.DataFrame, name: str, kind: Number, target: Target) -> Self | str:
        values = _read_number(frame, name, kind)
        gaps = np.isnan(values)
        if gaps.all():
            return "no value"
        if _is_constant(values):
            return f"constant, {values[0]:g}"
        return cls(name, kind, is_flagged(kind, gaps), float(np.median(values[~gaps])))

    @property
    def number_names(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def scaled(self) -> tuple[bool, ...]:
        return (self.kind.scale,)

    @property
    def summary(self) -> str:
        return f"median {self.median:.6g}"

    def encode(self, frame: pd.DataFrame, target: Target = None) -> Block:
        values = _read_number(frame, self.name, self.kind)
        gaps = np.isnan(values)
        filled = np.where(gaps, self.median, values)
        return Block(gaps, numbers=(np.log1p(filled) if self.kind.log else filled)[:, None])

    def state(self) -> dict[str, Any]:
        return {"median": self.median}

    @classmethod
    def load(cls, name: str, kind: Number, flagged: bool, learnt: Mapping[str, Any]) -> Self:
        return cls(name, kind, flagged, _number_in(learnt, "median"))


@dataclass(frozen=True)
class FittedDate(Fitted):
    """A date and its training median in days."""

    kind: Date
    median: float

    @classmethod
    def fit(cls, frame: pd.DataFrame, name: str, kind: Date, target: Target) -> Self | str:
        source = sources_of(name, kind)[0]
        days = _cells.days_of(_cells.pick(frame, source), source)
        gaps = np.isnan(days)
        if gaps.all():
            return "no value"
        if _is_constant(days):
            return "constant"
        return cls(name, kind, bool(gaps.any()), float(np.median(days[~gaps])))

    @property
    def number_names(self) -> tuple[str, ...]:
        parts = ("days", "season_sin", "season_cos", "weekday_sin", "weekday_cos")
        return tuple(f"{self.name}_{part}" for part in parts)

    @property
    def scaled(self) -> tuple[bool, ...]:
        return (True, False, False, False, False)

    @property
    def summary(self) -> str:
        return f"median {pd.Timestamp(0) + pd.Timedelta(days=self.median):%Y-%m-%d}"

    def encode(self, frame: pd.DataFrame, target: Target = None) -> Block:
        days = _cells.days_of(self._source(frame), self.sources[0])
        gaps = np.isnan(days)
        dates = pd.to_datetime(pd.Series(np.where(gaps, 0, np.floor(days))), unit="D")
        # 1970-01-01 was a Thursday.
        turns = np.column_stack([(dates.dt.day_of_year.to_numpy() - 1) / 365.25, (np.floor(days) + 3) % 7 / 7])
        angles = 2 * np.pi * turns
        waves = np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(len(days), 4)
        waves[gaps] = 0
        return Block(gaps, numbers=np.column_stack([np.where(gaps, self.median, days), waves]))

    def state(self) -> dict[str, Any]:
        return {"median": self.median}

    @classmethod
    def load(cls, name: str, kind: Date, flagged: bool, learnt: Mapping[str, Any]) -> Self:
        return cls(name, kind, flagged, _number_in(learnt, "median"))


@dataclass(frozen=True)
class FittedClusters(Fitted):
    """Points and the centres of their clusters."""

    kind: Clusters
    centres: bins.Clusters

    @classmethod
    def fit(cls, frame: pd.DataFrame, name: str, kind: Clusters, target: Target) -> Self | str:
        points = _read_points(frame, kind)
        known = ~np.isnan(points).any(axis=1)
        if not known.any():
            return "no value"
        return cls(name, kind, False, bins.Clusters.fit(points[known], kind.clusters, seed=kind.seed))

    @property
    def hot_names(self) -> tuple[str, ...]:
        return tuple(f"{self.name}={number}" for number in range(1, self.centres.size + 1))

    @property
    def summary(self) -> str:
        return f"{self.centres.size} clusters"

    def encode(self, frame: pd.DataFrame, target: Target = None) -> Block:
        points = _read_points(frame, self.kind)
        gaps = np.asarray(np.isnan(points).any(axis=1))
        hot = np.zeros((len(points), self.centres.size), np.float32)
        known = np.flatnonzero(~gaps)
        hot[known, self.centres.transform(points[known])] = 1
        return Block(gaps, hot=hot)

    def state(self) -> dict[str, Any]:
        return {"centres": [list(centre) for centre in self.centres.centres]}

    @classmethod
    def load(cls, name: str, kind: Clusters, flagged: bool, learnt: Mapping[str, Any]) -> Self:
        return cls(name, kind, flagged, bins.Clusters.from_dict(learnt))


def _read_number(frame: pd.DataFrame, name: str, kind: Number) -> npt.NDArray[np.float64]:
    source = sources_of(name, kind)[0]
    return _cells.numbers_of(_cells.pick(frame, source), source, least=0 if kind.log else None)


def _read_points(frame: pd.DataFrame, kind: Clusters) -> npt.NDArray[np.float64]:
    return np.column_stack([_cells.numbers_of(_cells.pick(frame, source), source) for source in kind.of])


def _is_constant(values: npt.NDArray[np.float64]) -> bool:
    return not np.isnan(values).any() and bool(values.min() == values.max())


def _number_in(learnt: Mapping[str, Any], name: str) -> float:
    values = list_of({name: [learnt.get(name)]}, name, (int, float))
    if not np.isfinite(values).all():
        raise DataError("not a finite number", column=name, received=values[0])
    return float(values[0])
