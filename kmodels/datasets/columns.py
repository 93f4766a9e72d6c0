"""Columns of a file: which is which, the numbers a column may hold, and the errors that name a line."""

from __future__ import annotations

import csv
import difflib
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from kmodels.errors import ConfigurationError, DataError

#: A whole number in its usual form, which int64 can hold.
WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")
#: A decimal number in ASCII digits.
DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers (int64 for whole ones), the values it may hold, and these in words for error messages.

    The bounds are such that float64 holds each whole number between them.
    """

    name: str
    dtype: str = "float64"
    low: float = -np.finfo(np.float64).max
    high: float = np.finfo(np.float64).max
    expected: str = "a number"

    def parse(self, text: str) -> float:
        """The number of a field; a ValueError says what is wrong with it."""
        text = text.strip(" ")
        if not text:
            raise ValueError("the field is empty")
        number = parse_float(text)
        if self.dtype == "int64":
            written = Decimal(text)
            if written != written.to_integral_value():
                raise ValueError("not a whole number")
            number = int(written)
        if not self.low <= number <= self.high:
            raise ValueError("out of range")
        return number


def parse_float(text: str) -> float:
    """A decimal number that float64 can hold; a ValueError says why a text is none."""
    if not DECIMAL.fullmatch(text):
        raise ValueError("not a number")
    number = float(text)
    if math.isinf(number) or (number == 0 and re.match(r"[^eE]*[1-9]", text)):
        raise ValueError("out of range")
    return number


def parse_columns(text: str, known: Collection[str]) -> dict[str, str]:
    """Parses a column map such as ``"price=Sale Price,city=Town"``.

    Args:
        text: Pairs of our name and the table's, joined by ``=`` and separated by commas. A pair whose table name holds
            a comma is in double quotes. A pair without a table name leaves the column out. Empty: no pair.
        known: The names on the left that may occur.

    Returns:
        Our name -> the table's name, in the order given; spaces around names are taken off.

    Raises:
        ConfigurationError: If a pair has no ``=`` or nothing before it, a name is not one of `known`, or a name, ours
            or the table's, occurs twice.

    Example:
        >>> parse_columns('price=Cost, "city=Town, or village"', ("price", "city"))
        {'price': 'Cost', 'city': 'Town, or village'}
    """
    try:
        pairs = next(csv.reader([text], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise ConfigurationError(f"the column map has bad quotes ({error}). Received: {text!r}") from error
    mapping: dict[str, str] = {}
    for pair in pairs:
        ours, equals, theirs = (part.strip() for part in pair.partition("="))
        if not (ours and equals):
            raise ConfigurationError(f"a column map is a list of ours=theirs, separated by commas. Received: {pair!r}")
        if ours in mapping:
            raise ConfigurationError(f"the column map names {ours!r} twice. Received: {text!r}")
        mapping[ours] = theirs
    _check_map(mapping, known)
    return mapping


def match_columns(
    names: Sequence[str],
    mapping: Mapping[str, str],
    defaults: Mapping[str, Sequence[str]],
    required: Collection[str],
    file: Path,
) -> dict[str, str]:
    """Our name -> the file's, by the user's map, else the first of the defaults that the file has."""
    _check_map(mapping, defaults)
    has = ", ".join(names[:20]) + (" …" if len(names) > 20 else "")
    for ours, theirs in mapping.items():
        if theirs and theirs not in names:
            near = difflib.get_close_matches(theirs, names, 1)
            hint = f"; the nearest is '{near[0]}'" if near else ""
            raise DataError(
                f"there is no such column for '{ours}'{hint}", file=file, column=theirs, expected=f"one of {has}"
            )
    found = {}
    for ours, looked_for in defaults.items():
        candidates = [mapping[ours]] if ours in mapping else [name for name in looked_for if name in names]
        if any(candidates):
            found[ours] = theirs = candidates[0]
            if list(names).count(theirs) > 1:
                raise DataError("the header names this column twice", file=file, row=1, column=theirs)
        elif ours in required:
            raise DataError(
                f"the required column '{ours}' is missing",
                file=file,
                expected=f"a column '{looked_for[0]}', or the name of another as columns {ours}=…",
                received=has,
            )
    # A mapped column may bear the name that another is looked for under.
    _check_map(found, defaults)
    return found


def _check_map(mapping: Mapping[str, str], known: Collection[str]) -> None:
    by_column: dict[str, str] = {}
    for ours, theirs in mapping.items():
        if ours not in known:
            raise ConfigurationError(f"a column map knows the names {', '.join(known)}. Received: {ours!r}")
        if theirs and theirs in by_column:
            raise ConfigurationError(
                f"a column map uses the table's column {theirs!r} twice, as {by_column[theirs]!r} and as {ours!r}"
            )
        by_column[theirs] = ours
