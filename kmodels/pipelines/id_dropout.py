"""Ids made unknown at random, so that a model learns to do without them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kmodels.errors import ConfigurationError


@dataclass(frozen=True, eq=False)
class IdDropout:
    """A part of `Batches`: ids, some of which are 0, unknown, others in each epoch.

    A model that has never met the id 0 in training answers for a new user or product with the initial values of that
    row. With some ids left out at random, the row learns what is best said when nothing is known (Volkovs, Yu and
    Poutanen, "DropoutNet: Addressing Cold Start in Recommender Systems", NeurIPS 2017). Each id is left out on its own.

    What is left out depends on the seed and the batch's row numbers alone: a run that is resumed, another backend and
    another engine leave out the same. Batches that are not shuffled leave out the same in every epoch.

    Args:
        ids: Name of a model input -> integers (rows,), the rows of the data.
        rate: Share of the ids that are made 0, from 0 to below 1.
        seed: Seed of the choice. Default 0.

    Raises:
        ConfigurationError: If the rate is out of range.

    Example:
        >>> part = IdDropout({"user_id": np.arange(1, 1001, dtype="int32")}, rate=0.05)
        >>> users = part(np.arange(1000))["user_id"]
        >>> users.dtype.name, int((users == 0).sum())
        ('int32', 43)
    """

    ids: Mapping[str, np.ndarray]
    rate: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise ConfigurationError(f"rate must be from 0 to below 1. Received: rate={self.rate}")

    def __call__(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Gives the ids of some rows of the data, each in its own dtype."""
        rng = np.random.default_rng((self.seed, zlib.crc32(np.ascontiguousarray(rows).tobytes())))
        return {name: values[rows] * (rng.random(len(rows)) >= self.rate) for name, values in self.ids.items()}
