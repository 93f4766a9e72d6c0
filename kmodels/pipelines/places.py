"""Points of interest as a problem of pictures and metadata: parts, targets and batches."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.evaluation import classification, tabular
from kmodels.pipelines.batches import Arrays, Batches
from kmodels.pipelines.pictures import Pictures, picture_statistics
from kmodels.preprocessing import pois, splits

_BOTH = ("image", "metadata")


@dataclass(frozen=True, eq=False)
class Places:
    """Points of interest split and encoded, with their pictures.

    Attributes:
        encoded: The encoded metadata and the classes of engagement.
        pictures: The pictures of all rows.
        parts: "train", "validation" and "test" -> positions of rows, int64.
    """

    encoded: pois.EncodedPois
    pictures: Pictures
    parts: Mapping[str, npt.NDArray[np.int64]]

    @classmethod
    def of(
        cls,
        table: pd.DataFrame,
        *,
        seed: int,
        side: int = 128,
        engagement: str = "ratios",
        clusters: int = 4,
        cache: str | None = None,
    ) -> Places:
        """Splits places at random, 70 % to train, 10 % to validate, 20 % to test, and encodes them.

        Args:
            table: As `datasets.pois` makes it.
            seed: Seed of the split and of the search for clusters.
            side: Height and width of the pictures in pixels. Default 128.
            engagement: Which definition is cut in three, see `preprocessing.pois.encode_pois`. Default "ratios".
            clusters: Number of location clusters. Default 4.
            cache: Folder in which to keep decoded pictures; None keeps them in memory. Default None.

        Returns:
            The problem; no picture is read yet.

        Raises:
            ConfigurationError: If a setting is out of range.
            DataError: If there are too few rows, or a class has none in one of the parts.
        """
        split = splits.random(len(table), seed=seed, validation=0.1, test=0.2)
        encoded = pois.encode_pois(table, split.train, engagement=engagement, clusters=clusters, seed=seed)
        splits.require_classes(encoded.target, split, encoded.labels)
        return cls(encoded, Pictures(table["image"].tolist(), (side, side), cache=cache), split._asdict())

    def batches(self, part: str, inputs: Collection[str] = _BOTH, *, batch_size: int = 64) -> Batches:
        """Batches of a part in its own order.

        Args:
            part: Name of the part.
            inputs: What the model reads. Default ("image", "metadata").
            batch_size: Rows of a batch. Default 64.

        Returns:
            The batches.
        """
        return self._batches(self.parts[part], inputs, batch_size=batch_size)

    def training(
        self, inputs: Collection[str] = _BOTH, *, balanced: bool = False, batch_size: int = 32, seed: int = 0
    ) -> Batches:
        """Shuffled batches of the training rows, of equal size.

        Args:
            inputs: As for `batches`.
            balanced: Whether rows are weighted so that each class weighs the same in all. Default False.
            batch_size: Rows of a batch. Default 32.
            seed: Seed of the order. Default 0.

        Returns:
            The batches.
        """
        rows = self.parts["train"]
        weight = _balanced(self.encoded.target[rows]) if balanced else None
        how = {"shuffle": True, "seed": seed, "drop_remainder": True, "batch_size": batch_size}
        return self._batches(rows, inputs, sample_weight=weight, **how)

    def target(self, part: str) -> npt.NDArray[np.int32]:
        """Classes of a part's rows.

        Args:
            part: Name of the part.

        Returns:
            int32 (rows,), 0 low, 1 medium, 2 high.
        """
        return self.encoded.target[self.parts[part]]

    def arrays(self, part: str, count: int | None = None) -> Arrays:
        """Inputs of a part's first rows as arrays, for what looks into a model.

        Args:
            part: Name of the part.
            count: How many rows; None, the default, takes all.

        Returns:
            "image", uint8 (count, side, side, 3), and "metadata", float32 (count, columns).
        """
        rows = self.parts[part][:count]
        return {**self.pictures(rows), "metadata": self.encoded.metadata[rows]}

    def picture_statistics(self) -> dict[str, Any]:
        """Mean and standard deviation of the training pictures, as `models.image_input` takes them.

        Returns:
            `mean` and `std`, one number for each channel, on a scale from 0 to 1.
        """
        return dict(zip(("mean", "std"), picture_statistics(self.pictures, self.parts["train"]), strict=True))

    def groups(self) -> dict[str, range]:
        """Groups of columns of the metadata that belong together.

        Returns:
            Name -> columns.
        """
        return {name: range(columns.start, columns.stop) for name, columns in self.encoded.groups.items()}

    def baselines(self, *, seed: int = 0) -> dict[str, dict[str, float]]:
        """Judges on the test rows what needs no network: `evaluation.tabular.fit_classifiers` on the metadata.

        Args:
            seed: Seed of the boosting. Default 0.

        Returns:
            "majority", "logistic_regression on metadata" and "gradient_boosting on metadata" -> the metrics of
            `evaluation.classification.evaluate`.
        """
        table = pd.DataFrame(self.encoded.metadata, columns=list(self.encoded.columns))
        train, test = self.parts["train"], self.parts["test"]
        fitted = tabular.fit_classifiers(table.iloc[train], self.encoded.target[train], seed=seed)
        return {
            name if name == "majority" else f"{name} on metadata": classification.evaluate(
                self.encoded.target[test], predict(table.iloc[test])
            )
            for name, predict in fitted.items()
        }

    def cluster(self) -> npt.NDArray[np.int64]:
        """Location cluster of every row.

        Returns:
            int64 (rows,), from 0.
        """
        return self.encoded.metadata[:, self.encoded.groups["location"]].argmax(axis=1)

    def summary(self) -> dict[str, Any]:
        """Counts what a report says of the problem.

        Returns:
            `class_counts`: label -> rows; `split`: name of a part -> rows; `split_name`.
        """
        return {
            "class_counts": dict(zip(self.encoded.labels, np.bincount(self.encoded.target).tolist(), strict=True)),
            "split": {part: len(rows) for part, rows in self.parts.items()},
            "split_name": "random; terciles of engagement cut on the training rows",
        }

    def _batches(self, rows: npt.NDArray[np.int64], inputs: Collection[str], **how: Any) -> Batches:
        return Batches(
            {"metadata": self.encoded.metadata[rows]} if "metadata" in inputs else {},
            self.encoded.target[rows],
            parts=[self.pictures.at(rows)] if "image" in inputs else [],
            **how,
        )


def _balanced(target: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """Weights with which each class counts the same in all; their mean is 1."""
    counts = np.bincount(target)
    return (len(target) / (len(counts) * counts))[target].astype(np.float32)
