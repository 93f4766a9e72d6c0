"""A table's columns as the inputs of a model, learnt from the training rows and kept as readable JSON."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.errors import ConfigurationError, DataError, printable
from kmodels.features import Feature, MultiHot, Numeric
from kmodels.preprocessing import _cells
from kmodels.preprocessing._cells import FloatArray
from kmodels.preprocessing._fitted import Encoded, Fitted
from kmodels.preprocessing._fitted_labels import FittedCategory, FittedTags, FittedTargetMean
from kmodels.preprocessing._fitted_numbers import FittedClusters, FittedDate, FittedNumber
from kmodels.preprocessing._from_json import rebuild
from kmodels.preprocessing._infer import resolve_kinds
from kmodels.preprocessing.columns import (
    Category,
    Clusters,
    Date,
    Id,
    Kind,
    Number,
    Tags,
    TargetMean,
    kind_from_dict,
    sources_of,
)
from kmodels.preprocessing.encoders import Encoder
from kmodels.preprocessing.standardizer import Standardizer
from kmodels.preprocessing.vocabulary import Vocabulary

MISSING = "missing"
_FITTED: dict[type, type[Fitted]] = {
    Number: FittedNumber,
    Category: FittedCategory,
    Id: FittedCategory,
    Tags: FittedTags,
    Date: FittedDate,
    TargetMean: FittedTargetMean,
    Clusters: FittedClusters,
}


class NoColumnError(DataError):
    """No column of the training rows can be encoded."""


@dataclass(frozen=True)
class TableEncoder(Encoder):
    """Encodes the rows of a table as a model's inputs, as it learnt from the training rows.

    Use `fit`, or `load` what `save` wrote. `print(encoder)` lists what each column became.

    Attributes:
        columns: The fitted columns in order: those named at `fit`, then the inferred ones.
        scaler: Mean and scale of the numbers; None where there are none.
        numbers: Name of the input that holds all numbers.
        ignored: Columns of the training table that are not encoded.
        notices: Which columns were left out and why, and which have values that are not learnt: a text for each.

    Example:
        >>> frame = pd.DataFrame({"age": [20, 30, None], "city": ["Rome", "Oslo", "Rome"], "tags": ["a|b", "b", ""]})
        >>> encoder = TableEncoder.fit(frame, columns={"tags": Tags("|")})
        >>> for feature in encoder.features:
        ...     print(feature)
        MultiHot(name='tags', size=2)
        Numeric(name='numbers', size=1)
        Categorical(name='city', size=3)
        MultiHot(name='missing', size=2)
        >>> arrays = encoder.transform(pd.DataFrame({"age": [25], "city": ["Bonn"], "tags": ["b|c"]}))
        >>> {name: array.tolist() for name, array in arrays.items()}
        {'tags': [[0.0, 1.0]], 'numbers': [[0.0]], 'city': [0], 'missing': [[0.0, 0.0]]}
    """

    columns: tuple[Fitted, ...]
    scaler: Standardizer | None
    numbers: str
    ignored: tuple[str, ...]
    notices: tuple[str, ...]
    _warned: set[tuple[str, str]] = field(default_factory=set, init=False, repr=False, compare=False)

    @classmethod
    def fit(
        cls,
        frame: pd.DataFrame,
        *,
        columns: Mapping[str, Kind] | None = None,
        drop: Iterable[str] = (),
        target: npt.ArrayLike | None = None,
        numbers: str = "numbers",
    ) -> Self:
        """Learns from the training rows.

        A column that neither `columns` (by its key or by `of`) nor `drop` names is inferred: numbers become `Number`,
        text, categoricals and truth values `Category`, dates `Date`, lists of text `Tags`. Left out with a notice
        (`notices`, and one warning) are columns that are constant or have no value, and inferred text of which more
        than nine in ten values differ. Where more than 10,000 values differ, those of fewer than ten rows are not
        learnt, with a notice.

        Args:
            frame: The training rows.
            columns: Name of a column, or of a new one with `of` -> its kind. Default None.
            drop: Columns to leave out, such as the target. Default ().
            target: Numbers, shape (rows,), for `TargetMean`. Default None.
            numbers: Name of the input that joins all numbers. Default "numbers".

        Raises:
            DataError: No rows, two columns of one name, a named column that is missing (with the nearest name), values
                that are not of their kind (with row and value), or no column that can be encoded.
            ConfigurationError: A kind that is none, a column both encoded and dropped, or `TargetMean` without target.
        """
        frame = _cells.named(frame)
        if not len(frame):
            raise DataError("the table has no rows to learn from")
        kinds, ignored, notices = resolve_kinds(frame, dict(columns or {}), list(drop))
        outcome = None if target is None else _outcome(target, len(frame))
        fitted: list[Fitted] = []
        for name, kind in kinds.items():
            column = _FITTED[type(kind)].fit(frame, name, kind, outcome)
            if isinstance(column, str):
                notices.append(f"column {name!r} is left out: {column}")
            else:
                fitted.append(column)
                if name not in (columns or {}) and isinstance(kind, Category) and kind.min_count > 1:
                    notices.append(
                        f"column {name!r} has very many values; those of fewer than {kind.min_count} rows are encoded "
                        "as unknown, unless `columns` says Category()"
                    )
        if notices:
            warnings.warn("; ".join(notices), stacklevel=2)
        if not fitted:
            raise NoColumnError("no column can be encoded", received="; ".join(notices) or "no columns")
        used = {source for column in fitted for source in sources_of(column.name, column.kind)}
        left = [name for kind_name, kind in kinds.items() for name in sources_of(kind_name, kind) if name not in used]
        encoder = cls(tuple(fitted), None, numbers, tuple(dict.fromkeys([*ignored, *left])), tuple(notices))
        return replace(encoder, scaler=encoder._fit_scaler([column.encode(frame, outcome) for column in fitted]))

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """The inputs, for builders of models, in the order of the columns.

        One `Categorical` for each category or id, one `MultiHot` for each column of tags, one-hot values or clusters,
        and one `Numeric` with all numbers where the first of them stands; last, the `MultiHot` named "missing" with a
        column for each column whose gaps it marks.
        """
        n_numbers = sum(column.size for column in self.columns if column.form is Numeric)
        found: dict[str, Feature] = {}
        for column in self.columns:
            name = self.inputs[column.name]
            found.setdefault(name, column.form(name, n_numbers if column.form is Numeric else column.size))
        if flagged := sum(column.flagged for column in self.columns):
            found[MISSING] = MultiHot(MISSING, flagged)
        return tuple(found.values())

    def transform(self, frame: pd.DataFrame, *, target: npt.ArrayLike | None = None) -> dict[str, np.ndarray]:
        """Encodes rows.

        Columns that the training table did not have are left out, and named in one warning. Another one counts the
        labels of `Category` and `Tags` that were not learnt, which are encoded as 0, once for each column.

        Args:
            frame: The rows, with the columns that were encoded at `fit`.
            target: For training rows where a column is a `TargetMean`: their target, shape (rows,), so that each row
                is encoded by the folds that it is not in. Default None.

        Returns:
            Name of an input -> array: float32 (rows, size) for `Numeric` and `MultiHot`, int32 (rows,) for
            `Categorical`, where 0 is a value that was not learnt.

        Raises:
            DataError: A missing column (with the nearest name), or a value that is not of its column's kind (with row
                and value).
        """
        encoded = self._encode(frame, target)
        arrays: dict[str, np.ndarray] = {}
        for column, each in zip(self.columns, encoded, strict=True):
            name = self.inputs[column.name]
            if column.form is not Numeric:
                arrays[name] = each.values
            elif name not in arrays:
                assert self.scaler is not None
                arrays[name] = self.scaler.transform(self._numbers(encoded))
        if flags := self._flags(encoded):
            arrays[MISSING] = np.column_stack(flags).astype(np.float32)
        return arrays

    def frame(self, frame: pd.DataFrame, *, target: npt.ArrayLike | None = None) -> pd.DataFrame:
        """Encodes rows as one table of numbers, for scikit-learn.

        Args:
            frame: As for `transform`.
            target: As for `transform`. Default None.

        Returns:
            float64 (rows, columns): numbers before scaling, ids of categories, columns of 0 and 1 named
            "column=value", and "column is missing" for columns that had gaps in training.

        Raises:
            DataError: As `transform` raises it.
        """
        encoded = self._encode(frame, target)
        names = [name for column in self.columns for name in column.names]
        names += [column.flag_name for column in self.columns if column.flagged]
        matrix = np.column_stack([*(each.values for each in encoded), *self._flags(encoded)]).astype(np.float64)
        return pd.DataFrame(matrix, columns=names, index=frame.index)

    def vocabulary(self, name: str) -> Vocabulary:
        """Gives the values of a category or an id, in the order of their ids.

        Args:
            name: Name of the column.

        Raises:
            ConfigurationError: If no such column is a category or an id.
        """
        found = {column.name: column for column in self.columns if isinstance(column, FittedCategory)}
        if name not in found:
            known = ", ".join(found) or "none"
            raise ConfigurationError(f"no such category; expected one of {known}; received {name!r}")
        return Vocabulary(found[name].values)

    def __str__(self) -> str:
        rows = [("column", "kind", "input", "learnt")]
        for column in self.columns:
            learnt = column.summary + ", gaps" * column.flagged
            rows.append((column.name, _kind_text(column.kind), self.inputs[column.name], learnt))
        widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([*(line.rstrip() for line in lines), *self.notices])

    def to_dict(self) -> dict[str, Any]:
        """Gives what was learnt as plain values for JSON, as `save` writes it."""
        return {
            "numbers": self.numbers,
            "columns": {column.name: column.to_dict() for column in self.columns},
            "scaler": None if self.scaler is None else asdict(self.scaler),
            "ignored": self.ignored,
            "notices": self.notices,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Rebuilds the encoder from what `to_dict` gave; `DataError` if it is not that."""
        columns = content.get("columns")
        if not isinstance(columns, dict) or not columns:
            raise DataError("not a table encoder", expected="its columns", received=list(content))
        fitted = tuple(_load_column(name, each) for name, each in columns.items())
        encoder = rebuild(cls, {name: each for name, each in content.items() if name != "columns"}, fitted)
        numbers = sum(column.size for column in fitted if column.form is Numeric)
        if numbers != (0 if encoder.scaler is None else len(encoder.scaler.mean)):
            raise DataError("the scaler does not fit the columns", column="scaler")
        return encoder

    @cached_property
    def inputs(self) -> dict[str, str]:
        """Name of a column -> name of its input."""
        names: dict[str, str] = {}
        taken = {self.numbers, MISSING}
        for column in self.columns:
            names[column.name] = self.numbers if column.form is Numeric else _input_name(column.name, taken)
            taken.add(names[column.name])
        return names

    def _encode(self, frame: pd.DataFrame, target: npt.ArrayLike | None) -> list[Encoded]:
        """The encoded columns; warns once of each column that is left out and of each column's unknown labels."""
        frame = _cells.named(frame)
        sources = [source for column in self.columns for source in sources_of(column.name, column.kind)]
        for source in sources:
            _cells.pick(frame, source)
        outcome = None if target is None else _outcome(target, len(frame))
        encoded = [column.encode(frame, outcome) for column in self.columns]
        known = {*sources, *self.ignored}
        if extra := [name for name in frame.columns if name not in known and ("extra", name) not in self._warned]:
            warnings.warn(f"columns that the training rows did not have are left out: {', '.join(extra)}", stacklevel=3)
        pairs = zip(self.columns, encoded, strict=True)
        labels = {column.name: each.unknown for column, each in pairs if ("labels", column.name) not in self._warned}
        if unknown := {name: counts for name, counts in labels.items() if counts}:
            warnings.warn(f"labels that were not learnt are encoded as unknown: {_counted(unknown)}", stacklevel=3)
        self._warned.update([("extra", name) for name in extra], [("labels", name) for name in unknown])
        return encoded

    def _flags(self, encoded: Iterable[Encoded]) -> list[npt.NDArray[np.bool_]]:
        return [each.gaps for column, each in zip(self.columns, encoded, strict=True) if column.flagged]

    def _numbers(self, encoded: Iterable[Encoded]) -> FloatArray:
        """(rows, numbers): those of all columns side by side, before scaling."""
        pairs = zip(self.columns, encoded, strict=True)
        return np.column_stack([each.values for column, each in pairs if column.form is Numeric])

    def _fit_scaler(self, encoded: Iterable[Encoded]) -> Standardizer | None:
        """Mean and scale of the numbers: 0 and 1 for those that are not to be scaled."""
        scaled = [flag for column in self.columns if column.form is Numeric for flag in column.scaled]
        if not scaled:
            return None
        fitted = Standardizer.fit(self._numbers(encoded))
        mean, scale = np.where(scaled, fitted.mean, 0.0), np.where(scaled, fitted.scale, 1.0)
        return Standardizer(tuple(mean.tolist()), tuple(scale.tolist()))


def _outcome(target: npt.ArrayLike, rows: int) -> FloatArray:
    values = np.asarray(target, np.float64).reshape(-1)
    if len(values) != rows or not np.isfinite(values).all():
        raise DataError("the target does not fit the table", expected=f"{rows} finite numbers", received=len(values))
    return values


def _counted(unknown: Mapping[str, Mapping[str, int]]) -> str:
    """Column -> label -> rows, in words."""
    firsts = {name: printable(repr(next(iter(rows))), 60) for name, rows in unknown.items()}
    return "; ".join(
        f"column {name!r}: {len(rows)} values, {sum(rows.values())} times, the first {firsts[name]}"
        for name, rows in unknown.items()
    )


def _input_name(name: str, taken: set[str]) -> str:
    """The column's name in letters, digits and underscores, as Keras needs it, and different from others."""
    stem = re.sub(r"[^A-Za-z0-9_]+", "_", name)
    stem = stem if re.match(r"[A-Za-z_]", stem) else f"_{stem}"
    number, made = 1, stem
    while made in taken:
        number += 1
        made = f"{stem}_{number}"
    return made


def _kind_text(kind: Kind) -> str:
    """The kind as it is written in `columns`."""
    values = {field: getattr(kind, field.name) for field in fields(kind)}
    given = [f"{field.name}={value!r}" for field, value in values.items() if value != field.default]
    return f"{type(kind).__name__}({', '.join(given)})"


def _load_column(name: str, content: Any) -> Fitted:
    """Rebuilds a fitted column from its `to_dict`; `DataError` if it is not that."""
    if not isinstance(content, dict) or type(content.get("flagged")) is not bool:
        raise DataError("not a fitted column", column=name, received=content)
    try:
        kind = kind_from_dict({key: value for key, value in content.items() if key not in ("flagged", "learnt")})
        return rebuild(_FITTED[type(kind)], content.get("learnt"), name, kind, content["flagged"])
    except DataError as error:
        raise DataError(str(error), column=name) from error
