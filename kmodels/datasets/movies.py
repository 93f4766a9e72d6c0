"""Films with budget and revenue: TMDB's pair of tables, or any CSV or JSON table through a map of its columns.

The pair is Kaggle's "TMDB 5000 Movie Dataset", ``tmdb_5000_movies.csv`` and ``tmdb_5000_credits.csv``, with JSON in the
columns of genres and crew. Of any other table only a column of budgets and one of revenues are required.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.datasets import movie_fields as fields
from kmodels.datasets.columns import match_columns
from kmodels.datasets.download import resolve
from kmodels.datasets.readers import open_table
from kmodels.datasets.sources import find_table, sha256, split_name, table_files
from kmodels.datasets.tables import Table
from kmodels.errors import ConfigurationError, DataError

__all__ = ["load"]

#: Our names of the columns, those of a column map.
COLUMNS = ("title", "genres", "director", "runtime", "rating", "votes", "budget", "revenue", "release_date")
#: Columns that may go into a model, in the order that `input_columns` gives them.
INPUTS = ("budget", "runtime", "genres", "director", "rating", "votes")
#: Columns whose values exist only once a film is out: they predict nothing that was still open.
AFTER_RELEASE = ("rating", "votes", "revenue")
#: Names of the classes of `target`, by their numbers.
LABELS = ("no profit", "profit")

_REQUIRED = ("budget", "revenue")
# TMDB's own names, taken where a table has no column of our name.
_TMDB = {"rating": ["vote_average"], "votes": ["vote_count"]}
_CREW = "crew"
_TARGET = re.compile(r"revenue|gross|profit|earning|box.?office|sales|takings|\broi\b", re.IGNORECASE)
_SAMPLE = "movies-sample"


@dataclass(frozen=True, eq=False)
class Movies:
    """Films, each with a budget and a revenue.

    Attributes:
        name: ``"sample"``, or the name of the folder or file, without its ending.
        path: The folder or file they were read from.
        sha256: Hexadecimal digest of the bytes of the table, and of the credits' after them.
        table: One row per film, in the file's order, numbered from 0: `budget` and `revenue` float64 (above 0, in the
            table's currency) and, as far as the table has them, `title` str (``""`` unknown), `genres` object (tuples
            of str, possibly empty), `director` str (``""`` unknown), `runtime` float64 (minutes), `rating` and `votes`
            float64 (nan where missing) and `release_date` datetime64[s] (NaT where missing).
        dropped: Why rows of the file are not in the table -> number of them: ``"no budget"``, ``"no revenue"``,
            ``"repeated"``.
        noted: What else is odd -> number of rows: ``"two-digit year"`` (or one after 2029, made of two digits by some
            program; read as 1930 to 2029), and ``"missing …"`` for each column with gaps.
    """

    name: str
    path: Path
    sha256: str
    table: pd.DataFrame
    dropped: Mapping[str, int]
    noted: Mapping[str, int]


def load(source: str | Path, *, columns: Mapping[str, str] | None = None, separator: str = "|") -> Movies:
    r"""Loads films: the sample, TMDB's pair of files, or a CSV or JSON table.

    A column that the map does not name is taken where the table has one of just our name (`COLUMNS`), or of TMDB's.
    Amounts may be written with a currency, thousands separators and words such as "million"; a budget or revenue that
    is missing or 0 is missing, and its row is dropped and counted, as is a row that repeats an earlier one's title and
    release date (or, where there is no date, its title, budget and revenue).

    Args:
        source: ``"sample"``, the synthetic sample; a CSV, TSV, JSON or Parquet file; or a
            folder that holds one, or TMDB's pair: ``…movies….csv`` and ``…credits….csv``.
        columns: Our names -> the table's, such as ``{"budget": "Production Budget"}``. Default None.
        separator: What stands between genres that are not a bracketed list. Default "|".

    Returns:
        The films.

    Raises:
        ConfigurationError: If `source` is neither "sample" nor an existing path, or the map is wrong, or takes an input
            from a column that is part of the revenue.
        DataError: If a file or column is missing, a row is wrong (the line is named), amounts are in several
            currencies, or no row has both amounts.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "films.csv"
        ...     _ = file.write_text('Name,Cost,Gross\nA,"$1,500",$2m\nB,$10,$0\nC,$10,$4\n')
        ...     films = load(file, columns={"title": "Name", "budget": "Cost", "revenue": "Gross"})
        >>> films.table.values.tolist(), dict(films.dropped)
        ([['A', 1500.0, 2000000.0], ['C', 10.0, 4.0]], {'no revenue': 1})
    """
    for ours, theirs in (columns or {}).items():
        if ours != "revenue" and _TARGET.search(theirs):
            raise ConfigurationError(
                f"the column {theirs!r} is part of the revenue, which is to be predicted, and cannot be the {ours}"
            )
    path = resolve(source, _SAMPLE)
    text, files = _read_texts(path, columns or {})
    table, noted = _parse(text, separator)
    kept, dropped = _drop(table)
    if kept.empty:
        raise DataError("no film has both a budget and a revenue", file=text.file, received=dropped)
    for column in kept:
        if gaps := int((kept[column].isna() | kept[column].map(lambda value: value in ("", ()))).sum()):
            noted[f"missing {column}"] = gaps
    name = "sample" if source == "sample" else split_name(path)[0]
    return Movies(name, path, sha256(*files), kept.reset_index(drop=True), dropped, noted)


def rows(source: str | Path, *, columns: Mapping[str, str] | None = None, separator: str = "|") -> pd.DataFrame:
    """Reads films to predict, all of them, as `load` has them in `table`; none needs an amount."""
    chosen = {ours: theirs for ours, theirs in (columns or {}).items() if ours != "revenue"}
    text, _ = _read_texts(Path(source), chosen, required=())
    return _parse(text, separator)[0]


def _read_texts(
    path: Path, chosen: Mapping[str, str], required: tuple[str, ...] = _REQUIRED
) -> tuple[Table, list[Path]]:
    """Reads a source into columns of text under our names, with the director of TMDB's credits; and its files."""
    files = [find_table(path, leave_out=("credits", "floors"))]
    table = open_table(files[0], latin_1=True)
    looked_for = {ours: [ours, *_TMDB.get(ours, ())] for ours in COLUMNS}
    names = match_columns(table.names, chosen, looked_for, required, files[0])
    if path.is_dir():
        files += [file for file in table_files(path) if "credits" in file.name]
    if len(files) > 2:
        raise DataError("several tables of credits", file=path, received=", ".join(file.name for file in files[1:]))
    if len(files) == 1:
        return table.read(list(names.values())).select(names), files
    whole = table.read()
    directors = pd.Categorical(_directors(whole, open_table(files[1], latin_1=True).read()))
    frame = whole.select(names).frame.assign(director=directors)
    return Table(files[0], frame[[name for name in COLUMNS if name in frame]], names), files


def _directors(films: Table, credit: Table) -> list[str]:
    """Each film's director, joined by TMDB's id."""
    for table, name in ((films, "id"), (credit, "movie_id"), (credit, _CREW)):
        if name not in table.frame:
            raise DataError("a column of TMDB's tables is missing", file=table.file, column=name)
    directors = _read_column(credit, _CREW, fields.director_of, "", "TMDB's list of the crew")
    by_id = dict(zip(credit.frame["movie_id"], directors, strict=True))
    return [by_id.get(film, "") for film in films.frame["id"]]


def _parse(text: Table, separator: str) -> tuple[pd.DataFrame, dict[str, int]]:
    """Reads every field; what is missing becomes nan, NaT, "" or ()."""
    parsed: dict[str, Any] = {}
    noted: dict[str, int] = {}
    for column in text.frame:
        match column:
            case "title" | "director":
                parsed[column] = _read_column(text, column, str.strip, "", "text")
            case "genres":
                names = _read_column(text, column, lambda field: fields.parse_names(field, separator), (), "names")
                # A Series of tuples; pandas would take a list of equal tuples for a table.
                parsed[column] = pd.Series(names, dtype=object)
            case "release_date":
                dates = _read_column(text, column, fields.parse_date, (None, False), "a date")
                parsed[column] = np.array([date for date, _ in dates], dtype="datetime64[s]")
                if short := sum(is_short for _, is_short in dates):
                    noted["two-digit year"] = short
            case "runtime" | "rating" | "votes":
                numbers = np.array(_read_column(text, column, _positive, np.nan, "a number from 0"), np.float64)
                # No film takes no time.
                parsed[column] = np.where(numbers == 0, np.nan, numbers) if column == "runtime" else numbers
    parsed |= _amounts(text)
    return pd.DataFrame({name: parsed[name] for name in map(str, text.frame)}), noted


def _read_column(text: Table, column: str, parse: Callable[[str], Any], missing: Any, expected: str) -> list[Any]:
    return text.parse(column, lambda field: missing if fields.is_missing(field) else parse(field), expected)


def _positive(field: str) -> float:
    number = fields.parse_number(field)
    if number < 0:
        raise ValueError("below 0")
    return number


def _amounts(text: Table) -> dict[str, npt.NDArray[np.float64]]:
    """Budgets and revenues, nan where missing or 0, all in one currency."""
    first: tuple[str, str, int] | None = None
    found = {}
    for column in [name for name in _REQUIRED if name in text.frame]:
        pairs = _read_column(text, column, fields.parse_amount, (np.nan, ""), "an amount of money from 0")
        for row, (amount, currency) in enumerate(pairs):
            if currency and amount:
                first = first or (currency, column, row)
                if currency != first[0]:
                    where = f"'{first[0]}' as in row {first[2] + 1}, column '{first[1]}'"
                    raise text.error("amounts are in several currencies", row, column, where)
        amounts = np.array([amount for amount, _ in pairs], np.float64)
        found[column] = np.where(amounts == 0, np.nan, amounts)
    return found


def _drop(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Takes out rows without amounts, and those that repeat an earlier one."""
    dropped: dict[str, int] = {}
    for column in _REQUIRED:
        lacking = table[column].isna()
        if lacking.any():
            dropped[f"no {column}"] = int(lacking.sum())
            table = table[~lacking]
    if "title" in table and len(table):
        titles = table["title"].str.casefold()
        dates = table["release_date"] if "release_date" in table else pd.Series(pd.NaT, index=table.index)
        dated = pd.DataFrame({"title": titles, "date": dates}).duplicated() & dates.notna()
        alike = pd.DataFrame({"title": titles, "b": table["budget"], "r": table["revenue"], "date": dates}).duplicated()
        repeated = (dated | alike) & (titles != "")
        if repeated.any():
            dropped["repeated"] = int(repeated.sum())
            table = table[~repeated]
    return table, dropped


def target(data: Movies) -> npt.NDArray[np.int32]:
    """int32 (rows,): 1 for a film with a profit, revenue - budget > 0, else 0; refuses films of one class alone."""
    profitable = (data.table["revenue"] - data.table["budget"] > 0).to_numpy()
    if profitable.all() or not profitable.any():
        what = "made a profit" if profitable.all() else "made no profit"
        raise DataError(f"all {len(profitable)} films {what}", file=data.path, expected="films of both kinds")
    return profitable.astype(np.int32)


def input_columns(data: Movies, *, known_before_release: bool = True) -> tuple[str, ...]:
    """Names of the table's columns that go into a model, in the order of `INPUTS`, without `AFTER_RELEASE` if so."""
    late = AFTER_RELEASE if known_before_release else ()
    return tuple(name for name in INPUTS if name in data.table and name not in late)


def warnings(inputs: tuple[str, ...]) -> list[str]:
    """A sentence where inputs are among `AFTER_RELEASE`."""
    late = [name for name in inputs if name in AFTER_RELEASE]
    what = "known only after release: the figures are no forecast of a film that is not out yet"
    return [f"{' and '.join(late)} is {what}."] if late else []


def summary(data: Movies) -> dict[str, Any]:
    """The counts of a report: rows, share with a profit, years, directors, rows dropped and noted, sha256."""
    table = data.table
    years = table["release_date"].dropna().dt.year if "release_date" in table else pd.Series(dtype="int64")
    return {
        "rows": len(table),
        "profitable": float((table["revenue"] > table["budget"]).mean()),
        "first_year": int(years.min()) if len(years) else None,
        "last_year": int(years.max()) if len(years) else None,
        "directors": int((table["director"].drop_duplicates() != "").sum()) if "director" in table else 0,
        "dropped": dict(data.dropped),
        "noted": dict(data.noted),
        "sha256": data.sha256,
    }
