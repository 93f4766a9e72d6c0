"""Who rated what, and nothing else: ids and ratings split, encoded and made into batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.pipelines.batches import Batches
from kmodels.preprocessing import splits
from kmodels.preprocessing.encoders import Vocabulary


@dataclass(frozen=True, eq=False)
class Interactions:
    """Ratings as a model of `models.matrix_factorization` takes them.

    Attributes:
        ids: "user_id" and "item_id" -> int32 (rows,), 0 where the training rows do not show the user or the item.
        rating: float32 (rows,).
        split: Positions of the training, validation and test rows.
        encoders: "user_id" and "item_id" -> the vocabulary of the training rows.
        limits: Lowest and highest rating there is, or None where there is no such limit.
    """

    ids: Mapping[str, npt.NDArray[np.int32]]
    rating: npt.NDArray[np.float32]
    split: splits.Split
    encoders: Mapping[str, Vocabulary]
    limits: tuple[float, float] | None = None

    @classmethod
    def of(cls, table: pd.DataFrame, *, seed: int, limits: tuple[float, float] | None = None) -> Interactions:
        """Splits ratings at random in each user and encodes the ids.

        Args:
            table: Columns user_id, item_id and rating.
            seed: Seed of the split.
            limits: Lowest and highest rating there is. Default None, where there is no such limit.

        Returns:
            The ratings.

        Example:
            >>> user, item = np.divmod(np.arange(40), 10)
            >>> ratings = Interactions.of(pd.DataFrame({"user_id": user, "item_id": item, "rating": 3.0}), seed=0)
            >>> ratings.sizes, [len(rows) for rows in ratings.split]
            ((5, 11), [28, 4, 8])
        """
        split = splits.random_per_user(table["user_id"], table["item_id"], seed=seed)
        known = {name: Vocabulary.fit(table[name].iloc[split.train]) for name in ("user_id", "item_id")}
        ids = {name: vocabulary.transform(table[name]) for name, vocabulary in known.items()}
        return cls(ids, table["rating"].to_numpy(np.float32), split, known, limits)

    @property
    def sizes(self) -> tuple[int, int]:
        """Rows of the users' and of the items' table, row 0 for the unknown included."""
        return self.encoders["user_id"].size, self.encoders["item_id"].size

    def priors(self, *, l2_rows: float = 30.0, bias_rows: float = 5.0, kernel_l2: float = 6e-3) -> dict[str, float]:
        """The mean to start from, and the penalties.

        As priors they weigh the less beside a mean loss the more rows there are, and grow with the loss's own unit.

        Args:
            l2_rows: Penalty on the vectors × training rows ÷ variance of their ratings. Default 30.
            bias_rows: Penalty on the biases, likewise. Default 5.
            kernel_l2: Penalty on the MLP's kernels ÷ variance. Default 0.006.

        Returns:
            mean, l2, bias_l2 and kernel_l2 of `models.matrix_factorization`.
        """
        train = self.rating[self.split.train]
        variance, rows = float(train.var()), len(train)
        penalties = {"l2": l2_rows * variance / rows, "bias_l2": bias_rows * variance / rows}
        return {"mean": float(train.mean()), **penalties, "kernel_l2": kernel_l2 * variance}

    def batches(self, rows: npt.NDArray[np.int64], **how: Any) -> Batches:
        """Batches of ids and ratings.

        Args:
            rows: Positions of the ratings.
            **how: batch_size, shuffle, seed and drop_remainder of `Batches`.

        Returns:
            The batches.
        """
        return Batches({name: values[rows] for name, values in self.ids.items()}, self.rating[rows], **how)

    def plain(self) -> dict[str, Any]:
        """Gives what `evaluation.factorization.rivals` takes.

        Returns:
            users, items, rating, split, n_users, n_items and limits.
        """
        n_users, n_items = self.sizes
        ids = {"users": self.ids["user_id"], "items": self.ids["item_id"], "n_users": n_users, "n_items": n_items}
        return ids | {"rating": self.rating, "split": self.split, "limits": self.limits}
