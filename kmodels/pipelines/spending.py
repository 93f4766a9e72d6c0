"""Purchases as two problems, the amount and its spend group: parts, targets and batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.errors import DataError
from kmodels.pipelines.batches import Batches
from kmodels.pipelines.id_dropout import IdDropout
from kmodels.preprocessing import purchases, splits
from kmodels.preprocessing.encoders import Standardizer


@dataclass(frozen=True, eq=False)
class Spending:
    """Purchases split and encoded, with both targets.

    Attributes:
        table: The encoded purchases.
        columns: The table as it is, without the amount: what baselines take.
        parts: "train", "validation", "test" (whose users and products training shows) and "unseen" (the other test
            rows, perhaps none) -> positions of rows, int64.
        amount: float64 (rows,), in currency.
        groups: int32 (rows,), positions in `preprocessing.purchases.SPEND_GROUPS`.
    """

    table: purchases.EncodedPurchases
    columns: pd.DataFrame
    parts: Mapping[str, npt.NDArray[np.int64]]
    amount: npt.NDArray[np.float64]
    groups: npt.NDArray[np.int32]

    @classmethod
    def of(cls, table: pd.DataFrame, *, seed: int) -> Spending:
        """Splits and encodes purchases.

        Args:
            table: As `datasets.purchases` makes it.
            seed: Seed of the split.

        Returns:
            The problem.

        Raises:
            DataError: If a part other than "unseen" has no row, or all training rows are in one spend group.

        Example:
            >>> user, product = np.divmod(np.arange(600), 20)
            >>> table = pd.DataFrame({"user_id": user, "product_id": product}, dtype="category")
            >>> problem = Spending.of(table.assign(amount=500.0 * product), seed=0)
            >>> {part: len(rows) for part, rows in problem.parts.items()}
            {'train': 440, 'validation': 55, 'test': 56, 'unseen': 49}
        """
        split = splits.kept_back(table[["user_id", "product_id"]], seed=seed)
        encoded, amount = purchases.encode_purchases(table, split.train), table["amount"].to_numpy(np.float64)
        groups = purchases.spend_groups(amount)
        found = np.unique(groups[split.train])
        if len(found) < 2:
            only = purchases.SPEND_GROUPS[found[0]]
            raise DataError("all training rows are in one spend group", column="amount", received=only)
        unseen = encoded.unseen[split.test]
        parts = {**split._asdict(), "test": split.test[~unseen], "unseen": split.test[unseen]}
        for part in ("validation", "test"):
            if not len(parts[part]):
                raise DataError(f"no row is left for the {part} part", received=f"{len(table)} rows")
        return cls(encoded, table.drop(columns="amount"), parts, amount, groups)

    def batches(self, part: str, target: npt.NDArray[Any], *, ids: bool = True, batch_size: int = 4096) -> Batches:
        """Batches of a part in its own order.

        Args:
            part: Name of the part.
            target: (rows,) or (rows, 1), of all rows: `groups`, or `table.amount`.
            ids: Whether the user and the product are among the inputs. Default True.
            batch_size: Rows of a batch. Default 4096.

        Returns:
            The batches.
        """
        rows = self.parts[part]
        return Batches(self._inputs(rows, ids), target[rows], batch_size=batch_size)

    def training(
        self, target: npt.NDArray[Any], *, ids: bool = True, unknown: float = 0.05, batch_size: int = 512, seed: int = 0
    ) -> Batches:
        """Shuffled batches of the training rows, of equal size.

        Args:
            target: As for `batches`.
            ids: Whether the user and the product are among the inputs. Default True.
            unknown: Share of the ids that are made unknown, see `IdDropout`. Default 0.05.
            batch_size: Rows of a batch. Default 512.
            seed: Seed of order and choice. Default 0.

        Returns:
            The batches.
        """
        rows = self.parts["train"]
        inputs = self._inputs(rows, ids)
        dropped = {feature.name: inputs[feature.name] for feature in self.table.ids if ids}
        return Batches(
            inputs,
            target[rows],
            parts=[IdDropout(dropped, unknown, seed)] if dropped else (),
            batch_size=batch_size,
            shuffle=True,
            seed=seed,
            drop_remainder=True,
        )

    def in_currency(self, amount: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Turns predictions of `table.amount` into currency; nobody pays less than nothing.

        Args:
            amount: Standardised amounts, of any shape.

        Returns:
            The amounts, 0 or more.
        """
        scale = self.table.encoders["amount"]
        assert isinstance(scale, Standardizer)  # as `encode_purchases` makes it
        return np.maximum(purchases.in_currency(np.asarray(amount), scale), 0)

    def judged(self) -> dict[str, npt.NDArray[np.int64]]:
        """Names the parts that models are judged on: all but the training rows, those without rows left out.

        Returns:
            Part -> its rows.
        """
        return {part: rows for part, rows in self.parts.items() if part != "train" and len(rows)}

    def plain(self) -> dict[str, Any]:
        """Gives what baselines and reports need, none of it encoded.

        Returns:
            `columns`, `spent` (the amounts), `groups` and `parts`.
        """
        return {"columns": self.columns, "spent": self.amount, "groups": self.groups, "parts": self.parts}

    def summary(self) -> dict[str, Any]:
        """Counts what a report says of the problem.

        Returns:
            `spend_group_counts`: name of a spend group -> rows; `split`: name of a part -> rows; `split_name`.
        """
        counts = np.bincount(self.groups, minlength=len(purchases.SPEND_GROUPS))
        return {
            "spend_group_counts": dict(zip(purchases.SPEND_GROUPS, counts.tolist(), strict=True)),
            "split": {part: len(rows) for part, rows in self.parts.items()},
            "split_name": "at random; unseen: all test rows of the users and products that were kept back",
        }

    def _inputs(self, rows: npt.NDArray[np.int64], ids: bool) -> dict[str, npt.NDArray[np.int32]]:
        features = [*(self.table.ids if ids else ()), *self.table.features]
        return {feature.name: self.table.inputs[feature.name][rows] for feature in features}
