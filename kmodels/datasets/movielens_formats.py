"""The four shapes MovieLens comes in, each parsed into the same three tables.

The files are described in the README of each release, https://files.grouplens.org/datasets/movielens/, and
for RecBole's atomic files in https://recbole.io/docs/user_guide/data/atomic_files.html.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.datasets.columns import NumberColumn
from kmodels.datasets.readers import open_table
from kmodels.datasets.tables import Table, TableFile, filled
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
_RATING_NAMES = tuple(column.name for column in _RATING_COLUMNS)
_AGE = NumberColumn("age", "int64", 0, 130, "whole years")
_OCCUPATION = NumberColumn("occupation", "int64", 0, len(OCCUPATIONS) - 1, f"a code from 0 to {len(OCCUPATIONS) - 1}")

# "Heat (1995)"; some series have a range, "Death Note (2006-2007)".
_YEAR_IN_TITLE = r"\(([0-9]{4})(?:[-–][0-9]{0,4})?\)\s*$"

_GENRES_100K = tuple(genre for genre in GENRES if genre not in ("Children", "IMAX"))
_USERS = ("user_id", "gender", "age", "occupation", "zip_code")
_USERS_100K = ("user_id", "age", "gender", "occupation", "zip_code")
_ITEMS_100K = ("item_id", "title", "release_date", "video_release_date", "url", "unknown", *_GENRES_100K)
_ITEMS = ("item_id", "title", "genres", "release_date")
# Names in headers that are not ours.
_OURS = {
    "userId": "user_id",
    "movieId": "item_id",
    "movie_title": "title",
    "release_year": "release_date",
    "class": "genres",
    "genre": "genres",
}


@dataclass(frozen=True)
class Format:
    """How a release is written: its files, what separates their fields, and the columns of those without a header."""

    ratings: str
    users: str
    items: str
    separator: str
    side_separator: str
    user_names: tuple[str, ...] = ()
    item_names: tuple[str, ...] = ()


#: Name of each format -> how its files are written.
FORMATS: dict[str, Format] = {
    "ml-1m": Format("ratings.dat", "users.dat", "movies.dat", "::", "::", _USERS, _ITEMS[:3]),
    "ml-100k": Format("u.data", "u.user", "u.item", "\t", "|", _USERS_100K, _ITEMS_100K),
    "csv": Format("ratings.csv", "users.csv", "movies.csv", ",", ","),
    "recbole": Format("*.inter", "*.user", "*.item", "\t", "\t"),
}


class Tables(NamedTuple):
    """The tables of a release: `users` and `items` are unique by id, nothing is checked across tables."""

    ratings: Table
    users: pd.DataFrame
    items: pd.DataFrame
    files: tuple[Path, ...]


def read_tables(folder: Path, layout: Format) -> Tables:
    """Reads a folder of one format; where it has no table of users, they are the ids found in the ratings."""
    (ratings_file,) = folder.glob(layout.ratings)
    users_file, items_file = (folder / name.replace("*", ratings_file.stem) for name in (layout.users, layout.items))
    items = _read_side(items_file, layout.side_separator, layout.item_names, _ITEMS, required=_ITEMS[:3])
    ratings = _read_ratings(ratings_file, layout.separator, _RATING_NAMES if layout.item_names else ())
    files = (ratings_file, users_file, items_file)
    if users_file.exists():
        side = _read_side(users_file, layout.side_separator, layout.user_names, _USERS, required=_USERS[:1])
        return Tables(ratings, _tidy_users(side), _tidy_items(items), files)
    # MovieLens-10M, which alone has half stars among those without headers, is published without users.
    if layout.user_names and (ratings.frame["rating"] % 1 == 0).all():
        warnings.warn(f"there is no {users_file.name}: what is known of users is left out", stacklevel=2)
    users = pd.DataFrame({"user_id": np.unique(ratings.frame["user_id"].to_numpy())})
    return Tables(ratings, users, _tidy_items(items), files[::2])


def _read_side(
    file: Path, separator: str, names: Sequence[str], wanted: Sequence[str], required: Sequence[str]
) -> Table:
    """Reads what is wanted of a table of users or items; all of a file without a header, which has `names`."""
    table = open_table(file, names=names, separator=separator, quoted=separator == ",", latin_1=bool(names))
    found = _find_columns(table, names or wanted, names or required)
    whole = table.read(list(found.values()))
    optional = [name for name in wanted if name in found and name not in required]
    if empty := [found.pop(name) for name in optional if not any(whole.parse(found[name], str.strip))]:
        warnings.warn(f"{file.name}: columns without any value are left out: {', '.join(empty)}", stacklevel=2)
    return whole.select(found)


def _read_ratings(file: Path, separator: str, names: Sequence[str] = ()) -> Table:
    """Reads a table of ratings, with timestamps where it has them."""
    table = open_table(file, names=names, separator=separator, quoted=separator == ",")
    found = _find_columns(table, _RATING_NAMES, names or _RATING_NAMES[:3])
    columns = [replace(column, name=found[column.name]) for column in _RATING_COLUMNS if column.name in found]
    return table.read((), columns).select(found)


def _find_columns(table: TableFile, wanted: Sequence[str], required: Sequence[str]) -> dict[str, str]:
    """Our names of columns, in the order wanted -> the file's, which in RecBole's files are followed by a type."""
    names = {name: name.partition(":")[0] for name in table.names}
    ours = {_OURS.get(name, name): written for written, name in names.items()}
    if not set(required) <= set(ours):
        listed, received = ", ".join(required), ", ".join(table.names)
        raise DataError("unknown header", file=table.path, row=1, expected=f"columns {listed}", received=received)
    return {name: ours[name] for name in wanted if name in ours}


def read_splits(folder: Path, ratings: pd.DataFrame) -> dict[str, np.ndarray]:
    """Split name -> bool (ratings,), True in the test file, of the pairs NAME.base and NAME.test of MovieLens-100K."""
    rows = pd.MultiIndex.from_frame(ratings[["user_id", "item_id"]])
    names = {file.stem for kind in ("base", "test") for file in folder.glob(f"*.{kind}")}
    masks = {}
    for name in sorted(names):
        found = []
        for kind in ("base", "test"):
            part = _read_ratings(folder / f"{name}.{kind}", "\t", _RATING_NAMES)
            found.append(rows.get_indexer(pd.MultiIndex.from_frame(part.frame[["user_id", "item_id"]])))
            if (found[-1] < 0).any():
                bad, message = int(np.argmax(found[-1] < 0)), "the split holds a rating that is not in u.data"
                raise DataError(message, file=part.file, row=part.line(bad), received=_pair(part.frame, bad))
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


def _tidy_users(table: Table) -> pd.DataFrame:
    """Checks and types the columns of a users table that are there."""
    users = pd.DataFrame({"user_id": table.numbers(_USER)})
    if "gender" in table.frame:
        users["gender"] = table.parse("gender", _gender, "F or M")
        users["is_male"] = users["gender"].eq("M").astype("float64")
    if "age" in table.frame:
        users["age"] = table.numbers(_AGE)
        users["age_band"] = np.array(AGE_BANDS)[np.searchsorted(AGE_BANDS[1:], users["age"], side="right")]
    if "occupation" in table.frame:
        users["occupation"] = _occupations(table)
        users["occupation_code"] = users["occupation"].rank(method="dense").astype("int64")
    if "zip_code" in table.frame:
        users["zip_code"] = table.parse("zip_code", filled)
    table.require_unique("user_id", users["user_id"])
    return users


def _occupations(table: Table) -> npt.NDArray[np.object_]:
    """Names of occupations: MovieLens-1M has codes, MovieLens-100K names."""
    is_code = np.array(table.parse("occupation", str.isdecimal))
    coded = is_code.mean() > 0.5
    if is_code.any() and not is_code.all():
        message = "a name among codes" if coded else "a code among names"
        raise table.error(message, int(np.argmax(is_code != coded)), "occupation", "codes alone, or names alone")
    if coded:
        return np.array(OCCUPATIONS, dtype=object)[table.numbers(_OCCUPATION)]
    return np.array(table.parse("occupation", filled), dtype=object)


def _gender(text: str) -> str:
    if text not in ("F", "M"):
        raise ValueError("unknown gender")
    return text


def _tidy_items(table: Table) -> pd.DataFrame:
    """Types an items table and finds each item's year: in the title, else in the `release_date` column."""
    items = pd.DataFrame({"item_id": table.numbers(_ITEM), "title": table.parse("title", filled)})
    year = items["title"].str.extract(_YEAR_IN_TITLE)[0]
    if "release_date" in table.frame:
        # "01-Jan-1995" in u.item, "1995" in RecBole's files.
        dates = table.frame["release_date"].astype(object).reset_index(drop=True)
        year = year.fillna(dates.str.extract(r"(?:^|-)([0-9]{4})$")[0])
    items["year"] = pd.to_numeric(year).astype("Int64")
    items["genres"] = _genres(table) if "genres" in table.frame else _flagged_genres(table)
    items["decade"] = (items["year"] // 10 * 10).fillna(0).astype("int64")
    table.require_unique("item_id", items["item_id"])
    return items


def _flagged_genres(table: Table) -> list[str]:
    """Joins each item's genres, which have a column of 0 and 1 each, by ``|``."""
    flags = [table.numbers(NumberColumn(name, "int64", 0, 1, "0 or 1")) for name in ("unknown", *_GENRES_100K)]
    return ["|".join(np.array(_GENRES_100K)[marked]) for marked in np.stack(flags[1:], axis=1) == 1]


def _genres(table: Table) -> list[str]:
    """Checks each item's genres, separated by ``|`` or, in RecBole's files, spaces, and joins them by ``|``."""

    def read(text: str) -> str:
        names = [] if text in _NO_GENRE else re.split("[ |]", text)
        for name in names:
            if name not in GENRES:
                raise ValueError(f"unknown genre {name!r}")
        return "|".join(names)

    return table.parse("genres", read, f"genres separated by '|', out of {', '.join(GENRES)}")
