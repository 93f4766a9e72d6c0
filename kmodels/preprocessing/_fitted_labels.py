"""Fitted columns of categories, ids, tags, and means of the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing import _cells
from kmodels.preprocessing._fitted import Block, Fitted, Target, is_flagged
from kmodels.preprocessing.columns import Category, Id, Kind, Tags, TargetMean, sources_of
from kmodels.preprocessing.target_encoding import TargetEncoder, cross_fit
from kmodels.preprocessing.vocabulary import MultiHotVocabulary, Vocabulary


@dataclass(frozen=True)
class FittedCategory(Fitted):
    """A category or an id, and its vocabulary; `has_missing` where a missing value has an id of its own."""

    kind: Category | Id
    vocabulary: Vocabulary
    has_missing: bool

    @classmethod
    def fit(cls, frame: pd.DataFrame, name: str, kind: Category | Id, target: Target) -> Self | str:
        source = sources_of(name, kind)[0]
        codes, labels = _cells.labels_of(_cells.pick(frame, source), source)
        missing = codes < 0
        _check_id(kind, source, missing)
        if missing.all():
            return "no value"
        counts = np.bincount(codes[~missing], minlength=len(labels))
        found = [label for label, count in zip(labels, counts.tolist(), strict=True) if count]
        if isinstance(kind, Category) and len(set(map(str, found))) == 1 and not missing.any():
            return f"constant, {found[0]!r}"
        is_number = all(isinstance(label, int) for label in found)
        totals: dict[Any, int] = {}
        for label, count in zip(labels, counts.tolist(), strict=True):
            key = label if is_number else str(label)
            totals[key] = totals.get(key, 0) + count
        least = kind.min_count if isinstance(kind, Category) else 1
        kept = sorted(label for label, count in totals.items() if count >= least)
        if not kept:
            return f"no value has {least} rows"
        return cls(name, kind, False, Vocabulary(tuple(kept)), bool(missing.any()))

    @property
    def is_one_hot(self) -> bool:
        return isinstance(self.kind, Category) and self.kind.one_hot

    @property
    def size(self) -> int:
        return 0 if self.is_one_hot else self.vocabulary.size + self.has_missing

    @property
    def hot_names(self) -> tuple[str, ...]:
        if not self.is_one_hot:
            return ()
        values = [*self.vocabulary.values, *(["missing"] if self.has_missing else [])]
        return tuple(f"{self.name}={value}" for value in values)

    @property
    def summary(self) -> str:
        return f"{self.vocabulary.size - 1:,} values{', missing' if self.has_missing else ''}"

    def encode(self, frame: pd.DataFrame, target: Target = None) -> Block:
        source = self.sources[0]
        codes, labels = _cells.labels_of(self._source(frame), source)
        gaps = codes < 0
        _check_id(self.kind, source, gaps)
        position = {str(value): number for number, value in enumerate(self.vocabulary.values, start=1)}
        # The last entry is what code -1, a missing value, reads.
        ids = [*(position.get(str(label), 0) for label in labels), self.vocabulary.size if self.has_missing else 0]
        encoded = np.array(ids, np.int32)[codes]
        if not self.is_one_hot:
            return Block(gaps, ids=encoded)
        columns = np.arange(1, len(self.hot_names) + 1)
        return Block(gaps, hot=(encoded[:, None] == columns).astype(np.float32))

    def state(self) -> dict[str, Any]:
        return {"values": list(self.vocabulary.values), "has_missing": self.has_missing}

    @classmethod
    def load(cls, name: str, kind: Category | Id, flagged: bool, learnt: Mapping[str, Any]) -> Self:
        return cls(name, kind, flagged, Vocabulary.from_dict(learnt), bool(learnt.get("has_missing")))


@dataclass(frozen=True)
class FittedTags(Fitted):
    """Several labels, and their vocabulary."""

    kind: Tags
    vocabulary: MultiHotVocabulary

    @classmethod
    def fit(cls, frame: pd.DataFrame, name: str, kind: Tags, target: Target) -> Self | str:
        source = sources_of(name, kind)[0]
        codes, lists = _cells.tags_of(_cells.pick(frame, source), source, kind.separator)
        sets = [tuple(sorted(set(labels))) for labels in lists]
        if not any(sets):
            return "no value"
        if len({len(labels) for labels in lists} if kind.count else set(sets)) == 1:
            return "constant"
        counts: dict[str, int] = {}
        for labels, count in zip(sets, np.bincount(codes, minlength=len(sets)).tolist(), strict=True):
            for label in labels:
                counts[label] = counts.get(label, 0) + count
        kept = sorted(label for label, count in counts.items() if count >= kind.min_count)
        if not kept:
            return f"no label has {kind.min_count} rows"
        gaps = np.array([not labels for labels in lists])[codes]
        return cls(name, kind, is_flagged(kind, gaps), MultiHotVocabulary(tuple(kept)))

    @property
    def number_names(self) -> tuple[str, ...]:
        return (self.name,) if self.kind.count else ()

    @property
    def hot_names(self) -> tuple[str, ...]:
        return () if self.kind.count else tuple(f"{self.name}={label}" for label in self.vocabulary.labels)

    @property
    def summary(self) -> str:
        return f"{self.vocabulary.size:,} labels"

    def encode(self, frame: pd.DataFrame, target: Target = None) -> Block:
        codes, lists = _cells.tags_of(self._source(frame), self.sources[0], self.kind.separator)
        gaps = np.array([not labels for labels in lists], bool)[codes]
        if self.kind.count:
            return Block(gaps, numbers=np.array([len(labels) for labels in lists], np.float64)[codes][:, None])
        return Block(gaps, hot=_cells.multi_hot(lists, self.vocabulary.labels)[codes])

    def state(self) -> dict[str, Any]:
        return {"labels": list(self.vocabulary.labels)}

    @classmethod
    def load(cls, name: str, kind: Tags, flagged: bool, learnt: Mapping[str, Any]) -> Self:
        return cls(name, kind, flagged, MultiHotVocabulary.from_dict(learnt))


@dataclass(frozen=True)
class FittedTargetMean(Fitted):
    """A category and the mean target of each of its values."""

    kind: TargetMean
    means: TargetEncoder

    @classmethod
    def fit(cls, frame: pd.DataFrame, name: str, kind: TargetMean, target: Target) -> Self | str:
        if target is None:
            raise ConfigurationError(f"column {name!r}: TargetMean needs the target of the training rows")
        texts = _cells.texts_of(_cells.pick(frame, sources_of(name, kind)[0]), name)
        gaps = (texts == "").to_numpy(bool)
        if gaps.all():
            return "no value"
        if texts.nunique() == 1:
            return f"constant, {texts.iloc[0]!r}"
        return cls(name, kind, is_flagged(kind, gaps), TargetEncoder.fit(texts, target, smoothing=kind.smoothing))

    @property
    def number_names(self) -> tuple[str, ...]:
        return (f"{self.name}_mean", f"{self.name}_log_count")

    @property
    def summary(self) -> str:
        return f"{len(self.means.values):,} values, mean {self.means.mean:.6g}"

    def encode(self, frame: pd.DataFrame, target: Target = None) -> Block:
        texts = _cells.texts_of(self._source(frame), self.sources[0])
        if target is None:
            encoded = self.means.transform(texts)
        else:
            kind = self.kind
            encoded = cross_fit(texts, target, smoothing=kind.smoothing, folds=kind.folds, seed=kind.seed)
        numbers = np.column_stack([encoded[:, 0], np.log1p(encoded[:, 1])]).astype(np.float64)
        return Block((texts == "").to_numpy(bool), numbers=numbers)

    def state(self) -> dict[str, Any]:
        means = self.means
        lists = {name: list(getattr(means, name)) for name in ("values", "means", "counts")}
        return {**lists, "mean": means.mean}

    @classmethod
    def load(cls, name: str, kind: TargetMean, flagged: bool, learnt: Mapping[str, Any]) -> Self:
        return cls(name, kind, flagged, TargetEncoder.from_dict(learnt))


def _check_id(kind: Kind, source: str, missing: npt.NDArray[np.bool_]) -> None:
    if isinstance(kind, Id) and missing.any():
        raise DataError("an id is missing", row=int(np.argmax(missing)) + 1, column=source)
