"""Ratings of anything, and MovieLens in every format."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from kmodels.datasets import movielens, ratings
from tests.fuzz import oracles
from tests.fuzz.case import Case, Files, lines, parquet, values
from tests.fuzz.mutations import Rng
from tests.fuzz.oracles import Row, differences, exact, gap, label, single, whole

# --- Ratings of anything

USERS, _ITEMS = ("ann", "ben", "dörte", "4", "oak, 4m"), ("0-19", "0-20", "7", "8 a")


def _ratings_table(rng: Rng, text: bool) -> pd.DataFrame:
    pairs = rng.permutation(20)[:12]
    users = [USERS[i // 4] if text else int(i // 4) + 1 for i in pairs]
    items = [_ITEMS[i % 4] if text else int(i % 4) + 1 for i in pairs]
    return pd.DataFrame(
        {
            "user_id": users,
            "item_id": items,
            "rating": rng.integers(1, 11, 12) / 2,
            "timestamp": rng.integers(10**9, 2 * 10**9, 12),
        }
    )


def _ratings_files(rng: Rng) -> Files:
    table = _ratings_table(rng, bool(rng.integers(2)))
    side = pd.DataFrame({"user_id": table["user_id"].unique()})
    side = side.assign(age=[20.5, 31, 7, None, 4][: len(side)], town=["a", "b, c", None, "d", "é"][: len(side)])
    table = table.sample(frac=1, axis=1, random_state=int(rng.integers(99)))
    return {"r.csv": table.to_csv(index=False).encode(), "u.csv": side.to_csv(index=False).encode()}


def _read_ratings(folder: Path) -> Any:
    users = folder / "u.csv"
    return ratings.read(next(folder.glob("r.*")), users=users if users.exists() else None)


def _instant(text: str, value: Any) -> bool:
    """Seconds since 1970, or thousandths, or a date."""
    if oracles.is_number(text):
        return int(value) in (int(float(text)), int(float(text) / 1000))
    try:
        date = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        return pd.notna(pd.to_datetime(text.strip(), format="ISO8601", errors="coerce"))
    return int(value) == int((date if date.tzinfo else date.replace(tzinfo=datetime.UTC)).timestamp() // 1)


_RATING = {"user_id": label, "item_id": label, "rating": single, "timestamp": _instant}


def _check_ratings(folder: Path, found: Any) -> Iterator[str]:
    file, needed = next(folder.glob("r.*")), ("user_id", "item_id", "rating")
    rows = oracles.parquet_rows(file) if file.suffix == ".parquet" else oracles.table(file, needed)
    yield from differences(rows, values(found.ratings), _RATING)
    if (folder / "u.csv").exists():
        side = {row["user_id"].strip(): row for row in oracles.table(folder / "u.csv", ("user_id",))}
        known = [value for value in values(found.users) if str(value["user_id"]) in side]
        rows = [side[str(value["user_id"])] for value in known]
        yield from differences(rows, known, {name: gap for name in found.users if name != "user_id"})


def _ratings_parquet(rng: Rng) -> Files:
    return {"r.parquet": parquet(_ratings_table(rng, bool(rng.integers(2))))}


# --- MovieLens

_STARS = {"user_id": whole, "item_id": whole, "rating": single, "timestamp": whole}
_GENRES_100K = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
_TITLES = ("Toy Story (1995)", "Misérables, Les (1998)", "Star Wars: IV (1977)", "Nameless")
_GENRES = ("Animation|Comedy", "Drama", "Action|Sci-Fi", "")


def _stars(rng: Rng, half: bool) -> list[tuple[Any, ...]]:
    pairs = rng.permutation(12)[:9]
    stars = rng.integers(1, 11, 9) / 2 if half else rng.integers(1, 6, 9)
    return [(i // 4 + 1, i % 4 + 1, star, rng.integers(10**9)) for i, star in zip(pairs, stars, strict=True)]


def _users(separator: str, by_name: bool) -> bytes:
    if by_name:
        return lines(
            separator, [(1, 24, "F", "writer", "85711"), (2, 53, "M", "other", "94043"), (3, 3, "M", "x", "T8")]
        )
    return lines(separator, [(1, "F", 1, 10, "48067"), (2, "M", 56, 16, "70072-1"), (3, "M", 25, 0, "00123")])


def _ml_1m(rng: Rng) -> Files:
    items = [(at + 1, title, genre) for at, (title, genre) in enumerate(zip(_TITLES, _GENRES, strict=True))]
    return {
        "ratings.dat": lines("::", _stars(rng, half=False)),
        "users.dat": _users("::", by_name=False),
        "movies.dat": lines("::", items),
    }


def _ml_100k(rng: Rng) -> Files:
    items = [
        (at + 1, title, "01-Jan-1995", "", "http://x", *(int(name in genre.split("|")) for name in _GENRES_100K))
        for at, (title, genre) in enumerate(zip(_TITLES, _GENRES, strict=True))
    ]
    return {
        "u.data": lines("\t", _stars(rng, half=False)),
        "u.user": _users("|", by_name=True),
        "u.item": lines("|", items).decode().encode("latin-1"),
    }


def _ml_csv(rng: Rng) -> Files:
    items = pd.DataFrame({"movieId": range(1, 5), "title": _TITLES, "genres": [*_GENRES[:3], "(no genres listed)"]})
    stars = pd.DataFrame(_stars(rng, half=True), columns=["userId", "movieId", "rating", "timestamp"])
    return {"ratings.csv": stars.to_csv(index=False).encode(), "movies.csv": items.to_csv(index=False).encode()}


def _recbole(rng: Rng) -> Files:
    items = [("item_id:token", "movie_title:token_seq", "release_year:token", "class:token_seq")]
    items += [(at + 1, title, 1990 + at, _GENRES[at].replace("|", " ")) for at, title in enumerate(_TITLES)]
    stars = [("user_id:token", "item_id:token", "rating:float", "timestamp:float"), *_stars(rng, half=False)]
    users = [("user_id:token", "age:token", "gender:token", "occupation:token", "zip_code:token")]
    return {
        "m.inter": lines("\t", stars),
        "m.user": lines("\t", users) + _users("\t", by_name=True),
        "m.item": lines("\t", items),
    }


# File -> separator, whether it has quotes, and the names of its columns where no header has them.
_LAYOUTS: dict[str, tuple[str, bool, tuple[str, ...]]] = {
    "ratings.dat": ("::", False, tuple(_STARS)),
    "users.dat": ("::", False, ("user_id", "gender", "age", "occupation", "zip_code")),
    "movies.dat": ("::", False, ("item_id", "title", "genres")),
    "u.data": ("\t", False, tuple(_STARS)),
    "u.user": ("|", False, ("user_id", "age", "gender", "occupation", "zip_code")),
    "u.item": ("|", False, ("item_id", "title", "release_date", "video_release_date", "url", *_GENRES_100K)),
    "ratings.csv": (",", True, ()),
    "movies.csv": (",", True, ()),
    "m.inter": ("\t", False, ()),
    "m.user": ("\t", False, ()),
    "m.item": ("\t", False, ()),
}
_OURS = {"userId": "user_id", "movieId": "item_id", "movie_title": "title", "class": "genres", "release_year": "year"}


def _ml_rows(path: Path) -> list[Row]:
    separator, has_quotes, names = _LAYOUTS[path.name]
    (text,) = oracles.texts(path.read_bytes(), latin_1=path.name in ("u.item", "u.user", "users.dat", "movies.dat"))
    rows = oracles.quoted_rows(text, separator) if has_quotes else oracles.plain_rows(text, separator)
    made = oracles.records(rows, names)
    return [{_OURS.get(key.partition(":")[0], key.partition(":")[0]): row[key] for key in row} for row in made]


def _occupation(text: str, value: Any) -> bool:
    return value == text or (text.strip().isascii() and text.strip().isdigit())


def _genres(text: str, value: Any) -> bool:
    missing = text in ("", "(no genres listed)", "unknown")
    return value == ("" if missing else "|".join(re.split("[ |]", text)))


def _year(text: str, value: Any) -> bool:
    return pd.isna(value) or str(value) in text


_OF_FILES = {
    "ratings": ("ratings.dat", "u.data", "ratings.csv", "m.inter"),
    "users": ("users.dat", "u.user", "m.user"),
    "items": ("movies.dat", "u.item", "movies.csv", "m.item"),
}
_OF_USERS = {"user_id": whole, "gender": exact, "age": whole, "occupation": _occupation, "zip_code": exact}


def _check_movielens(folder: Path, found: Any) -> Iterator[str]:
    right = {"ratings": _STARS, "users": _OF_USERS, "items": {"item_id": whole, "title": exact, "genres": _genres}}
    for name, files in _OF_FILES.items():
        for file in files:
            if (folder / file).exists():
                rows = _ml_rows(folder / file)
                yield from differences(rows, values(getattr(found, name)), right[name])
                coded = [row["occupation"].strip().isdigit() for row in rows if "occupation" in row]
                if 0 < sum(coded) < len(coded):
                    yield "codes of occupations among names"


CASES = {
    "ratings, CSV": Case("ratings", _ratings_files, _read_ratings, _check_ratings),
    "ratings, Parquet": Case("ratings", _ratings_parquet, _read_ratings, _check_ratings),
    "movielens, 1M": Case("movielens", _ml_1m, movielens.load, _check_movielens),
    "movielens, 100K": Case("movielens", _ml_100k, movielens.load, _check_movielens),
    "movielens, CSV": Case("movielens", _ml_csv, movielens.load, _check_movielens),
    "movielens, RecBole": Case("movielens", _recbole, movielens.load, _check_movielens),
}
