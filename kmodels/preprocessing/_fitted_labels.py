"""Fitted columns of categories, ids, tags, and means of the target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels import checks
from kmodels.errors import ConfigurationError, DataError
from kmodels.features import Categorical, MultiHot, Numeric
from kmodels.preprocessing import _cells
from kmodels.preprocessing._cells import FloatArray
from kmodels.preprocessing._fitted import Encoded, Fitted, is_flagged, source
from kmodels.preprocessing._from_json import check_ascending
from kmodels.preprocessing.columns import Category, Id, Tags, TargetMean


@dataclass(frozen=True)
class FittedCategory(Fitted):
    """A category or an id, and its values; `has_missing` where a missing value has the last id."""

    kind: Category | Id
    values: tuple[int, ...] | tuple[str, ...]
    has_missing: bool

    def __post_init__(self) -> None:
        check_ascending(self.values, "values")

    @classmethod
    def fit(cls, frame: pd.DataFrame, name: str, kind: Category | Id, target: FloatArray | None) -> Self | str:
        codes, labels = _read_labels(frame, name, kind)
        rows = np.bincount(codes[codes >= 0], minlength=len(labels)).tolist()
        found = [(label, count) for label, count in zip(labels, rows, strict=True) if count]
        same = int if all(isinstance(label, int) for label, _ in found) else str
        counts: Counter[Any] = Counter()
        for label, count in found:
            counts[same(label)] += count
        has_missing = bool((codes < 0).any())
        if not counts:
            return "no value"
        if isinstance(kind, Category) and len(counts) == 1 and not has_missing:
            return f"constant, {found[0][0]!r}"
        least = kind.min_count if isinstance(kind, Category) else 1
        kept = sorted(label for label, count in counts.items() if count >= least)
        if not kept:
            return f"no value has {least} rows"
        return cls(name, kind, False, tuple(kept), has_missing)

    def encode(self, frame: pd.DataFrame, target: FloatArray | None = None) -> Encoded:
        codes, labels = _read_labels(frame, self.name, self.kind)
        position = {str(value): number for number, value in enumerate(self.values, start=1)}
        # The last entry is what code -1, a missing value, reads.
        ids = [*(position.get(str(label), 0) for label in labels), (len(self.values) + 1) * self.has_missing]
        encoded = np.array(ids, np.int32)[codes]
        if self.form is MultiHot:
            encoded = (encoded[:, None] == np.arange(1, self.size + 1)).astype(np.float32)
        is_id = isinstance(self.kind, Id)  # one that was not learnt is no surprise
        unknown = {} if is_id else _count(codes, [(str(label),) for label in labels], known=position)
        return Encoded(encoded, codes < 0, unknown)

    @property
    def form(self) -> type[Categorical | MultiHot]:
        return MultiHot if isinstance(self.kind, Category) and self.kind.one_hot else Categorical

    @property
    def names(self) -> tuple[str, ...]:
        values = [*self.values, *(["missing"] if self.has_missing else [])]
        return tuple(f"{self.name}={value}" for value in values) if self.form is MultiHot else (self.name,)

    @property
    def size(self) -> int:
        return len(self.names) if self.form is MultiHot else len(self.values) + 1 + self.has_missing

    @property
    def summary(self) -> str:
        return f"{len(self.values):,} values{', missing' if self.has_missing else ''}"


@dataclass(frozen=True)
class FittedTags(Fitted):
    """Several labels, and those that were learnt, in ascending order."""

    kind: Tags
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        check_ascending(self.labels, "labels")

    @classmethod
    def fit(cls, frame: pd.DataFrame, name: str, kind: Tags, target: FloatArray | None) -> Self | str:
        codes, lists = _cells.tags_of(source(frame, name, kind), kind.separator)
        sets = [tuple(sorted(set(labels))) for labels in lists]
        if not any(sets):
            return "no value"
        if len({len(labels) for labels in lists} if kind.count else set(sets)) == 1:
            return "constant"
        kept = sorted(label for label, count in _count(codes, sets).items() if count >= kind.min_count)
        if not kept:
            return f"no label has {kind.min_count} rows"
        gaps = np.array([not labels for labels in lists])[codes]
        return cls(name, kind, is_flagged(kind, gaps), tuple(kept))

    def encode(self, frame: pd.DataFrame, target: FloatArray | None = None) -> Encoded:
        codes, lists = _cells.tags_of(source(frame, self.name, self.kind), self.kind.separator)
        gaps = np.array([not labels for labels in lists], bool)[codes]
        if self.kind.count:
            return Encoded(np.array([len(labels) for labels in lists], np.float64)[codes][:, None], gaps)
        position = {label: column for column, label in enumerate(self.labels)}
        hot = np.zeros((len(lists), len(self.labels)), np.float32)
        for row, labels in enumerate(lists):
            hot[row, [position[label] for label in labels if label in position]] = 1
        return Encoded(hot[codes], gaps, _count(codes, lists, known=position))

    @property
    def form(self) -> type[Numeric | MultiHot]:
        return Numeric if self.kind.count else MultiHot

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,) if self.kind.count else tuple(f"{self.name}={label}" for label in self.labels)

    @property
    def summary(self) -> str:
        return f"{len(self.labels):,} labels"


@dataclass(frozen=True)
class FittedTargetMean(Fitted):
    """A category, the smoothed mean target and the count of each of its values, and the mean target of all rows."""

    kind: TargetMean
    values: tuple[str, ...]
    means: tuple[float, ...]
    counts: tuple[int, ...]
    mean: float

    def __post_init__(self) -> None:
        if not len(self.values) == len(self.means) == len(self.counts) or min(self.counts, default=1) < 1:
            raise DataError("values do not have a mean and a count of 1 or more each", column="values")
        if self.values:  # there may be none among the rows of all folds but one
            check_ascending(self.values, "values")

    @classmethod
    def fit(cls, frame: pd.DataFrame, name: str, kind: TargetMean, target: FloatArray | None) -> Self | str:
        if target is None:
            raise ConfigurationError(f"column {name!r}: TargetMean needs the target of the training rows")
        texts = _read_texts(frame, name, kind)
        if (texts == "").all():
            return "no value"
        if texts.nunique() == 1:
            return f"constant, {texts.iloc[0]!r}"
        return cls._learn(name, kind, texts, target)

    @classmethod
    def _learn(cls, name: str, kind: TargetMean, texts: pd.Series[str], target: FloatArray) -> Self:
        mean = float(target.mean())
        groups = pd.Series(target).groupby(texts.to_numpy()).agg(["sum", "count"])
        groups = groups[groups.index != ""]
        means = (groups["sum"] + kind.smoothing * mean) / (groups["count"] + kind.smoothing)
        flagged = is_flagged(kind, (texts == "").to_numpy(bool))
        learnt = (tuple(groups.index.tolist()), tuple(means.tolist()), tuple(groups["count"].tolist()))
        return cls(name, kind, flagged, *learnt, mean)

    def encode(self, frame: pd.DataFrame, target: FloatArray | None = None) -> Encoded:
        texts = _read_texts(frame, self.name, self.kind)
        encoded = self._encode(texts) if target is None else self._cross_fit(texts, target)
        numbers = np.column_stack([encoded[:, 0], np.log1p(encoded[:, 1])]).astype(np.float64)
        return Encoded(numbers, (texts == "").to_numpy(bool))

    def _encode(self, texts: pd.Series[str]) -> npt.NDArray[np.float32]:
        """(rows, 2): the smoothed mean, that of all where the text was not learnt, and its count."""
        position = pd.Index(self.values, dtype=object).get_indexer(pd.Index(texts, dtype=object))
        # Position -1, of what was not learnt, is the last entry.
        means, counts = np.array([*self.means, self.mean]), np.array([*self.counts, 0], np.float64)
        return np.column_stack([means[position], counts[position]]).astype(np.float32)

    def _cross_fit(self, texts: pd.Series[str], target: FloatArray) -> npt.NDArray[np.float32]:
        """Training rows, each as learnt from the folds that it is not in: its own target would give it away."""
        kind = self.kind
        if kind.folds > len(texts):
            limits = f"from 2 to the number of rows, {len(texts)}"
            raise ConfigurationError(f"column {self.name!r}: folds must be {limits}. Received: folds={kind.folds}")
        fold = np.random.default_rng(kind.seed).permutation(np.arange(len(texts)) % kind.folds)
        result = np.empty((len(texts), 2), np.float32)
        for i in range(kind.folds):
            inside = fold == i
            result[inside] = self._learn(self.name, kind, texts[~inside], target[~inside])._encode(texts[inside])
        return result

    @property
    def names(self) -> tuple[str, ...]:
        return (f"{self.name}_mean", f"{self.name}_log_count")

    @property
    def summary(self) -> str:
        return f"{len(self.values):,} values, mean {self.mean:.6g}"


def _count(
    codes: npt.NDArray[np.int64], lists: Sequence[tuple[str, ...]], *, known: Container[str] = ()
) -> Counter[str]:
    """Label -> its rows, from the code of each row and the labels of each code; without those that are known."""
    counts: Counter[str] = Counter()
    for labels, rows in zip(lists, np.bincount(codes[codes >= 0], minlength=len(lists)).tolist(), strict=True):
        counts.update({label: rows for label in labels if rows and label not in known})
    return counts


def _read_labels(frame: pd.DataFrame, name: str, kind: Category | Id) -> tuple[npt.NDArray[np.int64], list[int | str]]:
    column = source(frame, name, kind)
    codes, labels = _cells.labels_of(column)
    if isinstance(kind, Id):
        checks.refuse_rows(codes < 0, "an id is missing", column.name)
    return codes, labels


def _read_texts(frame: pd.DataFrame, name: str, kind: TargetMean) -> pd.Series[str]:
    """Labels as text, "" where missing."""
    codes, labels = _cells.labels_of(source(frame, name, kind))
    return pd.Series(np.array([*map(str, labels), ""], dtype=object)[codes], name=name)
