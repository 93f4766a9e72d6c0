"""The kinds of columns that `TableEncoder` encodes: small frozen values that say what a column is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing._from_json import rebuild

__all__ = ["Category", "Clusters", "Date", "Id", "Number", "Tags", "TargetMean"]


@dataclass(frozen=True)
class Number:
    """A number, one column of the input `numbers`; a missing value becomes the training median.

    Args:
        log: Whether to encode log(1 + x); values must then be 0 or more. Default False.
        scale: Whether to standardise by the training rows. Default True.
        flag_missing: Whether the input `missing` marks gaps. Default None, if training rows have some.
        of: Source column. Default None, the column of the key's name.

    Example:
        >>> Number(log=True, of="price")
        Number(log=True, scale=True, flag_missing=None, of='price')
    """

    log: bool = False
    scale: bool = True
    flag_missing: bool | None = None
    of: str | None = None


@dataclass(frozen=True)
class Category:
    """One of some values: an id for an embedding, or one-hot columns.

    Ids start at 1 in ascending order of the values; 0 is a value that was not learnt. Where training rows have gaps, a
    missing value has the last id; otherwise 0. Labels are compared as text, so that 7, 7.0 and "7" are one value.

    Args:
        min_count: Training rows that a value needs to be learnt, 1 or more. Default 1.
        one_hot: Whether to give a column of 0 and 1 for each value instead of ids. Default False.
        of: Source column. Default None, the column of the key's name.

    Raises:
        ConfigurationError: `min_count` below 1.

    Example:
        >>> Category(min_count=5)
        Category(min_count=5, one_hot=False, of=None)
    """

    min_count: int = 1
    one_hot: bool = False
    of: str | None = None

    def __post_init__(self) -> None:
        _at_least(1, min_count=self.min_count)


@dataclass(frozen=True)
class Id:
    """An identifier of a user, an item or the like: as `Category`, but never missing and never left out.

    Args:
        of: Source column. Default None, the column of the key's name.

    Example:
        >>> Id()
        Id(of=None)
    """

    of: str | None = None


@dataclass(frozen=True)
class Tags:
    """Several labels in a cell, as a list or as text with a separator: multi-hot columns, or their number.

    Labels that were not learnt are left out. A cell without labels counts as missing.

    Args:
        separator: What stands between the labels where a cell is text. Default "|".
        min_count: Training rows that a label needs to be learnt, 1 or more. Default 1.
        count: Whether to give the number of labels, standardised, instead of columns. Default False.
        flag_missing: Whether the input `missing` marks gaps. Default None, if training rows have some.
        of: Source column. Default None, the column of the key's name.

    Raises:
        ConfigurationError: An empty separator, or `min_count` below 1.

    Example:
        >>> Tags(separator=",")
        Tags(separator=',', min_count=1, count=False, flag_missing=None, of=None)
    """

    separator: str = "|"
    min_count: int = 1
    count: bool = False
    flag_missing: bool | None = None
    of: str | None = None

    def __post_init__(self) -> None:
        _at_least(1, min_count=self.min_count)
        if not self.separator:
            raise ConfigurationError("the separator of tags must not be empty")


@dataclass(frozen=True)
class Date:
    """A date as five numbers: days since 1970 (standardised), sine and cosine of the day of the year and of the week.

    A missing date becomes the training median and zeros; the input `missing` marks it where training rows have gaps.

    Args:
        of: Source column, datetime64 or text such as "2024-05-31". None: the column of the key's name. Default None.

    Example:
        >>> Date()
        Date(of=None)
    """

    of: str | None = None


@dataclass(frozen=True)
class TargetMean:
    """A category with many values as two numbers: the mean target of its training rows, and log(1 + their number).

    A value with n training rows of mean m has (n · m + smoothing · mean) / (n + smoothing), `mean` being that of all
    rows, which is also what missing and other values have (Micci-Barreca, SIGKDD Explorations 3 (1), 2001). Training
    rows are encoded by the folds that they are not in, lest they see their own target: `transform(frame, target=y)`.

    Args:
        smoothing: Rows of the mean target that are added to each value, 0 or more. Default 10.0.
        folds: Folds for the training rows, 2 or more. Default 5.
        seed: Seed of the folds, 0 or more. Default 0.
        flag_missing: Whether the input `missing` marks gaps. Default None, if training rows have some.
        of: Source column. Default None, the column of the key's name.

    Raises:
        ConfigurationError: A number out of range.

    Example:
        >>> TargetMean(smoothing=20.0)
        TargetMean(smoothing=20.0, folds=5, seed=0, flag_missing=None, of=None)
    """

    smoothing: float = 10.0
    folds: int = 5
    seed: int = 0
    flag_missing: bool | None = None
    of: str | None = None

    def __post_init__(self) -> None:
        _at_least(0, smoothing=self.smoothing, seed=self.seed)
        _at_least(2, folds=self.folds)


@dataclass(frozen=True)
class Clusters:
    """Points, such as coordinates, as one-hot columns of the nearest of some k-means centres; zeros where missing.

    Args:
        of: Source columns, numbers of one unit.
        clusters: Number of centres, 1 or more. Default 4.
        seed: Seed of the search, 0 or more. Default 0.

    Raises:
        ConfigurationError: No source column, or a number out of range.

    Example:
        >>> Clusters(of=("longitude", "latitude"))
        Clusters(of=('longitude', 'latitude'), clusters=4, seed=0)
    """

    of: tuple[str, ...]
    clusters: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        _at_least(1, clusters=self.clusters)
        _at_least(0, seed=self.seed)
        if isinstance(self.of, str) or not self.of:
            raise ConfigurationError(f"Clusters needs a list of source columns. Received: of={self.of!r}")
        object.__setattr__(self, "of", tuple(self.of))


Kind = Number | Category | Id | Tags | Date | TargetMean | Clusters
_KINDS: dict[str, type[Kind]] = {kind.__name__: kind for kind in Kind.__args__}


def sources_of(name: str, kind: Kind) -> tuple[str, ...]:
    """Names the columns of the table that a kind reads."""
    return kind.of if isinstance(kind, Clusters) else (kind.of or name,)


def kind_from_dict(content: Mapping[str, Any]) -> Kind:
    """Rebuilds a kind from its name under "kind" and its fields; `DataError` if it is not that."""
    name = content.get("kind")
    if not isinstance(name, str) or name not in _KINDS:
        raise DataError("not a kind of column", expected=", ".join(_KINDS), received=name)
    try:
        return rebuild(_KINDS[name], {key: value for key, value in content.items() if key != "kind"})
    except ConfigurationError as error:
        raise DataError(f"not a {name} ({error})") from error


def _at_least(least: int, **values: float) -> None:
    for name, value in values.items():
        if not value >= least:
            raise ConfigurationError(f"{name} must be {least} or more. Received: {name}={value}")
