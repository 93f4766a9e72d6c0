"""The map from our column names to a table's own, as a user writes it on the command line."""

from __future__ import annotations

import csv
from collections.abc import Collection

from kmodels.errors import ConfigurationError


def parse_columns(text: str, known: Collection[str]) -> dict[str, str]:
    """Parses a column map such as ``"budget=Production Budget,revenue=Worldwide Gross"``.

    Args:
        text: Pairs of our name and the table's, joined by ``=`` and separated by commas. A pair whose table name holds
            a comma stands in double quotes. Empty: no pair.
        known: The names on the left that may occur.

    Returns:
        Our name -> the table's name, in the order given; spaces around names are taken off.

    Raises:
        ConfigurationError: If a pair has no ``=`` or an empty side, a name is not one of `known`, or a name, ours or
            the table's, stands twice.

    Example:
        >>> parse_columns('budget=Cost, "revenue=Gross, worldwide"', ("budget", "revenue"))
        {'budget': 'Cost', 'revenue': 'Gross, worldwide'}
    """
    try:
        pairs = next(csv.reader([text], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise ConfigurationError(f"the column map has bad quotes ({error}). Received: {text!r}") from error
    mapping: dict[str, str] = {}
    for pair in pairs:
        ours, equals, theirs = (part.strip() for part in pair.partition("="))
        if not (ours and equals and theirs):
            raise ConfigurationError(f"a column map is a list of ours=theirs, separated by commas. Received: {pair!r}")
        if ours not in known:
            raise ConfigurationError(f"a column map knows the names {', '.join(known)}. Received: {ours!r}")
        if ours in mapping:
            raise ConfigurationError(f"the column map names {ours!r} twice. Received: {text!r}")
        if theirs in mapping.values():
            raise ConfigurationError(f"the column map uses the table's column {theirs!r} twice. Received: {text!r}")
        mapping[ours] = theirs
    return mapping
