"""Ratings of films split, encoded and made into batches, with side features, histories and sessions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt

from kmodels.datasets.ratings import RatingTables
from kmodels.pipelines.batches import Batches
from kmodels.pipelines.rating_inputs import RatingInputs
from kmodels.preprocessing.ratings import EncodedRatings, encode_ratings
from kmodels.preprocessing.splits import Split

STARS = 5  #: The highest rating; targets are ratings divided by it.


@dataclass(frozen=True, eq=False)
class RatedFilms:
    """Ratings as a model of `models.neumf` takes them; targets are stars / 5.

    Attributes:
        table: Ids and side features, encoded on the training rows.
        stars: float (rows,), the ratings.
        split: Positions of the training, validation and test rows.
        inputs: What makes the model's inputs.
    """

    table: EncodedRatings
    stars: npt.NDArray[np.floating]
    split: Split
    inputs: RatingInputs

    @classmethod
    def of(cls, data: RatingTables, split: Split, build: Callable[[EncodedRatings], keras.Model]) -> RatedFilms:
        """Encodes the ratings and collects histories and sessions, all from the training rows.

        Args:
            data: The tables.
            split: Positions of the rows of each part.
            build: From the encoded ratings to a model, whose inputs count.

        Returns:
            The ratings.
        """
        table = encode_ratings(data.ratings, data.users, data.items, split.train)
        stars = data.ratings["rating"].to_numpy()
        times = data.ratings["timestamp"]
        return cls(table, stars, split, RatingInputs.of(build(table), table, stars, split.train, timestamps=times))

    @property
    def mean(self) -> float:
        """The mean target of the training rows."""
        return float(self.stars[self.split.train].mean()) / STARS

    def fitting(self, *, batch_size: int, seed: int) -> tuple[Batches, Batches]:
        """Batches to fit a model with.

        Args:
            batch_size: Rows of a training batch.
            seed: Seed of the training rows' order.

        Returns:
            The training rows, shuffled, in batches of one size; the validation rows in their order.
        """
        rows = self.split.train
        train = self.inputs.rows(
            rows, self._target(rows), batch_size=batch_size, shuffle=True, seed=seed, drop_remainder=True
        )
        return train, self.batches(self.split.validation)

    def batches(self, rows: npt.NDArray[np.int64]) -> Batches:
        """Batches of any rows, in their order.

        Args:
            rows: Positions of the ratings.

        Returns:
            The batches.
        """
        return self.inputs.rows(rows, self._target(rows), batch_size=4096)

    def in_stars(self, target: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Predicted targets as stars, kept within 0.5 to 5.

        Args:
            target: (rows,) predictions of stars / 5.

        Returns:
            (rows,) stars.
        """
        return np.clip(target * STARS, 0.5, STARS)

    def _target(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        return (self.stars[rows] / STARS).astype(np.float32)
