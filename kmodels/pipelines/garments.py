"""Fashion-MNIST as a problem: its parts, and the batches that train and judge a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kmodels.datasets.fashion_mnist import LABELS, FashionMnist
from kmodels.pipelines.batches import Batches
from kmodels.preprocessing import splits

_AT_ONCE = 500


@dataclass(frozen=True, eq=False)
class Garments:
    """Pictures and labels of the three parts.

    Attributes:
        images: Part ("train", "validation", "test") -> uint8 (rows, 28, 28, 1).
        labels: Part -> int32 (rows,), positions in `datasets.fashion_mnist.LABELS`.
    """

    images: Mapping[str, npt.NDArray[np.uint8]]
    labels: Mapping[str, npt.NDArray[np.int32]]

    @classmethod
    def of(cls, data: FashionMnist, *, seed: int) -> Garments:
        """Takes a tenth of the training part for validation, the same share of each class.

        Args:
            data: Pictures and labels; their test part stays as it is.
            seed: Seed of the draw.

        Returns:
            The parts.

        Raises:
            DataError: If a class has no row in a part.

        Example:
            >>> from kmodels.datasets import fashion_mnist
            >>> Garments.of(fashion_mnist.load("sample"), seed=0).summary()["split"]
            {'train': 3600, 'validation': 400, 'test': 1000}
        """
        split = splits.stratified(data.train_labels, seed=seed, validation=0.1, test=0)
        rows = {"train": split.train, "validation": split.validation}
        images = {part: data.train_images[where] for part, where in rows.items()}
        labels = {part: data.train_labels[where] for part, where in rows.items()}
        splits.require_classes(data.train_labels, split._replace(test=split.validation), LABELS)
        return cls(images | {"test": data.test_images}, labels | {"test": data.test_labels})

    def training(self, *, batch_size: int, seed: int) -> Batches:
        """Makes the training batches, all of one size.

        Args:
            batch_size: Rows of a batch.
            seed: Seed of their order.

        Returns:
            Batches of `image`, with one-hot labels, float32 (batch, 10), which a loss can smooth.
        """
        how: dict[str, Any] = {"batch_size": batch_size, "shuffle": True, "seed": seed, "drop_remainder": True}
        return Batches({"image": self.images["train"]}, self._one_hot("train"), **how)

    def batches(self, part: str) -> Batches:
        """Makes batches in the pictures' own order, to judge or predict.

        Args:
            part: "train", "validation" or "test".

        Returns:
            Batches of `image`, with one-hot labels.
        """
        return Batches({"image": self.images[part]}, self._one_hot(part), batch_size=_AT_ONCE)

    def _one_hot(self, part: str) -> npt.NDArray[np.float32]:
        return np.eye(len(LABELS), dtype=np.float32)[self.labels[part]]

    def summary(self) -> dict[str, Any]:
        """Says how the pictures are split.

        Returns:
            `split_name` and `split` (part -> rows).
        """
        name = "the data set's own test part; a tenth of its training part is for validation"
        return {"split_name": name, "split": {part: len(labels) for part, labels in self.labels.items()}}
