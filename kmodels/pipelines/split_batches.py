"""Arrays of all rows and a split -> the batches of its three parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.utils.class_weight import compute_sample_weight

from kmodels.errors import DataError
from kmodels.pipelines.batches import Arrays, Batches, EpochBatches, Rows
from kmodels.pipelines.id_dropout import IdDropout
from kmodels.preprocessing.splits import Split, SplitWithUnseen

Part = Callable[[np.ndarray], Arrays]


class SplitBatches(NamedTuple):
    """The batches of each part of a split."""

    train: EpochBatches
    validation: EpochBatches
    test: EpochBatches


def split_batches(
    inputs: Mapping[str, Rows],
    target: Rows | None,
    split: Split | SplitWithUnseen,
    *,
    batch_size: int = 512,
    seed: int = 0,
    parts: Callable[[npt.NDArray[np.int64]], Sequence[Part]] | None = None,
    ids: Sequence[str] = (),
    id_dropout: float = 0.0,
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
        ids: Inputs of ids, some of which are made 0, unknown, in training, as by `IdDropout`. Default ().
        id_dropout: Share of them, from 0 to below 1. Default 0.
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
    for name in Split._fields:
        if not len(getattr(split, name)):
            raise DataError(f"no row is left for the {name} part", received=[len(part) for part in split])

    if balanced and target is not None:
        sample_weight = np.ones(len(target), np.float32)
        sample_weight[split.train] = compute_sample_weight("balanced", target[split.train])

    def make(rows: npt.NDArray[np.int64], train: bool) -> Batches:
        arrays = {name: values[rows] for name, values in inputs.items()}
        made = [] if parts is None else [*parts(rows)]
        if train and ids and id_dropout:
            made.append(IdDropout({name: arrays[name] for name in ids}, id_dropout, seed))
        return Batches(
            arrays,
            None if target is None else target[rows],
            sample_weight=sample_weight[rows] if train and sample_weight is not None else None,
            parts=made,
            batch_size=batch_size if train else evaluation_batch_size,
            shuffle=train,
            seed=seed,
            drop_remainder=train,
        )

    return SplitBatches(make(split.train, True), make(split.validation, False), make(split.test, False))
