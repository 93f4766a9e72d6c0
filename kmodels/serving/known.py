"""What is known of everybody at the time of a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from kmodels import checks
from kmodels.errors import ConfigurationError, DataError
from kmodels.pipelines import Ratings
from kmodels.pipelines.histories import history_table
from kmodels.preprocessing import Vocabulary
from kmodels.preprocessing.splits import time_rank
from kmodels.serving.rankers import vocabulary


class Known(NamedTuple):
    """Everybody's ratings of the items of the catalogue.

    Attributes:
        users: All that have a rating or had one in training; id 0 is somebody unknown, who has none.
        ratings: Sparse (users.size, n_items), in the data's unit; entries of a row are in order, oldest first.
        ordered: Whether that order is one of time.
    """

    users: Vocabulary
    ratings: sparse.csr_array
    ordered: bool

    @classmethod
    def of_table(cls, table: pd.DataFrame, ratings: Ratings) -> Self:
        """Reads a table with columns user_id, item_id, rating and perhaps timestamp; other items are left out."""
        for column in ("user_id", "item_id", "rating"):
            if column not in table:
                raise DataError("what is known lacks a column", column=column, received=list(table))
        check_ratings(table["rating"], ratings)
        if ordered := "timestamp" in table:
            table = table.iloc[np.argsort(time_rank(table["user_id"], table["item_id"], table["timestamp"]))]
        trained, items = vocabulary(ratings, "user_id"), vocabulary(ratings, "item_id")
        users = Vocabulary.fit([*trained.values, *pd.unique(table["user_id"]).tolist()])
        pairs = users.transform(table["user_id"]), items.transform(table["item_id"])
        values = table["rating"].to_numpy(np.float32)
        return cls(users, history_table(*pairs, values, n_owners=users.size, n_members=items.size), ordered)

    @classmethod
    def of_training(cls, ratings: Ratings) -> Self:
        """The training rows."""
        train, users = ratings.split.train, vocabulary(ratings, "user_id")
        if ordered := ratings.time_rank is not None:
            train = train[np.argsort(ratings.time_rank[train])]
        rows = ratings.user_id[train], ratings.item_id[train], ratings.rating[train]
        return cls(users, history_table(*rows, n_owners=ratings.n_users, n_members=ratings.n_items), ordered)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The table as arrays; `users` is saved apart."""
        table = self.ratings
        parts = {"data": table.data, "indices": table.indices, "indptr": table.indptr}
        return parts | {"ordered": np.array(self.ordered)}

    @classmethod
    def of_arrays(cls, users: Vocabulary, arrays: Mapping[str, npt.NDArray[Any]], ratings: Ratings) -> Self:
        """Puts together what `arrays` took apart; raises one of `files.DAMAGE` where it does not fit."""
        shape = (users.size, ratings.n_items)
        table = sparse.csr_array(tuple(arrays[name] for name in ("data", "indices", "indptr")), shape=shape)
        table.check_format(full_check=True)
        check_ratings(table.data, ratings)
        return cls(users, table, bool(arrays["ordered"]))


def guests(given: Iterable[Mapping[int, Any]], ratings: Ratings) -> sparse.csr_array:
    """Ratings of people without a row, item id -> rating, oldest first, as a table like `Known.ratings`."""
    rows = list(given)
    values = np.array([rating for row in rows for rating in row.values()], np.float32)
    check_ratings(values, ratings)
    items = np.array([item for row in rows for item in row], np.int32)
    starts = np.cumsum([0, *map(len, rows)])
    return sparse.csr_array((values, items, starts), shape=(len(rows), ratings.n_items))


def check_ratings(values: npt.ArrayLike, ratings: Ratings) -> None:
    """Refuses ratings that are missing or outside the scale."""
    (low, high), numbers = ratings.scale, checks.numbers(values, "rating")
    wrong = (numbers < low) | (numbers > high)
    checks.refuse_rows(wrong, "outside the scale", "rating", expected=f"{low:g} to {high:g}", values=numbers)


def shown_columns(items: pd.DataFrame, catalogue: npt.NDArray[Any], taken: Sequence[str]) -> dict[str, Any]:
    """The columns of a table of items by the ids of the catalogue: numbers, or text with None where it is missing."""
    if "item_id" not in items:
        raise DataError("the table of items has no ids", column="item_id", received=list(items))
    checks.refuse_rows(items["item_id"].duplicated(), "the id stands twice", "item_id", values=items["item_id"])
    if wrong := [str(name) for name in items if name in taken]:
        raise ConfigurationError(f"recommendations have columns of their own named so. Received: {', '.join(wrong)}")
    shown = {}
    for name, column in items.set_index("item_id").reindex(catalogue).items():
        if not pd.api.types.is_numeric_dtype(column):
            column = pd.Series(column.astype(str).astype(object).where(column.notna(), None).tolist())
        shown[str(name)] = column.array
    return shown


def raw_ids(known: Vocabulary) -> npt.NDArray[Any]:
    """The values of a vocabulary."""
    return np.array(known.values, object if isinstance(known.values[0], str) else np.int64)
