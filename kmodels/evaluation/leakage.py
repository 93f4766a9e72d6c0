"""Columns that are the target in disguise: each alone says what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from kmodels import checks

_SURE = 0.999


def leaking_columns(
    matrix: npt.ArrayLike,
    target: npt.ArrayLike,
    train: npt.NDArray[np.int64],
    groups: Mapping[str, Sequence[int]],
    *,
    n_classes: int | None = None,
) -> dict[str, float]:
    """Finds columns that alone predict the target of rows that nothing was learnt from: a target in disguise.

    Of each column a decision tree is fitted to the training rows, and evaluated on the others. A single number also
    counts as it is.

    Args:
        matrix: (rows, columns) finite numbers, such as `EncodedTable.matrix`.
        target: (rows,) classes, integers from 0, where `n_classes` is given; else numbers.
        train: Positions of the training rows.
        groups: Column of the table -> its columns in the matrix, such as `EncodedTable.groups`.
        n_classes: Number of classes; None, the default, for amounts.

    Returns:
        Column of the table -> ROC AUC (the mean over the classes) or absolute rank correlation, of those that have
        0.999 or more.

    Raises:
        DataError: If a value is missing or infinite, or the lengths differ.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(200, 2))
        >>> found = leaking_columns(x, 3 * x[:, 1] - 1, np.arange(140), {"age": [0], "price_with_tax": [1]})
        >>> list(found)
        ['price_with_tax']
    """
    rows, truth = checks.numbers(matrix, "matrix", dimensions=2), np.asarray(target)
    checks.same_length(matrix=rows, target=truth)
    others = np.setdiff1d(np.arange(len(rows)), train)
    kinds = np.unique(truth[others])
    if len(kinds) < 2:
        return {}
    found = {}
    for name, columns in groups.items():
        x = rows[:, list(columns)]
        tree: Any = (
            DecisionTreeRegressor(random_state=0) if n_classes is None else DecisionTreeClassifier(random_state=0)
        )
        tree.fit(x[train], truth[train])
        if n_classes is None:
            scores = [_rank_correlation(tree.predict(x[others]), truth[others])]
        else:
            share = np.zeros((len(others), n_classes))
            share[:, tree.classes_] = tree.predict_proba(x[others])
            scores = [float(np.mean([roc_auc_score(truth[others] == each, share[:, each]) for each in kinds]))]
        if x.shape[1] == 1 and n_classes is None:
            scores.append(_rank_correlation(x[:, 0], truth))
        elif x.shape[1] == 1 and n_classes == 2:
            area = float(roc_auc_score(truth, x[:, 0]))
            scores.append(max(area, 1 - area))
        if max(scores) >= _SURE:
            found[name] = max(scores)
    return found


def _rank_correlation(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """The absolute one, by Spearman; 0 where one is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(abs(np.corrcoef(rankdata(a), rankdata(b))[0, 1]))
