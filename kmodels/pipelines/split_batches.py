"""Arrays of all rows and a split -> the batches of its three parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.utils.class_weight import compute_sample_weight

from kmodels.errors import DataError
from kmodels.pipelines.batches import Arrays, Batches
from kmodels.preprocessing.splits import Split

Part = Callable[[np.ndarray], Arrays]


class SplitBatches(NamedTuple):
    """The batches of each part of a split."""

    train: Batches
    validation: Batches
    test: Batches


def split_batches(
    inputs: Mapping[str, np.ndarray],
    target: np.ndarray | None,
    split: Split,
    *,
    batch_size: int = 512,
    seed: int = 0,
    parts: Callable[[npt.NDArray[np.int64]], Sequence[Part]] | None = None,
    train_parts: Callable[[npt.NDArray[np.int64]], Sequence[Part]] | None = None,
    sample_weight: np.ndarray | None = None,
    balanced: bool = False,
    evaluation_batch_size: int = 4096,
) -> SplitBatches:
    """Makes the batches of a split: training rows shuffled in batches of equal size, the others in their own order.

    Args:
        inputs: Name of a model input -> array of shape (rows, ...), of all rows of the data.
        target: (rows,) or (rows, ...), of all rows; None for prediction alone.
        split: Positions of the training, validation and test rows, none of them empty.
        batch_size: Rows of a training batch. Default 512.
        seed: Seed of the order of the training rows. Default 0.
        parts: From the positions of a part's rows, int64 (n,), to the parts of `Batches` that make its other inputs,
            such as `lambda rows: [pictures.at(rows)]`. Default None.
        train_parts: Likewise for the training rows alone, after `parts`: what they make replaces inputs of
            the same name, such as ids under `IdDropout`. Default None.
        sample_weight: (rows,) float, of all rows; the training rows are weighed by it. Default None.
        balanced: Whether training rows are weighed so that each class of the target, integers, counts the same in
            all; in place of `sample_weight`. Default False.
        evaluation_batch_size: Rows of a validation or test batch. Default 4096.

    Returns:
        `train`, `validation` and `test`.

    Raises:
        DataError: If a part has no row, or the arrays differ in length.

    Example:
        >>> from kmodels.preprocessing import splits
        >>> split = splits.Split(np.arange(7), np.array([7, 8]), np.array([9]))
        >>> batches = split_batches({"x": np.arange(10.0)}, np.arange(10.0), split, batch_size=3)
        >>> [len(part) for part in batches], batches.validation[0][0]["x"].tolist()
        ([2, 1, 1], [7.0, 8.0])
    """
    for name, rows in split._asdict().items():
        if not len(rows):
            raise DataError(f"no row is left for the {name} part", received=[len(part) for part in split])

    if balanced and target is not None:
        sample_weight = np.ones(len(target), np.float32)
        sample_weight[split.train] = compute_sample_weight("balanced", target[split.train])

    def make(rows: npt.NDArray[np.int64], train: bool) -> Batches:
        functions = [function for function in (parts, train_parts if train else None) if function is not None]
        return Batches(
            {name: values[rows] for name, values in inputs.items()},
            None if target is None else target[rows],
            sample_weight=sample_weight[rows] if train and sample_weight is not None else None,
            parts=[part for function in functions for part in function(rows)],
            batch_size=batch_size if train else evaluation_batch_size,
            shuffle=train,
            seed=seed,
            drop_remainder=train,
        )

    return SplitBatches(make(split.train, True), make(split.validation, False), make(split.test, False))
