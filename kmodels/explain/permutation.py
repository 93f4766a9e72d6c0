"""Permutation importance: how much worse a model gets when one of its inputs is shuffled between rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels import checks
from kmodels.errors import ConfigurationError, DataError

Group = tuple[str, Sequence[int] | None]


def permutation_importance(
    predict: Callable[[dict[str, npt.NDArray[Any]]], Any],
    inputs: Mapping[str, npt.NDArray[Any]],
    groups: Mapping[str, Group],
    score: Callable[[Any], float],
    *,
    repeats: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """Shuffles each group of columns between the rows and sees how much the score drops (Breiman 2001).

    The columns of a group are shuffled together, so that what a one-hot or an id says stays whole. What two groups
    both say may be missed: while one is shuffled, the model still reads it from the other.

    Args:
        predict: From a dict of arrays, such as `inputs`, to predictions.
        inputs: Name -> array, n rows each, two or more; best rows the model was not trained on. Not changed.
        groups: Name of the group -> (name of the input, its columns), the columns None for the whole input, as for a
            picture. Columns are positions along the input's second axis.
        score: From predictions to a number, higher is better: accuracy, or an error with a minus.
        repeats: How often each group is shuffled. Default 5.
        seed: Seed of the orders. Default 0.

    Returns:
        A row for each group, the most important first: group, mean (drop of the score, in its unit; below zero if the
        model was better off without), std (between repeats, 0 for one).

    Raises:
        DataError: If the inputs differ in length or have fewer than two rows, or the score is missing or infinite.
        ConfigurationError: If there is no group, a group's input or column does not exist, or repeats is below 1.

    Example:
        >>> x = np.array([[0.0, 5.0], [1.0, 6.0], [0.0, 7.0], [1.0, 8.0]])
        >>> found = permutation_importance(
        ...     lambda arrays: arrays["x"][:, 0], {"x": x}, {"a": ("x", [0]), "b": ("x", [1])},
        ...     lambda predicted: float((predicted == x[:, 0]).mean()))
        >>> found["group"].tolist(), float(found["mean"].iloc[1])
        (['a', 'b'], 0.0)
    """
    arrays = {name: np.asarray(array) for name, array in inputs.items()}
    checks.same_length(2, **arrays)
    _check(arrays, groups, repeats)
    n_rows = len(next(iter(arrays.values())))
    whole = _scored(score, predict(dict(arrays)))
    found = []
    for index, (group, (name, columns)) in enumerate(groups.items()):
        drops = []
        for repeat in range(repeats):
            # Each order depends on its own index alone: one more group or repeat leaves the others as they are.
            order = np.random.default_rng([seed, index, repeat]).permutation(n_rows)
            drops.append(whole - _scored(score, predict(arrays | {name: _shuffled(arrays[name], columns, order)})))
        found.append((group, float(np.mean(drops)), float(np.std(drops, ddof=1)) if repeats > 1 else 0.0))
    table = pd.DataFrame(found, columns=["group", "mean", "std"])
    return table.sort_values("mean", ascending=False, kind="stable", ignore_index=True)


def _shuffled(array: npt.NDArray[Any], columns: Sequence[int] | None, order: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    if columns is None:
        return array[order]
    shuffled = array.copy()
    shuffled[:, list(columns)] = array[order][:, list(columns)]
    return shuffled


def _scored(score: Callable[[Any], float], predictions: Any) -> float:
    value = float(score(predictions))
    if not np.isfinite(value):
        raise DataError("the score is not a finite number", expected="a number, higher is better", received=value)
    return value


def _check(arrays: dict[str, npt.NDArray[Any]], groups: Mapping[str, Group], repeats: int) -> None:
    if repeats < 1 or not groups:
        raise ConfigurationError(f"at least one group and one repeat. Received: {len(groups)} groups, {repeats=}")
    for group, (name, columns) in groups.items():
        if name not in arrays:
            raise ConfigurationError(f"group {group!r} names no input. Received: {name!r}; inputs: {list(arrays)}")
        if columns is None:
            continue
        width = arrays[name].shape[1] if arrays[name].ndim > 1 else 0
        if not len(columns) or not all(0 <= column < width for column in columns):
            raise ConfigurationError(
                f"columns of group {group!r} are from 0 to {width - 1}, one or more. Received: {list(columns)}"
            )
