"""The readers under test: small files that each can read, and what it must have made of them."""

from __future__ import annotations

import ast
import datetime
import gzip
import io
import json
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from kmodels.datasets import fashion_mnist, movielens, movies, pois, purchases, ratings
from tests.fuzz import oracles
from tests.fuzz.mutations import Rng
from tests.fuzz.oracles import Row, differences, exact, gap, label, number, single, stripped, whole

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


def _lines(separator: str, rows: list[tuple[Any, ...]]) -> bytes:
    return "".join(separator.join(map(str, row)) + "\n" for row in rows).encode()


def _values(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [dict(zip(table, row, strict=True)) for row in table.astype(object).itertuples(index=False)]


def _parquet(table: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    table.to_parquet(file, index=False)
    return file.getvalue()


# --- Ratings of anything

_USERS, _ITEMS = ("ann", "ben", "dörte", "4", "oak, 4m"), ("0-19", "0-20", "7", "8 a")


def _ratings_table(rng: Rng, text: bool) -> pd.DataFrame:
    pairs = rng.permutation(20)[:12]
    users = [_USERS[i // 4] if text else int(i // 4) + 1 for i in pairs]
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
    yield from differences(rows, _values(found.ratings), _RATING)
    if (folder / "u.csv").exists():
        side = {row["user_id"].strip(): row for row in oracles.table(folder / "u.csv", ("user_id",))}
        known = [value for value in _values(found.users) if str(value["user_id"]) in side]
        rows = [side[str(value["user_id"])] for value in known]
        yield from differences(rows, known, {name: gap for name in found.users if name != "user_id"})


def _ratings_parquet(rng: Rng) -> Files:
    return {"r.parquet": _parquet(_ratings_table(rng, bool(rng.integers(2))))}


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
        return _lines(
            separator, [(1, 24, "F", "writer", "85711"), (2, 53, "M", "other", "94043"), (3, 3, "M", "x", "T8")]
        )
    return _lines(separator, [(1, "F", 1, 10, "48067"), (2, "M", 56, 16, "70072-1"), (3, "M", 25, 0, "00123")])


def _ml_1m(rng: Rng) -> Files:
    items = [(at + 1, title, genre) for at, (title, genre) in enumerate(zip(_TITLES, _GENRES, strict=True))]
    return {
        "ratings.dat": _lines("::", _stars(rng, half=False)),
        "users.dat": _users("::", by_name=False),
        "movies.dat": _lines("::", items),
    }


def _ml_100k(rng: Rng) -> Files:
    items = [
        (at + 1, title, "01-Jan-1995", "", "http://x", *(int(name in genre.split("|")) for name in _GENRES_100K))
        for at, (title, genre) in enumerate(zip(_TITLES, _GENRES, strict=True))
    ]
    return {
        "u.data": _lines("\t", _stars(rng, half=False)),
        "u.user": _users("|", by_name=True),
        "u.item": _lines("|", items).decode().encode("latin-1"),
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
        "m.inter": _lines("\t", stars),
        "m.user": _lines("\t", users) + _users("\t", by_name=True),
        "m.item": _lines("\t", items),
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
                yield from differences(rows, _values(getattr(found, name)), right[name])
                coded = [row["occupation"].strip().isdigit() for row in rows if "occupation" in row]
                if 0 < sum(coded) < len(coded):
                    yield "codes of occupations among names"


# --- Films

_MISSING = {"", "-", "--", "?", "n/a", "na", "nan", "nat", "null", "none", "unknown", "\\n"}


def _films(rng: Rng) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "title": ["A", "Bé", "C, the second", 'D "x"', "E", "F"],
            "genres": ["Action|Drama", "['Drama', 'War']", "", "Drama", '[{"name": "War"}]', "War|War"],
            "director": ["x", "y z", "", "x", "é", "w"],
            "runtime": [90, 100.5, None, 120, 87, 60],
            "rating": [6.1, 7, 5.25, None, 8, 3],
            "votes": [10, 20, 30, 40, 50, 60],
            "budget": rng.integers(1, 10**8, 6),
            "revenue": rng.integers(0, 10**9, 6),
            "release_date": ["2001-05-31", "1999-01-01", "1930-12-24", "2010-10-10", None, "2012-02-29"],
        }
    )


def _films_csv(rng: Rng) -> Files:
    return {"films.csv": _films(rng).to_csv(index=False, sep=",;\t"[rng.integers(3)]).encode()}


def _films_json(rng: Rng) -> Files:
    table, kind = _films(rng), rng.integers(3)
    options: dict[str, Any] = ({"orient": "records"}, {"orient": "records", "lines": True}, {"orient": "list"})[kind]
    if kind == 2:
        text = json.dumps(table.astype(object).where(table.notna(), None).to_dict("list"))
    else:
        text = table.to_json(force_ascii=bool(rng.integers(2)), **options)
    return {"films.json": text.encode()}


def _film_texts(folder: Path) -> list[Row]:
    file = next(folder.glob("films.*"))
    if file.suffix == ".json":
        return oracles.json_rows(file)
    return oracles.table(file, ("budget", "revenue"), latin_1=True)


def _missing(text: str) -> bool:
    return text.strip().casefold() in _MISSING


def _or_nothing(right: oracles.Right, nothing: Any) -> oracles.Right:
    """A gap, or what is right."""

    def is_right(text: str, value: Any) -> bool:
        if _missing(text):
            return value == nothing or (value != value and nothing is None)
        return right(text, value)

    return is_right


def _plain(text: str, value: Any) -> bool:
    """A plain number is itself; what else an amount or a number may be, such as "$2m", is not checked here."""
    text = text.strip()
    if re.search(r"[a-zA-Z$€£¥₹,' \u00a0\u202f]", text) and not oracles.is_number(text):
        return value >= 0
    return number(text, value)


def _minutes(text: str, value: Any) -> bool:
    return (
        (value != value and float(text.strip()) == 0)
        if oracles.is_number(text) and value != value
        else _plain(text, value)
    )


def _names(text: str, value: Any) -> bool:
    text = text.strip()
    listed: Any = text.split("|")
    if text.startswith("["):
        try:
            listed = json.loads(text)
        except ValueError:
            listed = ast.literal_eval(text)
    names = [each["name"] if isinstance(each, dict) else each for each in listed]
    return value == tuple(dict.fromkeys(name.strip() for name in names if not _missing(name)))


def _date(text: str, value: Any) -> bool:
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text.strip()) and "1870" <= text.strip()[:4] <= "2029":
        return str(value)[:10] == text.strip()
    return value == value


_FILM = {
    "title": _or_nothing(stripped, ""),
    "director": _or_nothing(stripped, ""),
    "genres": _or_nothing(_names, ()),
    "runtime": _or_nothing(_minutes, None),
    "rating": _or_nothing(_plain, None),
    "votes": _or_nothing(_plain, None),
    "budget": _plain,
    "revenue": _plain,
    "release_date": _or_nothing(_date, None),
}


def _check_films(folder: Path, found: Any) -> Iterator[str]:
    """Rows without amounts and repeated ones are left out and counted, so that rows are matched one after the other."""
    rows, values = _film_texts(folder), _values(found.table)
    at, dropped = 0, 0
    for row in rows:
        one = values[at : at + 1]
        if one and not [*differences([row], one, _FILM)]:
            at += 1
            continue
        amounts = [row["budget"], row["revenue"]]
        empty = any(_missing(text) or not re.search("[1-9]", re.split("[eE]", text)[0]) for text in amounts)
        titles = [other["title"].strip().casefold() for other in rows] if "title" in row else []
        if not empty and titles.count(row.get("title", "").strip().casefold()) < 2:
            yield from differences([row], one, _FILM) if one else [f"{row} is left out"]
            return
        dropped += 1
    if (at, dropped) != (len(values), sum(found.dropped.values())):
        yield f"{len(rows)} rows in the file, {len(values)} in the table and {dict(found.dropped)} dropped"


# --- Purchases

_COLUMNS = {
    "user_id": "User_ID",
    "product_id": "Product_ID",
    "gender": "Gender",
    "age": "Age",
    "stay_years": "Stay_In_Current_City_Years",
    "category_1": "Product_Category_1",
    "category_2": "Product_Category_2",
    "amount": "Purchase",
}


def _bought(rng: Rng) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "User_ID": rng.integers(1, 4, 12),
            "Product_ID": rng.choice(["P1", "0002", "oak, 4m", "é", "7"], 12),
            "Gender": rng.choice(["F", "M"], 12),
            "Age": rng.choice(["0-17", "26-35", "55+"], 12),
            "Stay_In_Current_City_Years": rng.choice(["0", "4+"], 12),
            "Product_Category_1": rng.integers(1, 9, 12),
            "Product_Category_2": rng.choice([1.0, 8.0, np.nan], 12),
            "Purchase": rng.choice([5.0, 12.25, 0.1, 199999], 12),
        }
    )


def _bought_csv(rng: Rng) -> Files:
    # With 100 rows without quotes, pandas parses them; else Python's csv.
    table = _bought(rng) if rng.random() < 0.5 else _bought(rng).replace("oak, 4m", "oak")
    return {"till.csv": table.to_csv(index=False, sep=",;\t"[rng.integers(3)]).encode()}


def _bought_parquet(rng: Rng) -> Files:
    return {"till.parquet": _parquet(_bought(rng))}


def _category(text: str, value: Any) -> bool:
    text = text.strip()
    if text in ("", "NA", "NaN", "nan", "NULL", "null", "None"):
        return value != value
    return str(value) in (text, re.sub(r"(?<=[0-9])\.0+$", "", text))


def _check_bought(folder: Path, found: Any) -> Iterator[str]:
    (file,) = folder.iterdir()
    rows = oracles.parquet_rows(file) if file.suffix == ".parquet" else oracles.table(file, ("User_ID", "Purchase"))
    ours = [{name: row[theirs] for name, theirs in _COLUMNS.items() if theirs in row} for row in rows]
    right = dict.fromkeys(_COLUMNS, _category) | {"user_id": label, "product_id": label, "amount": number}
    yield from differences(ours, _values(found.table), right)


# --- Points of interest

_POI_COLUMNS = (
    "id",
    "name",
    "shortDescription",
    "categories",
    "tier",
    "locationLon",
    "locationLat",
    "tags",
    "xps",
    "Visits",
    "Likes",
    "Dislikes",
    "Bookmarks",
    "main_image_path",
)


def _picture(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def _places(rng: Rng) -> Files:
    table = pd.DataFrame(
        [
            (1, "Old mill", "", "['Nature']", 2, 6.1, 49.6, "[]", 120, 10001, 300, 90, 55, "a.png"),
            (2, 'Café "x"', "a, b", "['Art', 'Food, wine']", 1, 6.25, 50.0, "['b']", 5.5, 10, 3, 0, 5, "b.png"),
            (3, "Keep", "two\nlines", "", 4, -7.02211, -50.29, '["c"]', 0, 7, int(rng.integers(9)), 9, 5, "a.png"),
        ],
        columns=_POI_COLUMNS,
    )
    return {"pois.csv": table.to_csv(index=False).encode(), "a.png": _picture(0), "b.png": _picture(1)}


def _labels(text: str, value: Any) -> bool:
    try:
        listed = json.loads(text.strip() or "[]")
    except ValueError:
        listed = ast.literal_eval(text.strip())
    return value == tuple(each.strip() for each in listed)


def _image(text: str, value: Any) -> bool:
    with Image.open(value) as picture:
        picture.load()
    return Path(value).name == Path(text.strip()).name


_POI: dict[str, oracles.Right] = {
    "id": label,
    "name": stripped,
    "description": stripped,
    "categories": _labels,
    "tier": whole,
    "longitude": number,
    "latitude": number,
    "tags": _labels,
    "xps": number,
    "visits": whole,
    "likes": whole,
    "dislikes": whole,
    "bookmarks": whole,
    "image": _image,
}


def _check_places(folder: Path, found: Any) -> Iterator[str]:
    rows = oracles.table(folder / "pois.csv", _POI_COLUMNS)
    renamed = [dict(zip(_POI, (row[name] for name in _POI_COLUMNS), strict=True)) for row in rows]
    yield from differences(renamed, _values(found.table), _POI)


# --- Fashion-MNIST


def _fashion(rng: Rng) -> Files:
    files = {}
    for part, rows in (("train", 3), ("t10k", 2)):
        images = struct.pack(">4I", 0x0803, rows, 28, 28) + rng.bytes(rows * 784)
        labels = struct.pack(">2I", 0x0801, rows) + bytes(rng.integers(0, 10, rows, dtype=np.uint8))
        for name, content in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            packed = rng.random() < 0.3
            files[f"{name}.gz" if packed else name] = gzip.compress(content, mtime=0) if packed else content
    return files


def _check_fashion(folder: Path, found: Any) -> Iterator[str]:
    for part, name in (("train", "train"), ("test", "t10k")):
        for kind, header, width in (("images-idx3", 16, 784), ("labels-idx1", 8, 1)):
            (file,) = folder.glob(f"{name}-{kind}-ubyte*")
            content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
            values = getattr(found, f"{part}_{kind.partition('-')[0]}")
            rows = int.from_bytes(content[4:8], "big")
            if len(content) != header + rows * width or values.astype(np.uint8).tobytes() != content[header:]:
                yield f"{file.name} has other values"


CASES: dict[str, Case] = {
    "ratings, CSV": Case("ratings", _ratings_files, _read_ratings, _check_ratings),
    "ratings, Parquet": Case("ratings", _ratings_parquet, _read_ratings, _check_ratings),
    "movielens, 1M": Case("movielens", _ml_1m, movielens.load, _check_movielens),
    "movielens, 100K": Case("movielens", _ml_100k, movielens.load, _check_movielens),
    "movielens, CSV": Case("movielens", _ml_csv, movielens.load, _check_movielens),
    "movielens, RecBole": Case("movielens", _recbole, movielens.load, _check_movielens),
    "movies, CSV": Case("movies", _films_csv, movies.load, _check_films),
    "movies, JSON": Case("movies", _films_json, movies.load, _check_films),
    "purchases, CSV": Case("purchases", _bought_csv, purchases.load, _check_bought),
    "purchases, Parquet": Case("purchases", _bought_parquet, purchases.load, _check_bought),
    "pois, CSV": Case("pois", _places, pois.load, _check_places),
    "fashion_mnist, IDX": Case("fashion_mnist", _fashion, fashion_mnist.load, _check_fashion, ("",)),
}
