"""What a classifier of pictures and a table looks at, in one go: heat maps, importance of its inputs, SHAP values."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels.explain.gradcam import grad_cam
from kmodels.explain.permutation import permutation_importance
from kmodels.explain.shapley import shap_values
from kmodels.explain.splitting import CUT, split_at_layer

Arrays = Mapping[str, npt.NDArray[Any]]


class Survey(NamedTuple):
    """What was found out about a model."""

    pictures: npt.NDArray[np.uint8]  # (n, height, width, 3), of the first n rows
    heat: npt.NDArray[np.float32]  # (n, h, w), 0 to 1: Grad-CAM of the predicted class of these rows
    importance: pd.DataFrame  # accuracy lost by group of inputs, as `permutation_importance` gives it
    shap: npt.NDArray[np.float64] | None  # (rows, groups, classes) of the table; None without the package
    groups: list[str]  # name of each group of columns


def survey(
    model: keras.Model,
    inputs: Arrays,
    target: npt.NDArray[Any],
    groups: Mapping[str, Sequence[int]],
    background: npt.ArrayLike,
    *,
    image: str = "image",
    table: str = "metadata",
    heat_maps: int = 64,
    shap_rows: int = 24,
    seed: int = 0,
) -> Survey:
    """Studies a classifier that reads pictures and a table; the pictures run through its first half once.

    Args:
        model: A Functional model whose last map is that of the pictures, to (batch, classes), best logits.
        inputs: The arrays of both inputs, n rows that the model was not trained on, two or more.
        target: (n,) true classes.
        groups: Name -> columns of the table, each column in one group.
        background: (m, columns) rows of the table that stand for "not knowing", see `shap_values`.
        image: Name of the pictures' input. Default "image".
        table: Name of the table's input. Default "metadata".
        heat_maps: How many rows get a heat map. Default 64.
        shap_rows: How many rows get SHAP values. Default 24.
        seed: Seed of orders and mixtures. Default 0.

    Returns:
        What was found; the group of the pictures is named "picture" among the importances.

    Raises:
        ConfigurationError: If the model cannot be cut, or inputs and groups do not fit.
        DataError: If the arrays do not fit together.
    """
    few = {name: array[:heat_maps] for name, array in inputs.items()}
    before, after = split_at_layer(model)
    rows = {CUT: before.predict(dict(inputs), batch_size=64, verbose=0), table: inputs[table]}

    def predict(arrays: Arrays) -> npt.NDArray[np.float32]:
        return np.asarray(after.predict(dict(arrays), batch_size=2048, verbose=0))

    importance = permutation_importance(
        lambda arrays: predict(arrays).argmax(axis=1),
        rows,
        {"picture": (CUT, None)} | {name: (table, columns) for name, columns in groups.items()},
        lambda predicted: float((predicted == target).mean()),
        seed=seed,
    )
    shap = None
    if importlib.util.find_spec("shap") is not None:
        first = {name: array[:shap_rows] for name, array in rows.items()}
        shap = shap_values(predict, first, table, background, groups, seed=seed).values
    return Survey(np.asarray(few[image]), grad_cam(model, few), importance, shap, list(groups))
