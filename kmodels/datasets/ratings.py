"""Ratings of anything: a table of who rated what, with optional tables of the users and of the items."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.datasets.columns import DECIMAL, WHOLE, NumberColumn, match_columns, parse_float
from kmodels.datasets.readers import open_table
from kmodels.datasets.sources import sha256, split_name
from kmodels.datasets.tables import Table, TableFile, filled
from kmodels.errors import ConfigurationError, DataError

__all__ = ["RatingTables", "filter_ratings", "read"]

#: The columns of a ratings table; `timestamp` is optional.
COLUMNS = ("user_id", "item_id", "rating", "timestamp")
_MILLISECONDS = 1e11  # as seconds this is the year 5138


@dataclass(frozen=True, eq=False)
class RatingTables:
    """Ratings, with what is known of users and items.

    Every `user_id` of `ratings` is in `users` and every `item_id` in `items`, both unique there; a (user, item) pair
    occurs once.

    Attributes:
        name: Name of the data: ``"sample"``, a download's name, or the file's or folder's.
        format: Shape of the files, such as ``"table"``.
        path: The file or folder that was read.
        sha256: Hexadecimal digest of the bytes of all files that were read; it stays when rows are filtered out.
        ratings: Columns `user_id` and `item_id` (int64 or str), `rating` (float32) and, where known, `timestamp`
            (int64, seconds since 1970, UTC); rows in the file's order.
        users: Column `user_id` and what else is known of each user.
        items: Column `item_id` and what else is known of each item.
        scale: Lowest and highest possible rating.
        given_splits: Name of a split that came with the data -> bool (ratings,), True for its test rows. Default {}.
    """

    name: str
    format: str
    path: Path
    sha256: str
    ratings: pd.DataFrame
    users: pd.DataFrame
    items: pd.DataFrame
    scale: tuple[float, float]
    given_splits: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def has_times(self) -> bool:
        """Whether the ratings have timestamps."""
        return "timestamp" in self.ratings


def read(
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    *,
    users: str | Path | None = None,
    items: str | Path | None = None,
    scale: tuple[float, float] | None = None,
) -> RatingTables:
    r"""Reads a table of ratings, CSV, JSON or Parquet, with optional side tables of users and items.

    Ids that are all whole numbers become int64, others stay text. Timestamps are seconds or milliseconds since 1970 or
    ISO dates.

    Args:
        path: The ratings; one row per rating, other columns are not read.
        columns: `user_id`, `item_id`, `rating`, `timestamp` -> the table's own name for it, which is otherwise the
            same. Default None.
        users: A table with one row per user, its id under the ratings' own name or as `user_id`; users without a row
            there have missing values. Default None.
        items: Likewise for items. Default None.
        scale: Lowest and highest possible rating. None, the default, takes them from the data.

    Returns:
        The tables.

    Raises:
        ConfigurationError: If `columns` has an unknown name, or the file is Parquet and pyarrow is not installed.
        DataError: If a file or column is missing, a row is wrong, a (user, item) pair occurs twice, or all ratings are
            alike. The message names the file, the line, the column and what was received.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "books.csv"
        >>> _ = file.write_text("reader,isbn,score\nann,0-19,8\nben,0-19,3\n")
        >>> data = read(file, {"user_id": "reader", "item_id": "isbn", "rating": "score"})
        >>> data.ratings
          user_id item_id  rating
        0     ann    0-19     8.0
        1     ben    0-19     3.0
        >>> data.scale, data.has_times
        ((3.0, 8.0), False)
    """
    file, names = Path(path), dict(columns or {})
    table = _read_ratings(file, names)
    check_pairs(table)
    ratings, known = table.frame.reset_index(drop=True), {}
    for name, side in (("user_id", users), ("item_id", items)):
        ids = pd.DataFrame({name: pd.unique(ratings[name])})
        known[name] = ids if side is None else _read_side(Path(side), name, names.get(name, name), ids)
    if scale is None:
        scale = (float(ratings["rating"].min()), float(ratings["rating"].max()))
    if not scale[0] < scale[1]:
        raise DataError("all ratings are alike", file=file, column=names.get("rating", "rating"), received=scale[0])
    digest = sha256(file, *(Path(side) for side in (users, items) if side is not None))
    return RatingTables(split_name(file)[0], "table", file, digest, ratings, known["user_id"], known["item_id"], scale)


def filter_ratings(data: RatingTables, min_ratings: int = 5, *, given: str | None = None) -> RatingTables:
    """Keeps users and items with enough ratings, repeated until both have them (a k-core).

    Args:
        data: The tables.
        min_ratings: Ratings that each user and each item must keep, 1 or more; 1 drops only those without any.
            Default 5.
        given: Name of one of `given_splits`, whose test rows are all kept and do not count, as published results on
            that split have it: only the other rows are filtered. None, the default, filters all rows.

    Returns:
        The same data without the other users, items and ratings; the order is kept, rows are numbered from 0.

    Raises:
        ConfigurationError: If `min_ratings` is less than 1, or there is no such split.
        DataError: If no rating is left.

    Example:
        >>> from kmodels.datasets import movielens
        >>> len(filter_ratings(movielens.load("sample"), min_ratings=50).users)
        380
    """
    if min_ratings < 1:
        raise ConfigurationError(f"min_ratings must be 1 or more; received {min_ratings}")
    user = pd.Index(data.users["user_id"]).get_indexer(pd.Index(data.ratings["user_id"]))
    item = pd.Index(data.items["item_id"]).get_indexer(pd.Index(data.ratings["item_id"]))
    in_test = np.zeros(len(user), bool) if given is None else _given_test(data, given)
    counted = ~in_test
    while True:
        user_counts = np.bincount(user[counted], minlength=len(data.users))
        item_counts = np.bincount(item[counted], minlength=len(data.items))
        still = counted & (user_counts[user] >= min_ratings) & (item_counts[item] >= min_ratings)
        if (still == counted).all():
            break
        counted = still
    if not counted.any():
        raise DataError(f"no user and item have {min_ratings} ratings each", file=data.path)
    keep = counted | in_test
    return replace(
        data,
        ratings=data.ratings[keep].reset_index(drop=True),
        users=data.users[np.bincount(user[keep], minlength=len(data.users)) > 0].reset_index(drop=True),
        items=data.items[np.bincount(item[keep], minlength=len(data.items)) > 0].reset_index(drop=True),
        given_splits={name: mask[keep] for name, mask in data.given_splits.items()},
    )


def summary(data: RatingTables) -> dict[str, Any]:
    """The counts of a report: rows, users, items, format, sha256, and rating as text -> rows."""
    counts = data.ratings["rating"].value_counts().sort_index()
    return {
        "rows": len(data.ratings),
        "users": len(data.users),
        "items": len(data.items),
        "format": data.format,
        "sha256": data.sha256,
        "rating_counts": {f"{rating:g}": int(count) for rating, count in counts.items()},
    }


def _given_test(data: RatingTables, name: str) -> npt.NDArray[np.bool_]:
    """True for the test rows of a split that came with the data, such as ``"u1"``."""
    if name not in data.given_splits:
        known = ", ".join(data.given_splits) or "none: ML-100K's own files bring some"
        raise ConfigurationError(f"the data has no split {name}; it has {known}")
    return data.given_splits[name]


def _read_ratings(file: Path, columns: Mapping[str, str]) -> Table:
    table = open_table(file)
    looked_for = {name: [name] for name in COLUMNS}
    found = match_columns(table.names, columns, looked_for, ("user_id", "item_id", "rating"), file)
    # float32 holds each whole number up to there.
    rating = NumberColumn(found["rating"], low=-(2**24), high=2**24, expected="a number from -2**24 to 2**24")
    labels, numbers = [found["user_id"], found["item_id"]], [rating]
    times = found.get("timestamp")
    if times is not None and _holds_numbers(table, times):
        most = 1000 * _MILLISECONDS
        numbers.append(NumberColumn(times, low=-most, high=most, expected="seconds or milliseconds since 1970"))
    elif times is not None:
        labels.append(times)
    whole = table.read(labels, numbers)
    content: dict[str, Any] = {name: _ids(whole, found[name]) for name in ("user_id", "item_id")}
    content["rating"] = whole.frame[found["rating"]].to_numpy(np.float32)
    if times is not None:
        seconds = _dates(whole, times) if times in labels else _seconds(whole, times)
        content["timestamp"] = seconds.astype(np.int64)
    return Table(file, pd.DataFrame(content, index=whole.frame.index), found)


def _read_side(file: Path, name: str, theirs: str, ids: pd.DataFrame) -> pd.DataFrame:
    """The rows of a side table for the given ids, its numbers as numbers; a row of missing values where it has none."""
    table = open_table(file)
    column = match_columns(table.names, {}, {name: [theirs, name]}, [name], file)[name]
    if column != name and name in table.names:
        raise DataError("two columns may be the id", file=file, expected="one", received=f"{column}, {name}")
    whole = table.read()
    found = pd.DataFrame({label: _values(whole, label) for label in table.names if label != column})
    found.index = pd.Index(_ids(whole, column).astype(str).astype(object))
    whole.require_unique(column, found.index)
    # As text: one more id that is no number does not keep the others from being found.
    return pd.concat([ids, found.reindex(ids[name].astype(str)).reset_index(drop=True)], axis=1)


def _ids(table: Table, column: str) -> npt.NDArray[Any]:
    """A column of ids: int64 where all are whole numbers in their usual form, else text."""
    texts, codes = table.distinct(column, lambda text: filled(text).strip(), "a number or a text")
    return np.array(texts, np.int64 if all(map(WHOLE.fullmatch, texts)) else object)[codes]


def _values(table: Table, column: str) -> npt.NDArray[Any]:
    """A column of a side table: numbers where all texts are numbers, else text; missing values are NaN or None."""
    texts, codes = table.distinct(column, lambda text: text.strip() or None, "text")
    given = [text for text in texts if text and text.lower() != "nan"]
    if not given or not all(map(DECIMAL.fullmatch, given)):
        return np.array(texts, object)[codes]

    def read(text: str) -> float:
        return parse_float(text.strip()) if text.strip() in given else math.nan

    return np.array(table.distinct(column, read, "a number")[0])[codes]


def _holds_numbers(table: TableFile, column: str) -> bool:
    """Whether the first value of a column is a number."""
    first = next(table.chunks([column], []), None)
    return first is not None and bool(DECIMAL.fullmatch(first[column].iloc[0].strip()))


def _seconds(table: Table, column: str) -> npt.NDArray[np.float64]:
    """Seconds since 1970 of a column of numbers, all seconds or all milliseconds."""
    times = table.frame[column].to_numpy()
    long = np.abs(times) > _MILLISECONDS
    if not long.any():
        return times
    mostly_long = long[times != 0].mean() > 0.5
    if (odd := (times != 0) & (long != mostly_long)).any():
        row, expected = int(np.argmax(odd)), "milliseconds" if mostly_long else "seconds"
        raise table.error("seconds and milliseconds are mixed", row, column, f"{expected} since 1970, as in most rows")
    return times / 1000


def _dates(table: Table, column: str) -> npt.NDArray[np.float64]:
    """Seconds since 1970 of a column of dates."""

    def read(text: str) -> float:
        try:
            date = datetime.fromisoformat(text.strip())
        except ValueError:
            raise ValueError("not a time") from None
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() // 1

    expected = "seconds since 1970, or a date such as 2024-05-31T12:00:00"
    seconds, codes = table.distinct(column, read, expected)
    return np.array(seconds)[codes]


def check_pairs(table: Table) -> None:
    """Refuses a user's second rating of an item."""
    ratings = table.frame
    repeated = ratings.duplicated(["user_id", "item_id"]).to_numpy()
    if repeated.any():
        second = int(np.argmax(repeated))
        user, item = (ratings[name].iloc[second] for name in ("user_id", "item_id"))
        first = int(np.argmax(((ratings["user_id"] == user) & (ratings["item_id"] == item)).to_numpy()))
        message = f"user {user} rates item {item} twice, on lines {table.line(first)} and {table.line(second)}"
        raise DataError(message, file=table.file, row=table.line(second), expected="each (user, item) pair once")
