"""SHAP values of a table's columns, through the `shap` package (extra `explain`)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kmodels import checks
from kmodels.errors import ConfigurationError, DataError

FloatArray = npt.NDArray[np.float64]
Predict = Callable[[dict[str, npt.NDArray[Any]]], Any]

_BLOCK = 16_384  # rows predicted at a time, which bounds the memory


class ShapValues(NamedTuple):
    """What each group adds to each output of each row: base + sum over the groups = the prediction."""

    values: FloatArray  # (rows, groups, outputs), in the unit of the prediction
    base: FloatArray  # (rows, outputs): mean prediction with the columns of the background rows


def shap_values(
    predict: Predict,
    inputs: Mapping[str, npt.NDArray[Any]],
    name: str,
    background: npt.ArrayLike,
    groups: Mapping[str, Sequence[int]],
    *,
    coalitions: int = 1024,
    seed: int = 0,
) -> ShapValues:
    """Divides each prediction between groups of columns of one input, by `shap.KernelExplainer`.

    Some groups keep the row's own columns, the others take theirs from each background row; from many such mixtures
    each group is credited with what it changes on average (Lundberg and Lee 2017, https://arxiv.org/abs/1705.07874).
    A row costs coalitions x background predictions: give a model's second half (`split_at_layer`) where the first is
    slow.

    Args:
        predict: From a dict of arrays, such as `inputs`, to (n,) or (n, outputs), best logits.
        inputs: Name -> array, with the rows to explain. All but `name` are held as they are in the row.
        name: The input whose columns are explained: real numbers, (rows, columns).
        background: (m, columns) rows that stand for "not knowing": some 20 to 100 drawn from training.
        groups: Name -> columns, each column in one group; those of a one-hot belong together.
        coalitions: Mixtures tried for each row, at least twice as many as groups. Default 1024, which is all of them
            for up to ten groups.
        seed: Seed of the choice where not all are tried. Default 0.

    Returns:
        `values`, float64 (rows, groups, outputs), in the unit of the prediction, and `base`, (rows, outputs), the mean
        prediction with the columns of the background rows.

    Raises:
        ConfigurationError: If `shap` is not installed, `name` is no input, the groups do not hold each column once,
            or there are too few coalitions.
        DataError: If the shapes do not fit, there are no rows, or a value is missing or infinite.

    Example:
        ```python
        x = np.array([[1.0, 2.0], [3.0, 0.0]])
        found = shap_values(lambda arrays: arrays["x"] @ [10.0, 1.0], {"x": x}, "x", [[0.0, 0.0]], {"a": [0], "b": [1]})
        found.values[:, :, 0]  # [[10, 2], [30, 0]]
        ```
    """
    if importlib.util.find_spec("shap") is None:
        raise ConfigurationError("SHAP values need the package shap: pip install 'kmodels[explain]'")
    arrays, known = _checked(inputs, name, background)
    members = _members(groups, known.shape[1])
    if coalitions < 2 * len(groups):
        raise ConfigurationError(
            f"coalitions must be at least twice the number of groups, {2 * len(groups)}. Received: {coalitions}"
        )
    import shap

    values, base = [], []
    state = np.random.get_state()  # shap draws from NumPy's global generator
    try:
        for row in range(len(arrays[name])):
            np.random.seed(seed)
            here = {other: array[row : row + 1] for other, array in arrays.items()}
            # The explainer sees one switch for each group: on, the row's own columns; off, the background's.
            explainer = shap.KernelExplainer(_mixture(predict, here, name, known, members), np.zeros((1, len(groups))))
            found = explainer.shap_values(np.ones((1, len(groups))), nsamples=coalitions, l1_reg=False, silent=True)
            values.append(found[0])
            base.append(explainer.expected_value)
    finally:
        np.random.set_state(state)
    return ShapValues(np.stack(values), np.stack(base))


def _mixture(
    predict: Predict, here: dict[str, npt.NDArray[Any]], name: str, known: FloatArray, members: npt.NDArray[np.int64]
) -> Callable[[FloatArray], FloatArray]:
    """From switches (n, groups) to the mean prediction over the background rows, (n, outputs)."""
    own = here[name]
    dtype = own.dtype if own.dtype.kind == "f" else np.float64

    def mean(switches: FloatArray) -> FloatArray:
        means = []
        step = max(1, _BLOCK // len(known))
        for start in range(0, len(switches), step):
            keep = switches[start : start + step, None, members] > 0.5
            columns = np.where(keep, own, known).reshape(-1, known.shape[1]).astype(dtype)
            rows = {other: np.repeat(array, len(columns), axis=0) for other, array in here.items() if other != name}
            predicted = np.asarray(predict(rows | {name: columns}), dtype=np.float64)
            means.append(predicted.reshape(keep.shape[0], len(known), -1).mean(axis=1))
        return np.concatenate(means)

    return mean


def _members(groups: Mapping[str, Sequence[int]], width: int) -> npt.NDArray[np.int64]:
    """Index of the group that each column is in, (columns,)."""
    columns = [column for group in groups.values() for column in group]
    if sorted(columns) != list(range(width)) or not all(len(group) for group in groups.values()):
        raise ConfigurationError(f"the groups must hold each column from 0 to {width - 1} once. Received: {columns}")
    members = np.empty(width, np.int64)
    for index, group in enumerate(groups.values()):
        members[list(group)] = index
    return members


def _checked(
    inputs: Mapping[str, npt.NDArray[Any]], name: str, background: npt.ArrayLike
) -> tuple[dict[str, npt.NDArray[Any]], FloatArray]:
    if name not in inputs:
        raise ConfigurationError(f"no input of this name. Received: {name!r}; inputs: {list(inputs)}")
    arrays = {each: np.asarray(array) for each, array in inputs.items()}
    checks.same_length(**arrays)
    known, rows = np.asarray(background, dtype=np.float64), arrays[name]
    if rows.ndim != 2 or known.ndim != 2 or rows.shape[1] != known.shape[1] or not len(known):
        raise DataError(
            "rows and background do not fit",
            column=name,
            expected="(n, columns) and (m, columns)",
            received=f"{rows.shape} and {known.shape}",
        )
    for what, table in ((name, rows), ("background", known)):
        if table.dtype.kind not in "fiub" or not np.isfinite(table).all():
            raise DataError("a value is missing, infinite or no number", column=what)
    return arrays, known
