"""The four shapes MovieLens comes in, each parsed into the same three tables.

The files are described in the README of each release, https://files.grouplens.org/datasets/movielens/, and
for RecBole's atomic files in https://recbole.io/docs/user_guide/data/atomic_files.html.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from kmodels.datasets.chunks import open_table
from kmodels.datasets.columns import NumberColumn
from kmodels.datasets.tables import Table, read_table
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
    """A ratings file: the table and where it came from."""

    table: pd.DataFrame
    file: Path
    first_line: int


class Tables(NamedTuple):
    """What every parser returns: `users` and `items` are unique by id, nothing is checked across tables."""

    ratings: Ratings
    users: pd.DataFrame
    items: pd.DataFrame


def read_ml_1m(folder: Path) -> Tables:
    """Reads ratings.dat, users.dat and movies.dat: fields between ``::``, latin-1, no header."""

    def read(name: str, *columns: str) -> Table:
        return read_table(folder / name, names=columns, separator="::", encoding="latin-1", quoted=False)

    users = read("users.dat", "user_id", "gender", "age", "occupation", "zip_code")
    items = read("movies.dat", "item_id", "title", "genres")
    ratings = _read_ratings(folder / "ratings.dat", "::")
    return Tables(ratings, _tidy_users(users), _tidy_items(items, _genres_from_text(items, "|")))


def read_ml_100k(folder: Path) -> Tables:
    """Reads u.data (tabs), u.user and u.item (``|``, latin-1, a 0/1 column per genre), no header."""

    def read(name: str, *columns: str) -> Table:
        return read_table(folder / name, names=columns, separator="|", encoding="latin-1", quoted=False)

    users = read("u.user", "user_id", "age", "gender", "occupation", "zip_code")
    items = read("u.item", *_ITEM_100K, *_GENRES_100K)
    for name in ("unknown", *_GENRES_100K):
        items.numbers(NumberColumn(name, "int64", 0, 1, "0 or 1"))
    marked = (items.frame[list(_GENRES_100K)] == "1").to_numpy()
    genres = ["|".join(np.array(_GENRES_100K)[row]) for row in marked]
    return Tables(_read_ratings(folder / "u.data", "\t"), _tidy_users(users), _tidy_items(items, genres))


def read_csv_release(folder: Path) -> Tables:
    """Reads ratings.csv and movies.csv (UTF-8, header, quotes); users are the ids found in the ratings."""
    items = read_table(folder / "movies.csv", separator=",")
    _require_header(items.names, ["movieId", "title", "genres"], items.file)
    items = items.select({"item_id": "movieId", "title": "title", "genres": "genres"})
    ratings = _read_ratings(folder / "ratings.csv", ",", ["userId", "movieId", "rating", "timestamp"])
    users = pd.DataFrame({"user_id": np.unique(ratings.table["user_id"].to_numpy())})
    return Tables(ratings, users, _tidy_items(items, _genres_from_text(items, "|")))


def read_recbole(folder: Path) -> Tables:
    """Reads one .inter, one .user and one .item file: tabs, UTF-8, a header of ``name:type`` fields."""
    (inter,) = folder.glob("*.inter")
    users = _read_atomic(inter.with_suffix(".user"), {"user_id": "user_id"}, {})
    items = _read_atomic(
        inter.with_suffix(".item"),
        {"item_id": "item_id", "movie_title": "title"},
        {"release_year": "release_date", "class": "genres", "genre": "genres"},
    )
    if "genres" not in items.frame:
        raise DataError("no genre column", file=items.file, row=1, expected="'class:token_seq' or 'genre:token_seq'")
    header = ["user_id:token", "item_id:token", "rating:float", "timestamp:float"]
    ratings = _read_ratings(inter, "\t", header)
    return Tables(ratings, _tidy_users(users), _tidy_items(items, _genres_from_text(items, " ")))


def _read_atomic(file: Path, needed: dict[str, str], renamed: dict[str, str]) -> Table:
    """Reads a RecBole side table by the names in its header, ``name:type``, and renames some."""
    table = read_table(file, separator="\t", quoted=False)
    names = [name.partition(":")[0] for name in table.names]
    if not set(needed) <= set(names):
        raise DataError(
            "unknown header", file=file, row=1, expected=f"columns {sorted(needed)}", received=", ".join(names)[:80]
        )
    ours = [(needed | renamed).get(name, name) for name in names]
    return table.select(dict(zip(ours, table.names, strict=True)))


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
    """Split name -> bool (ratings,), True in the test file, of the pairs NAME.base and NAME.test of MovieLens-100K."""
    rows = pd.MultiIndex.from_frame(ratings[["user_id", "item_id"]])
    names = {file.stem for kind in ("base", "test") for file in folder.glob(f"*.{kind}")}
    masks = {}
    for name in sorted(names):
        found = []
        for kind in ("base", "test"):
            part = _read_ratings(folder / f"{name}.{kind}", "\t")
            found.append(rows.get_indexer(pd.MultiIndex.from_frame(part.table[["user_id", "item_id"]])))
            if (found[-1] < 0).any():
                bad, message = int(np.argmax(found[-1] < 0)), "the split holds a rating that is not in u.data"
                received = _pair(part.table, bad)
                raise DataError(message, file=part.file, row=part.first_line + bad, received=received)
        counts = np.bincount(np.concatenate(found), minlength=len(ratings))
        if (counts != 1).any():
            bad = int(np.argmax(counts != 1))
            raise DataError(
                f"{name}.base and {name}.test do not divide the ratings between them",
                file=folder / f"{name}.test",
                expected=f"{_pair(ratings, bad)} once",
                received=f"{counts[bad]} times",
            )
        masks[name] = np.isin(np.arange(len(ratings)), found[1])
    return masks


def _pair(ratings: pd.DataFrame, row: int) -> str:
    return f"user {ratings['user_id'].iloc[row]}, item {ratings['item_id'].iloc[row]}"


def _read_ratings(file: Path, separator: str, header: list[str] | None = None) -> Ratings:
    """Reads a ratings file of four numeric columns."""
    names = [column.name for column in _RATING_COLUMNS]
    if header is not None:
        _require_header(open_table(file, separator=separator, quoted=False).names, header, file)
    table = open_table(file, names=names, header=header is not None, separator=separator, quoted=False)
    ratings = pd.DataFrame(table.read([], _RATING_COLUMNS).numbers)
    return Ratings(ratings, file, 2 if header else 1)


def _require_header(names: Iterable[str], expected: list[str], file: Path) -> None:
    if list(names) != expected:
        raise DataError(
            "unknown header", file=file, row=1, expected=", ".join(expected), received=", ".join(names)[:80]
        )


def _tidy_users(table: Table) -> pd.DataFrame:
    """Checks and types the columns of a users table that are there."""
    texts = table.frame
    users = pd.DataFrame({"user_id": table.numbers(_USER)})
    if "gender" in texts:
        _require_among(table, "gender", ("F", "M"))
        users["gender"] = texts["gender"].tolist()
        users["is_male"] = texts["gender"].eq("M").astype("float64").tolist()
    if "age" in texts:
        users["age"] = table.numbers(_AGE)
        users["age_band"] = np.array(AGE_BANDS)[np.searchsorted(AGE_BANDS[1:], users["age"], side="right")]
    if "occupation" in texts:
        # MovieLens-1M has codes, MovieLens-100K words.
        if texts["occupation"].str.fullmatch(r"-?[0-9]+").all():
            users["occupation"] = np.array(OCCUPATIONS, dtype=object)[table.numbers(_OCCUPATION)]
        else:
            users["occupation"] = table.text("occupation").tolist()
        users["occupation_code"] = users["occupation"].rank(method="dense").astype("int64")
    if "zip_code" in texts:
        users["zip_code"] = table.text("zip_code").tolist()
    table.require_unique("user_id", users["user_id"])
    return users


def _tidy_items(table: Table, genres: list[str]) -> pd.DataFrame:
    """Types an items table and finds each item's year: in the title, else in the `release_date` column."""
    title = table.text("title")
    year = title.str.extract(_YEAR_IN_TITLE)[0]
    if "release_date" in table.frame:
        # "01-Jan-1995" in u.item, "1995" in RecBole's files.
        year = year.fillna(table.frame["release_date"].str.extract(r"(?:^|-)(\d{4})$")[0])
    items = pd.DataFrame(
        {
            "item_id": table.numbers(_ITEM),
            "title": title.tolist(),
            "year": pd.to_numeric(year).astype("Int64").array,
            "genres": genres,
        }
    )
    items["decade"] = (items["year"] // 10 * 10).fillna(0).astype("int64")
    table.require_unique("item_id", items["item_id"])
    return items


def _genres_from_text(table: Table, separator: str) -> list[str]:
    """Checks each item's genres and joins them by ``|``."""
    joined = []
    for row, text in enumerate(table.frame["genres"]):
        names = [] if text in _NO_GENRE else text.split(separator)
        for name in names:
            if name not in GENRES:
                expected = f"genres separated by {separator!r}, out of {', '.join(GENRES)}"
                raise table.error("unknown genre", row, "genres", expected, name)
        joined.append("|".join(names))
    return joined


def _require_among(table: Table, name: str, allowed: tuple[str, ...]) -> None:
    """Refuses a text outside a short list."""
    bad = ~table.frame[name].isin(allowed).to_numpy()
    if bad.any():
        raise table.error(f"unknown {name}", int(np.argmax(bad)), name, " or ".join(allowed))
