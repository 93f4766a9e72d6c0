"""Rating histories as inputs: what a user rated, or who rated an item, without the rating to be predicted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from kmodels import checks
from kmodels.errors import DataError
from kmodels.pipelines.batches import Arrays


def history_table(
    owners: np.ndarray, members: np.ndarray, values: np.ndarray, *, n_owners: int, n_members: int
) -> sparse.csr_array:
    """Collects each owner's training ratings: users own items, or items own users; `values` are less their mean.

    The float32 table (n_owners, n_members) leaves out rows of id 0, the unknown; an owner's entries keep the order of
    the rows, and a value of exactly 0 stays an entry.
    """
    owners, members = checks.ids(owners, "owners", n_owners), checks.ids(members, "members", n_members)
    known = (owners > 0) & (members > 0)
    owners, members, values = owners[known], members[known], values[known]
    pairs = owners * n_members + members
    if len(np.unique(pairs)) < len(pairs):
        raise DataError("a pair of owner and member stands twice in a history")
    order = np.argsort(owners, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=n_owners))])
    return sparse.csr_array(
        (values[order].astype(np.float32), members[order].astype(np.int32), starts),
        shape=(n_owners, n_members),
    )


@dataclass(frozen=True)
class HistoryRows:
    """A part of `Batches`: histories as dense rows of weights, for a `features.MultiHot` of 2 · n_members columns.

    A row is [values | ones in the same columns] / √(n + 1), n being the number of entries (Koren's SVD++ has the
    ones, his asymmetric model the values). It costs memory in proportion to batch × n_members, and beats an embedding
    lookup of each entry up to some ten thousand members.

    Args:
        name: Name of the model's input.
        table: What `history_table` gave.
        owners: (rows,) integer ids: whose history each row of the data has.
        members: (rows,) integer ids to leave out of them: in training, the member that the row itself rates, whose
            value would give the target away. None leaves out nothing. Default None.

    Example:
        >>> table = history_table(np.array([1, 1]), np.array([2, 1]), np.array([3.0, -1.0]), n_owners=2, n_members=3)
        >>> part = HistoryRows("history", table, owners=np.array([1]), members=np.array([2]))
        >>> (part(np.array([0]))["history"] * 2**0.5).round(3).tolist()
        [[0.0, -1.0, 0.0, 0.0, 1.0, 0.0]]
    """

    name: str
    table: sparse.csr_array
    owners: np.ndarray
    members: np.ndarray | None = None

    def __call__(self, rows: np.ndarray) -> Arrays:
        """Gives float32 (batch, 2 · n_members) under `name`, for some rows of the data."""
        members, width = None if self.members is None else self.members[rows], self.table.shape[1]
        entry, row, kept, n = _entries(self.table, self.owners[rows], members)
        weight = (1 / np.sqrt(n + 1)).astype(np.float32)[row] * kept
        # One flat scatter: a row has 2 · width columns, the ones stand width columns behind the values.
        result = np.zeros(len(rows) * 2 * width, np.float32)
        target = row * (2 * width) + self.table.indices[entry]
        result[target] = self.table.data[entry] * weight
        result[target + width] = weight
        return {self.name: result.reshape(len(rows), 2 * width)}


@dataclass(frozen=True)
class HistoryBags:
    """A part of `Batches`: histories as padded ids and weights 1/√(n + 1), for a `features.Bag`; for large catalogues.

    Args:
        name: Name of the feature.
        table: What `history_table` gave.
        owners: (rows,) integer ids: whose history each row of the data has.
        length: Entries a bag holds; of a longer history the last ones in the table's order are taken.
        members: (rows,) integer ids to leave out, as in `HistoryRows`. Default None.

    Example:
        >>> table = history_table(np.array([1, 1]), np.array([2, 1]), np.array([3.0, -1.0]), n_owners=2, n_members=3)
        >>> bags = HistoryBags("history", table, owners=np.array([1, 0]), length=3)(np.array([0, 1]))
        >>> bags["history"].tolist()
        [[2, 1, 0], [0, 0, 0]]
        >>> (bags["history_weights"] * 3**0.5).round(3).tolist()
        [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """

    name: str
    table: sparse.csr_array
    owners: np.ndarray
    length: int
    members: np.ndarray | None = None

    def __call__(self, rows: np.ndarray) -> Arrays:
        """Gives int32 ids, 0 padding, under `name`, and float32 weights under `name`_weights; both (batch, length)."""
        members = None if self.members is None else self.members[rows]
        entry, row, kept, n = _entries(self.table, self.owners[rows], members)
        entry, row = entry[kept], row[kept]
        column = np.arange(len(row)) - np.searchsorted(row, row) - np.maximum(n - self.length, 0)[row]
        entry, row, column = entry[column >= 0], row[column >= 0], column[column >= 0]
        ids = np.zeros((len(rows), self.length), np.int32)
        weights = np.zeros((len(rows), self.length), np.float32)
        ids[row, column] = self.table.indices[entry]
        weights[row, column] = (1 / np.sqrt(n + 1))[row]
        return {self.name: ids, f"{self.name}_weights": weights}


def _entries(
    table: sparse.csr_array, owners: np.ndarray, members: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Entries of the owners' rows, the row each is in, whether it is kept, and how many each row keeps."""
    starts = table.indptr[owners].astype(np.int64)
    counts = table.indptr[owners + 1] - starts
    row = np.repeat(np.arange(len(owners)), counts)
    entry = np.arange(len(row)) + (starts - np.cumsum(counts) + counts)[row]
    if members is None:
        return entry, row, np.ones(len(row), bool), counts
    kept = table.indices[entry] != members[row]
    return entry, row, kept, np.bincount(row[kept], minlength=len(owners))
