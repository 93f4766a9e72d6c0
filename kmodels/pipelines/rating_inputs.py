"""Encoded ratings as the inputs of a recommender: rows of ratings, every user, or every item."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from kmodels.errors import ConfigurationError
from kmodels.pipelines.batches import Arrays, Batches, Lookup
from kmodels.pipelines.histories import HistoryRows, history_table
from kmodels.preprocessing.context import nearby_surplus
from kmodels.preprocessing.ratings import EncodedRatings

Part = Callable[[np.ndarray], Arrays]


@dataclass(frozen=True, eq=False)
class RatingInputs:
    """Makes the batches that a model of `models.neumf` takes, with just the inputs it has.

    Attributes:
        table: The encoded ratings.
        names: Names of the model's inputs.
        by_user: What each user rated in training, (n_users, n_items), less the mean rating; None where the model has
            no input `user_history`.
        by_item: Who rated each item in training, (n_items, n_users), likewise for `item_history`.
        session: What the user gave around the same time, float32 (ratings, 3); None where the model has no input
            `session`.
    """

    table: EncodedRatings
    names: frozenset[str]
    by_user: sparse.csr_array | None
    by_item: sparse.csr_array | None
    session: npt.NDArray[np.float32] | None

    @classmethod
    def of(
        cls,
        model: keras.Model,
        table: EncodedRatings,
        ratings: npt.ArrayLike,
        train: npt.NDArray[np.int64],
        *,
        timestamps: npt.ArrayLike | None = None,
    ) -> RatingInputs:
        """Collects the histories and sessions of the training rows.

        Args:
            model: The model to feed.
            table: The encoded ratings.
            ratings: (rows,) stars of all rows.
            train: Positions of the training rows: all that histories and sessions may hold.
            timestamps: (rows,) seconds, for a model with an input `session`. Default None.

        Returns:
            The maker of batches.

        Raises:
            ConfigurationError: If the model has an input `session` and there are no timestamps.
        """
        names = frozenset(tensor.name for tensor in model.inputs)
        users, items, stars = table.user_id[train], table.item_id[train], np.asarray(ratings)[train]
        above = stars - stars.mean()
        by_user = by_item = session = None
        if "user_history" in names:
            by_user = history_table(users, items, above, n_owners=table.n_users, n_members=table.n_items)
        if "item_history" in names:
            by_item = history_table(items, users, above, n_owners=table.n_items, n_members=table.n_users)
        if "session" in names:
            if timestamps is None:
                raise ConfigurationError("a model with an input 'session' needs the timestamps of the ratings")
            session = nearby_surplus(_frame(table, ratings, timestamps), train)
        return cls(table, names, by_user, by_item, session)

    def rows(self, rows: npt.NDArray[np.int64], target: npt.NDArray[np.float32] | None = None, **order: Any) -> Batches:
        """Batches of ratings; a rating itself is in neither of its two histories.

        Args:
            rows: Positions of the ratings.
            target: (rows,) what to predict for these rows. Default None.
            **order: batch_size, shuffle, seed and drop_remainder of `Batches`.

        Returns:
            The batches.
        """
        user, item = self.table.user_id[rows], self.table.item_id[rows]
        parts = self._user(self.table.user_row[rows], user, item)
        parts += self._item(self.table.item_row[rows], item, user)
        if self.session is not None:
            parts.append(Lookup(rows, {"session": self.session}))
        return Batches({"user_id": user, "item_id": item}, target, parts=parts, **order)

    def users(self) -> Batches:
        """One row for each user id from 0 on, outside any session; the side features of id 0 are those of any user."""
        ids, rows = _table_rows(self.table.user_id, self.table.user_row, self.table.n_users)
        inputs = {"user_id": ids}
        if self.session is not None:
            inputs["session"] = np.zeros((len(ids), self.session.shape[1]), np.float32)
        return Batches(inputs, parts=self._user(rows, ids, None))

    def items(self) -> Batches:
        """One row for each item id from 0 on; the side features of id 0 (unknown) are those of any item."""
        ids, rows = _table_rows(self.table.item_id, self.table.item_row, self.table.n_items)
        return Batches({"item_id": ids}, parts=self._item(rows, ids, None))

    def _user(self, rows: np.ndarray, ids: np.ndarray, without: np.ndarray | None) -> list[Part]:
        parts = self._lookup(rows, self.table.user_table)
        return parts if self.by_user is None else [*parts, HistoryRows("user_history", self.by_user, ids, without)]

    def _item(self, rows: np.ndarray, ids: np.ndarray, without: np.ndarray | None) -> list[Part]:
        parts = self._lookup(rows, self.table.item_table)
        return parts if self.by_item is None else [*parts, HistoryRows("item_history", self.by_item, ids, without)]

    def _lookup(self, rows: np.ndarray, table: Mapping[str, np.ndarray]) -> list[Part]:
        wanted = {name: values for name, values in table.items() if name in self.names}
        return [Lookup(rows, wanted)] if wanted else []


def _table_rows(
    ids: npt.NDArray[np.int32], rows: npt.NDArray[np.int64], size: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    of_id = np.zeros(size, np.int64)
    of_id[ids] = rows
    return np.arange(size, dtype=np.int32), of_id


def _frame(table: EncodedRatings, ratings: npt.ArrayLike, timestamps: npt.ArrayLike) -> pd.DataFrame:
    columns = {"user_id": table.user_id, "item_id": table.item_id, "rating": ratings, "timestamp": timestamps}
    return pd.DataFrame({name: np.asarray(values) for name, values in columns.items()})
