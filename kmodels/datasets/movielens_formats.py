"""The four shapes MovieLens comes in, each parsed into the same three tables.

The files are described in the README of each release, https://files.grouplens.org/datasets/movielens/, and
for RecBole's atomic files in https://recbole.io/docs/user_guide/data/atomic_files.html.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from kmodels.datasets.tables import (
    NumberColumn,
    read_bytes,
    read_numbers,
    read_text,
    require_unique,
    split_header,
    to_numbers,
)
from kmodels.errors import DataError

#: Every genre of every release. "Children's" became "Children" and "IMAX" was added after MovieLens-1M.
GENRES: tuple[str, ...] = (
    "Action",
    "Adventure",
    "Animation",
    "Children",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "IMAX",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)

#: The occupations of MovieLens-1M; the position is the code in users.dat.
OCCUPATIONS: tuple[str, ...] = (
    "other",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
)

#: First year of each age band of MovieLens-1M; exact ages of other releases fall into the same bands.
AGE_BANDS: tuple[int, ...] = (1, 18, 25, 35, 45, 50, 56)

# How the releases write that a film has no genre.
_NO_GENRE = ("", "(no genres listed)", "unknown")

_ID = "a whole number, 0 or more"
_USER = NumberColumn("user_id", "int64", 0, 2**53, _ID)
_ITEM = NumberColumn("item_id", "int64", 0, 2**53, _ID)
_RATING = NumberColumn("rating", "float32", 0.5, 5.0, "a number of stars from 0.5 to 5")
# The upper end is the year 2106: it catches milliseconds.
_TIME = NumberColumn("timestamp", "int64", 0, 2**32, "whole seconds since 1970")
_RATING_COLUMNS = (_USER, _ITEM, _RATING, _TIME)
_AGE = NumberColumn("age", "int64", 0, 130, "whole years")
_OCCUPATION = NumberColumn("occupation", "int64", 0, len(OCCUPATIONS) - 1, f"a code from 0 to {len(OCCUPATIONS) - 1}")

# "Heat (1995)"; some series have a range, "Death Note (2006-2007)".
_YEAR_IN_TITLE = r"\((\d{4})(?:[-–]\d{0,4})?\)\s*$"

# u.item, in the order of its columns.
_ITEM_100K = ("item_id", "title", "release_date", "video_release_date", "url", "unknown")
_GENRES_100K = tuple(genre for genre in GENRES if genre not in ("Children", "IMAX"))


class Ratings(NamedTuple):
    """A ratings file: the table, where it came from and the digest of its bytes."""

    table: pd.DataFrame
    file: Path
    first_line: int
    sha256: str


class Tables(NamedTuple):
    """What every parser returns: `users` and `items` are unique by id, nothing is checked across tables."""

    ratings: Ratings
    users: pd.DataFrame
    items: pd.DataFrame


def read_ml_1m(folder: Path) -> Tables:
    """Reads ratings.dat, users.dat and movies.dat: fields between ``::``, latin-1, no header."""
    users_file, items_file = folder / "users.dat", folder / "movies.dat"
    names = ("user_id", "gender", "age", "occupation", "zip_code")
    users = read_text(read_bytes(users_file), users_file, names, "::", encoding="latin-1")
    items = read_text(read_bytes(items_file), items_file, ("item_id", "title", "genres"), "::", encoding="latin-1")
    return Tables(
        _read_ratings(folder / "ratings.dat", "::"),
        _tidy_users(users, users_file),
        _tidy_items(items, items_file, _genres_from_text(items, items_file, "|")),
    )


def read_ml_100k(folder: Path) -> Tables:
    """Reads u.data (tabs), u.user and u.item (``|``, latin-1, a 0/1 column per genre), no header."""
    users_file, items_file = folder / "u.user", folder / "u.item"
    names = ("user_id", "age", "gender", "occupation", "zip_code")
    users = read_text(read_bytes(users_file), users_file, names, "|", encoding="latin-1")
    items = read_text(read_bytes(items_file), items_file, (*_ITEM_100K, *_GENRES_100K), "|", encoding="latin-1").rename(
        columns={"release_date": "release"}
    )
    flags = ("unknown", *_GENRES_100K)
    for name in flags:
        to_numbers(items, NumberColumn(name, "int64", 0, 1, "0 or 1"), items_file)
    marked = (items[list(_GENRES_100K)] == "1").to_numpy()
    genres = ["|".join(np.array(_GENRES_100K)[row]) for row in marked]
    return Tables(
        _read_ratings(folder / "u.data", "\t"),
        _tidy_users(users, users_file),
        _tidy_items(items, items_file, genres),
    )


def read_csv_release(folder: Path) -> Tables:
    """Reads ratings.csv and movies.csv (UTF-8, header, quotes); users are the ids found in the ratings."""
    file = folder / "movies.csv"
    header, body = split_header(read_bytes(file), file)
    if header != "movieId,title,genres":
        raise DataError("unknown header", file=file, row=1, expected="movieId,title,genres", received=header[:80])
    items = read_text(body, file, ("item_id", "title", "genres"), ",", quoted=True, first_line=2)
    ratings = _read_ratings(folder / "ratings.csv", ",", header="userId,movieId,rating,timestamp")
    users = pd.DataFrame({"user_id": np.unique(ratings.table["user_id"].to_numpy())})
    return Tables(ratings, users, _tidy_items(items, file, _genres_from_text(items, file, "|")))


def read_recbole(folder: Path) -> Tables:
    """Reads one .inter, one .user and one .item file: tabs, UTF-8, a header of ``name:type`` fields."""
    (inter,) = folder.glob("*.inter")
    users_file, items_file = inter.with_suffix(".user"), inter.with_suffix(".item")
    users = _read_atomic(users_file, {"user_id"})
    items = _read_atomic(items_file, {"item_id", "movie_title"}).rename(
        columns={"movie_title": "title", "release_year": "release", "class": "genres", "genre": "genres"}
    )
    if "genres" not in items:
        raise DataError("no genre column", file=items_file, row=1, expected="'class:token_seq' or 'genre:token_seq'")
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
    return Tables(
        _read_ratings(inter, "\t", header=header),
        _tidy_users(users, users_file),
        _tidy_items(items, items_file, _genres_from_text(items, items_file, " ")),
    )


def _read_atomic(file: Path, needed: set[str]) -> pd.DataFrame:
    """Reads a RecBole side table by the names in its header."""
    header, body = split_header(read_bytes(file), file)
    names = [field.partition(":")[0] for field in header.split("\t")]
    if not needed <= set(names):
        raise DataError("unknown header", file=file, row=1, expected=f"columns {sorted(needed)}", received=header[:80])
    return read_text(body, file, names, "\t", first_line=2)


#: Name of each format -> its ratings file (a glob), all its files in words, and its parser.
FORMATS: dict[str, tuple[str, str, Callable[[Path], Tables]]] = {
    "ml-1m": ("ratings.dat", "ratings.dat, users.dat, movies.dat (MovieLens-1M)", read_ml_1m),
    "ml-100k": ("u.data", "u.data, u.user, u.item (MovieLens-100K)", read_ml_100k),
    "csv": (
        "ratings.csv",
        "ratings.csv, movies.csv (MovieLens latest-small, 20M, 25M, 32M)",
        read_csv_release,
    ),
    "recbole": ("*.inter", "one each of *.inter, *.user, *.item (RecBole)", read_recbole),
}


def read_splits(folder: Path, ratings: pd.DataFrame) -> dict[str, np.ndarray]:
    """Reads the pairs ``NAME.base`` and ``NAME.test`` that MovieLens-100K comes with.

    Args:
        folder: The folder of u.data.
        ratings: Its ratings, each (user, item) pair once.

    Returns:
        Split name -> bool array of shape (ratings,), True where the row is in the test file.

    Raises:
        DataError: If one file of a pair is missing, a row is not in u.data, or the two files together are not
            exactly the rows of u.data.
    """
    rows = pd.MultiIndex.from_frame(ratings[["user_id", "item_id"]])
    names = {file.stem for kind in ("base", "test") for file in folder.glob(f"*.{kind}")}
    masks = {}
    for name in sorted(names):
        counts = np.zeros((2, len(ratings)), np.int64)
        for count, kind in zip(counts, ("base", "test"), strict=True):
            part = _read_ratings(folder / f"{name}.{kind}", "\t")
            found = rows.get_indexer(pd.MultiIndex.from_frame(part.table[["user_id", "item_id"]]))
            if (found < 0).any():
                bad = int(np.argmax(found < 0))
                user, item = part.table[["user_id", "item_id"]].iloc[bad]
                raise DataError(
                    "the split holds a rating that is not in u.data",
                    file=part.file,
                    row=part.first_line + bad,
                    received=f"user {user:.0f}, item {item:.0f}",
                )
            np.add.at(count, found, 1)
        if (counts.sum(axis=0) != 1).any():
            bad = int(np.argmax(counts.sum(axis=0) != 1))
            user, item = ratings[["user_id", "item_id"]].iloc[bad]
            raise DataError(
                f"{name}.base and {name}.test do not divide the ratings between them",
                file=folder / f"{name}.test",
                expected=f"user {user:.0f}, item {item:.0f} once",
                received=f"{counts[:, bad].sum()} times",
            )
        masks[name] = counts[1] == 1
    return masks


def _read_ratings(file: Path, separator: str, header: str | None = None) -> Ratings:
    """Reads a ratings file of four numeric columns."""
    data = read_bytes(file)
    first_line = 1
    if header is not None:
        received, data = split_header(data, file)
        first_line = 2
        if received != header:
            raise DataError("unknown header", file=file, row=1, expected=repr(header), received=received[:80])
    table = read_numbers(data, file, _RATING_COLUMNS, separator, first_line=first_line)
    with file.open("rb") as raw:
        digest = hashlib.file_digest(raw, "sha256").hexdigest()
    return Ratings(table, file, first_line, digest)


def _tidy_users(table: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Checks and types the columns of a users table that are there."""
    users = pd.DataFrame({"user_id": to_numbers(table, _USER, file)}, index=table.index)
    if "gender" in table:
        _require_among(table, "gender", ("F", "M"), file)
        users["gender"] = table["gender"]
    if "age" in table:
        users["age"] = to_numbers(table, _AGE, file)
        users["age_band"] = np.array(AGE_BANDS)[np.searchsorted(AGE_BANDS[1:], users["age"], side="right")]
    if "occupation" in table:
        # MovieLens-1M has codes, MovieLens-100K words.
        occupation = table["occupation"]
        if occupation.str.fullmatch(r"-?[0-9]+").all():
            codes = to_numbers(table, _OCCUPATION, file)
            users["occupation"] = np.array(OCCUPATIONS, dtype=object)[codes]
        else:
            users["occupation"] = _require_text(table, "occupation", file)
    if "zip_code" in table:
        users["zip_code"] = _require_text(table, "zip_code", file)
    require_unique(users, "user_id", file)
    return users.reset_index(drop=True)


def _tidy_items(table: pd.DataFrame, file: Path, genres: list[str]) -> pd.DataFrame:
    """Types an items table and finds each film's year: in the title, else in the `release` column."""
    title = _require_text(table, "title", file)
    year = title.str.extract(_YEAR_IN_TITLE)[0]
    if "release" in table:
        # "01-Jan-1995" in u.item, "1995" in RecBole's files.
        year = year.fillna(table["release"].str.extract(r"(?:^|-)(\d{4})$")[0])
    items = pd.DataFrame(
        {
            "item_id": to_numbers(table, _ITEM, file),
            "title": title,
            "year": pd.to_numeric(year).astype("Int64"),
            "genres": genres,
        },
        index=table.index,
    )
    items["decade"] = (items["year"] // 10 * 10).fillna(0).astype("int64")
    require_unique(items, "item_id", file)
    return items.reset_index(drop=True)


def _genres_from_text(table: pd.DataFrame, file: Path, separator: str) -> list[str]:
    """Checks each film's genres and joins them by ``|``."""
    joined = []
    for line, text in zip(table.index, table["genres"], strict=True):
        names = [] if text in _NO_GENRE else text.split(separator)
        for name in names:
            if name not in GENRES:
                raise DataError(
                    "unknown genre",
                    file=file,
                    row=int(line),
                    column="genres",
                    expected=f"genres separated by {separator!r}, out of {', '.join(GENRES)}",
                    received=name,
                )
        joined.append("|".join(names))
    return joined


def _require_among(table: pd.DataFrame, name: str, allowed: tuple[str, ...], file: Path) -> None:
    """Refuses a text outside a short list."""
    bad = ~table[name].isin(allowed).to_numpy()
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"unknown {name}",
            file=file,
            row=int(table.index[row]),
            column=name,
            expected=" or ".join(allowed),
            received=table[name].iloc[row],
        )


def _require_text(table: pd.DataFrame, name: str, file: Path) -> pd.Series:
    """Refuses an empty text."""
    empty = table[name].str.strip().eq("").to_numpy()
    if empty.any():
        row = int(table.index[int(np.argmax(empty))])
        raise DataError("the field is empty", file=file, row=row, column=name, expected="text")
    return table[name]
