"""A reader under test, and what its cases share."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tests.fuzz.mutations import Rng

Files = dict[str, bytes]


@dataclass(frozen=True)
class Case:
    """A reader, the files it is given, and the check of what it returns.

    Attributes:
        reader: The module's name.
        make: Whole files by name.
        read: Reads the folder they are in.
        check: From the folder and the result to what differs from an independent reader's.
        binary: Ending of files that are not text.
        keep: Files that stay as they are.
    """

    reader: str
    make: Callable[[Rng], Files]
    read: Callable[[Path], Any]
    check: Callable[[Path, Any], Iterator[str]]
    binary: tuple[str, ...] = (".parquet", ".gz", ".png")
    keep: tuple[str, ...] = ()


def lines(separator: str, rows: list[tuple[Any, ...]]) -> bytes:
    return "".join(separator.join(map(str, row)) + "\n" for row in rows).encode()


def values(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [dict(zip(table, row, strict=True)) for row in table.astype(object).itertuples(index=False)]


def parquet(table: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    table.to_parquet(file, index=False)
    return file.getvalue()
