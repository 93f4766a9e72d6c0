"""Films, purchases and points of interest."""

from __future__ import annotations

import ast
import gzip
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from kmodels.datasets import movies, pois, purchases
from tests.fuzz import oracles
from tests.fuzz.case import Case, Files, parquet, values
from tests.fuzz.mutations import Rng
from tests.fuzz.oracles import Row, differences, label, number, stripped, whole

# --- Films

_MISSING = {"", "-", "--", "?", "n/a", "na", "nan", "nat", "null", "none", "unknown", "\\n"}


def films(rng: Rng) -> pd.DataFrame:
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
    return {"films.csv": films(rng).to_csv(index=False, sep=",;\t"[rng.integers(3)]).encode()}


def _films_json(rng: Rng) -> Files:
    table, kind = films(rng), rng.integers(3)
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
    rows, films_read = _film_texts(folder), values(found.table)
    at, dropped = 0, 0
    for row in rows:
        one = films_read[at : at + 1]
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
    if (at, dropped) != (len(films_read), sum(found.dropped.values())):
        yield f"{len(rows)} rows in the file, {len(films_read)} in the table and {dict(found.dropped)} dropped"


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
    content = table.to_csv(index=False, sep=",;\t"[rng.integers(3)]).encode()
    return {"till.csv.gz": gzip.compress(content, mtime=0)} if rng.random() < 0.1 else {"till.csv": content}


def _bought_parquet(rng: Rng) -> Files:
    return {"till.parquet": parquet(_bought(rng))}


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
    yield from differences(ours, values(found.table), right)


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
    yield from differences(renamed, values(found.table), _POI)


CASES = {
    "movies, CSV": Case("movies", _films_csv, movies.load, _check_films),
    "movies, JSON": Case("movies", _films_json, movies.load, _check_films),
    "purchases, CSV": Case("purchases", _bought_csv, purchases.load, _check_bought),
    "purchases, Parquet": Case("purchases", _bought_parquet, purchases.load, _check_bought),
    "pois, CSV": Case("pois", _places, pois.load, _check_places),
}
