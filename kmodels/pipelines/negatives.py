"""Pairs that nobody has observed, drawn at random, for models that tell them from those observed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from kmodels import checks
from kmodels.errors import ConfigurationError
from kmodels.pipelines.batches import Arrays


@dataclass(frozen=True, eq=False)
class NegativeSampling:
    """A part of `Batches`: observed pairs of user and item, each with pairs of that user that were not observed.

    Row r · (1 + negatives) of the data is the observed pair r, the rows after it have the same user and an item drawn
    uniformly from all that the user has not. With `shuffle`, observed pairs and others are mixed in each batch, and
    each epoch draws others.

    What is drawn depends on the seed and the batch's row numbers alone: a run that is resumed, another backend and
    another engine draw the same. Batches that are not shuffled are the same in every epoch.

    Args:
        users: (pairs,) user ids of the observed pairs, 0 (unknown) to n_users - 1.
        items: (pairs,) item ids of the observed pairs, 0 (unknown) to n_items - 1.
        seen: Sparse (n_users, n_items), whose entries are not drawn, such as the training rows of
            `pipelines.histories.history_table`; the observed pairs need not be among them, and are not drawn either.
        negatives: Pairs drawn for each observed one, 1 or more. Default 4.
        seed: Seed of the draws. Default 0.

    Attributes:
        target: float32 ((1 + negatives) · pairs,): 1 for an observed pair, 0 for a drawn one.

    Raises:
        DataError: If an id is out of range, or a user has all items.
        ConfigurationError: If negatives is below 1.

    Source: He et al., "Neural Collaborative Filtering", WWW 2017.

    Example:
        >>> from kmodels.pipelines import Batches
        >>> seen = sparse.csr_array(np.array([[0, 0, 0, 0], [0, 1, 1, 0]]))
        >>> pairs = NegativeSampling(np.array([1, 1]), np.array([2, 1]), seen, negatives=2)
        >>> inputs, target = Batches({}, pairs.target, parts=[pairs])[0]
        >>> inputs["item_id"].tolist(), target.tolist()
        ([2, 3, 3, 1, 3, 3], [1.0, 0.0, 0.0, 1.0, 0.0, 0.0])
    """

    users: npt.NDArray[Any]
    items: npt.NDArray[Any]
    seen: sparse.csr_array
    negatives: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.negatives < 1:
            raise ConfigurationError(f"negatives must be at least 1. Received: negatives={self.negatives}")
        checks.same_length(users=self.users, items=self.items)
        users = checks.ids(self.users, "users", self.seen.shape[0])
        checks.ids(self.items, "items", self.seen.shape[1])
        _, _, unseen = self._gaps
        checks.refuse_rows(
            unseen[users] == 0, "the user has all items, so that none can be drawn", "users", values=users
        )

    @property
    def target(self) -> npt.NDArray[np.float32]:
        """Whether each row is observed, float32 ((1 + negatives) · pairs,)."""
        return np.tile(np.eye(1, 1 + self.negatives, dtype=np.float32)[0], len(self.users))

    @cached_property
    def _gaps(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """What finds a user's k-th unseen item: sorted keys, each user's first key, how many items are unseen."""
        n_users, n_items = self.seen.shape
        entries = self.seen.tocoo()
        users, items = np.append(entries.row, self.users).astype(np.int64), np.append(entries.col, self.items)
        pairs = np.unique(users * n_items + items)
        pairs = pairs[pairs % n_items > 0]
        owner = pairs // n_items
        counts = np.bincount(owner, minlength=n_users)
        first = np.cumsum(counts) - counts
        # The k-th unseen item stands behind as many seen ones as have at most k unseen items below them.
        unseen_below = pairs - 1 - (np.arange(len(pairs)) - first[owner])
        return unseen_below, first, n_items - 1 - counts

    def __call__(self, rows: np.ndarray) -> Arrays:
        """Gives int32 `user_id` and `item_id`, (batch,), for some rows of the data."""
        rng = np.random.default_rng((self.seed, zlib.crc32(np.ascontiguousarray(rows).tobytes())))
        pair, negative = np.divmod(rows, 1 + self.negatives)
        users, n_items = self.users[pair].astype(np.int64), self.seen.shape[1]
        keys, first, unseen = self._gaps
        k = rng.integers(unseen[users])
        drawn = 1 + k + np.searchsorted(keys, users * n_items + k, side="right") - first[users]
        items = np.where(negative > 0, drawn, self.items[pair])
        return {"user_id": users.astype(np.int32), "item_id": items.astype(np.int32)}
