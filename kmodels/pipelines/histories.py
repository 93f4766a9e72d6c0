"""Rating histories as inputs: what a user rated, or who rated an item, without the rating to be predicted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import sparse

from kmodels import checks
from kmodels.errors import ConfigurationError, DataError
from kmodels.features import History
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
    # SciPy sorts rows into a table by counting, and keeps their order.
    rows = owners[known].astype(np.int32), members[known].astype(np.int32)
    table = sparse.coo_array((values[known].astype(np.float32), rows), shape=(n_owners, n_members))
    table.has_canonical_format = True  # or equal pairs would be added up
    table = table.tocsr()
    table.has_sorted_indices = table.has_canonical_format = False
    if not table.sorted_indices().has_canonical_format:
        raise DataError("a pair of owner and member stands twice in a history")
    return table


class Histories:
    """A part of `Batches`: the six inputs of a `features.History`, without the row's own entry.

    A row's sum over its owner's n other entries is divided by √(n + 1) (Koren's SVD++; with values, his asymmetric
    model). An owner's entries are in the batch once, however many rows are of that owner: `block_order` makes batches
    of few owners and few members.

    Args:
        feature: The history.
        table: What `history_table` gave: of `feature.size` columns.
        owners: (rows,) integer ids: whose history each row of the data has.
        members: (rows,) integer ids to leave out of them: in training, the member that the row itself rates, whose
            value would give the target away. None leaves out nothing. Default None.

    Attributes:
        shared: Names of the inputs whose first axis is not the batch's.

    Raises:
        ConfigurationError: If the table has other columns than the feature has members, or a batch more owners than it
            can have.

    Example:
        >>> table = history_table(np.array([1, 1]), np.array([2, 1]), np.array([3.0, -1.0]), n_owners=2, n_members=3)
        >>> part = Histories(History("seen", 3, owners=2, length=4), table, np.array([1]), members=np.array([2]))
        >>> made = part(np.array([0]))
        >>> made["seen"][0].tolist(), made["seen_values"][0].tolist(), made["seen_of"].tolist()
        ([1, 2, 0, 0], [-1.0, 3.0, 0.0, 0.0], [0])
        >>> made["seen_without"].tolist(), (made["seen_weights"] * 2**0.5).round(3).tolist()
        ([2], [[1.0, -3.0, -1.0]])
    """

    def __init__(
        self,
        feature: History,
        table: sparse.csr_array,
        owners: npt.NDArray[np.integer],
        members: npt.NDArray[np.integer] | None = None,
    ) -> None:
        if table.shape[1] != feature.size:
            raise ConfigurationError(
                f"the history {feature.name!r} has {feature.size} members. Received: a table of {table.shape[1]}"
            )
        self.feature, self.owners = feature, owners
        self.table = table if table.has_sorted_indices else table.sorted_indices()
        self.members = members
        self.shared = frozenset(name for name in [*feature.inputs][:3])
        self._lines = -(-np.diff(self.table.indptr) // feature.length)
        self._room = 0

    def prepare(self, order: npt.NDArray[np.int64], batch_size: int) -> None:
        """Finds how many lines the batches of an order of the rows have at most: all get as many."""
        # JAX compiles a step for each shape. Epochs differ little: a twentieth more is enough for the others.
        most = 0
        for start in range(0, len(order), max(1, _AT_A_TIME // batch_size) * batch_size):
            some = self.owners[order[start : start + max(1, _AT_A_TIME // batch_size) * batch_size]]
            filled = np.full(-(-len(some) // batch_size) * batch_size, some[-1])
            filled[: len(some)] = some
            owners = np.sort(filled.reshape(-1, batch_size), axis=1)
            first = np.ones(owners.shape, bool)
            first[:, 1:] = owners[:, 1:] != owners[:, :-1]
            most = max(most, int((self._lines[owners] * first).sum(axis=1).max()))
        if most > self._room:
            self._room = _rounded(most + most // 20)

    def __call__(self, rows: npt.NDArray[np.int64]) -> Arrays:
        """Gives the inputs of some rows of the data."""
        feature, length = self.feature, self.feature.length
        owners, of = np.unique(self.owners[rows], return_inverse=True)
        if len(owners) > feature.owners:  # JAX would leave out the others without a word
            raise ConfigurationError(
                f"the history {feature.name!r} takes {feature.owners} owners in a batch. Received: {len(owners)}"
            )
        lines = self._lines[owners]
        total = int(lines.sum())
        owner = np.repeat(np.arange(len(owners)), lines)
        line = np.arange(total) - np.repeat(np.cumsum(lines) - lines, lines)
        entry = (self.table.indptr[owners[owner]] + line * length)[:, None] + np.arange(length)
        there = entry < self.table.indptr[owners[owner] + 1][:, None]
        room = max(self._room, _rounded(total))
        members, values = np.zeros((room, length), np.int32), np.zeros((room, length), np.float32)
        members[:total][there], values[:total][there] = self.table.indices[entry[there]], self.table.data[entry[there]]
        number = np.zeros(room, np.int32)
        number[:total] = owner
        without, own, present = self._own(rows)
        n = np.diff(self.table.indptr)[self.owners[rows]] - present
        weights = np.stack([np.ones(len(rows)), -own, -present.astype(float)], axis=1) / np.sqrt(n + 1)[:, None]
        made = members, values, number, of.astype(np.int32), without, weights.astype(np.float32)
        return dict(zip(feature.inputs, made, strict=True))

    def _own(
        self, rows: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.floating], npt.NDArray[np.bool_]]:
        """Of each row the member to leave out, its value, and whether the history has it."""
        if self.members is None:
            return np.zeros(len(rows), np.int32), np.zeros(len(rows)), np.zeros(len(rows), bool)
        members, owners = self.members[rows], self.owners[rows]
        low, end = (self.table.indptr[owners + i].astype(np.int64) for i in (0, 1))
        high = end.copy()
        while (searching := low < high).any():  # the members of an owner are in order
            middle = (low + high) // 2
            smaller = searching & (self.table.indices[np.where(searching, middle, 0)] < members)
            low, high = np.where(smaller, middle + 1, low), np.where(searching & ~smaller, middle, high)
        present = low < end
        present[present] = self.table.indices[low[present]] == members[present]
        own = np.zeros(len(rows), np.float32)
        own[present] = self.table.data[low[present]]
        return np.where(present, members, 0).astype(np.int32), own, present


#: Rows whose owners are counted at a time.
_AT_A_TIME = 2**22


def _rounded(lines: int) -> int:
    """The next number of at most five binary digits and zeros behind them, and at least 8."""
    unit = 1 << max(0, lines.bit_length() - 5)
    return max(8, -(-lines // unit) * unit)


def block_order(
    owners: npt.NDArray[np.integer], members: npt.NDArray[np.integer], batch_size: int
) -> Callable[[np.random.Generator], npt.NDArray[np.int64]]:
    """Orders pairs at random so that a batch has few owners and few members, whose histories are then short.

    The pairs are put in groups by their owners, who come in a random order, and those of a group in batches by their
    members, who do likewise. With g groups of g batches, a batch has some 1/g of the owners and 1/g of the members,
    where one drawn at random has most of them. The batches then come in a random order.

    Args:
        owners: (rows,) integer ids.
        members: (rows,) integer ids.
        batch_size: Rows of a batch.

    Returns:
        A function that draws an order, int64 (rows,), for `Batches`; the rows that fill no batch are the last ones.

    Example:
        >>> users, items = np.divmod(np.arange(400), 20)
        >>> first = block_order(users, items, 100)(np.random.default_rng(0))[:100]
        >>> len(np.unique(users[first])), len(np.unique(items[first]))
        (10, 10)
    """
    rows, n_owners, n_members = len(owners), int(owners.max()) + 1, int(members.max()) + 1
    batches = rows // batch_size
    groups = round(batches**0.5)

    def draw(rng: np.random.Generator) -> npt.NDArray[np.int64]:
        by_owner = np.argsort(rng.permutation(n_owners)[owners] * rows + rng.permutation(rows))
        first = int(rng.integers(0, rows - batches * batch_size + 1))
        whole = by_owner[first : first + batches * batch_size]
        rest = np.concatenate([by_owner[:first], by_owner[first + len(whole) :]])
        group = np.arange(len(whole)) // batch_size * groups // max(1, batches)  # of as many batches, or one more
        member = rng.permutation(n_members)[members[whole]]
        order = whole[np.argsort((group * n_members + member) * rows + rng.permutation(len(whole)))]
        return np.concatenate([rng.permutation(order.reshape(batches, batch_size)).ravel(), rest])

    return draw
