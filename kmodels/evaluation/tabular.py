"""Baselines on a plain table for a network to beat: constants, linear models, gradient boosting, group means.

A table is a `DataFrame` with one row per row of the target. Columns of numbers or truth values are numbers; columns of
text or of pandas' category dtype are categories (an id is a category only if its column says so). Missing values are
allowed in both, infinite numbers are not; a column without any value in training is left out. Each fitted baseline is a
function of such a table; it takes the columns it was fitted on and ignores others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api import types
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.preprocessing import TargetEncoder

from kmodels.errors import DataError
from kmodels.evaluation import _columns

FloatArray = npt.NDArray[np.float64]
Predict = Callable[[pd.DataFrame], FloatArray]

_STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
# The best penalty is a ratio of variances, whatever the number of rows: some rows can choose it for all.
_ROWS_TO_CHOOSE = 50_000
_NATIVE_CATEGORIES = 255  # what HistGradientBoosting takes
_BOOSTING: dict[str, Any] = {"learning_rate": 0.1, "max_iter": 300, "n_iter_no_change": 10, "validation_fraction": 0.1}


class _Table(NamedTuple):
    """Which columns were seen in training, and what was in them."""

    numbers: list[str]
    mean: FloatArray
    scale: FloatArray
    categories: dict[str, pd.Index]
    gaps: list[str]


def fit_classifiers(
    x: pd.DataFrame, y: npt.ArrayLike, *, seed: int = 0, n_classes: int | None = None
) -> dict[str, Predict]:
    """Fits the baselines of a classifier.

    `majority` gives every row the shares of the classes in training. `logistic_regression` works on standardised
    numbers and one-hot categories, missing values marked by columns of their own, its penalty chosen by 3-fold
    cross-validation on at most 50,000 of the rows. `gradient_boosting` is scikit-learn's histogram boosting with
    categories as they are, up to 300 rounds, stopped early on a tenth of the rows; a column of more than 255
    categories enters as the smoothed share of each class among the category's rows, computed out of fold.

    Args:
        x: Training rows.
        y: (rows,) classes, integers from 0.
        seed: Seed of folds and boosting. Default 0.
        n_classes: Number of classes; None, the default, takes the highest of `y` plus one. A class without training
            rows has probability 0.

    Returns:
        Name -> function from rows to probabilities, float64 (rows, n_classes).

    Raises:
        DataError: If there are no rows or columns, lengths differ, a class is out of range, only one class occurs,
            or a column holds infinite numbers or what is neither number nor category. The functions raise it where a
            column is missing or has changed its kind.

    Example:
        >>> x = pd.DataFrame({"age": [20, 30, 40, 50], "city": ["A", "A", "B", "B"]})
        >>> baselines = fit_classifiers(x, [0, 0, 1, 1])
        >>> list(baselines)
        ['majority', 'logistic_regression', 'gradient_boosting']
        >>> baselines["majority"](x[:1]).tolist()
        [[0.5, 0.5]]
    """
    target = _columns.ids(y, "y", n_classes)
    table = _describe(x, target)
    if len(target) and target.min() < 0:
        raise DataError("a class is out of range", column="y", expected="0 or more", received=int(target.min()))
    size = n_classes or int(target.max()) + 1
    counts = np.bincount(target, minlength=size)
    occurring = np.flatnonzero(counts)
    if len(occurring) < 2:
        raise DataError(
            "only one class occurs in the training rows", column="y", expected="two or more", received=int(target[0])
        )

    def spread(probability: FloatArray) -> FloatArray:
        full = np.zeros((len(probability), size))
        full[:, occurring] = probability
        return full

    shares = counts / counts.sum()
    linear = _logistic(_linear(table, x), target, seed)
    indicators = target[:, None] == occurring[1:] if len(occurring) == 2 else target[:, None] == occurring
    encoder, encoded, is_code = _fit_encoder(table, x, indicators.astype(np.float64), seed)
    boosting = HistGradientBoostingClassifier(
        categorical_features=is_code,
        early_stopping=_can_stop_early(target, counts[occurring]),
        random_state=seed,
        **_BOOSTING,
    ).fit(encoded, target)
    predict_boosting = _boosted(table, encoder, boosting.predict_proba)
    return {
        "majority": lambda rows: np.tile(shares, (len(rows), 1)),
        "logistic_regression": lambda rows: spread(linear.predict_proba(_linear(table, rows))),
        "gradient_boosting": lambda rows: spread(predict_boosting(rows)),
    }


def fit_regressors(x: pd.DataFrame, y: npt.ArrayLike, *, seed: int = 0, group: str | None = None) -> dict[str, Predict]:
    """Fits the baselines of a regression.

    `mean` predicts the training mean. `ridge` works on standardised numbers and one-hot categories, missing values
    marked by columns of their own, its penalty chosen by 3-fold cross-validation on at most 50,000 of the rows.
    `gradient_boosting` is scikit-learn's histogram boosting with categories as they are, up to 300 rounds, stopped
    early on a tenth of the rows; a column of more than 255 categories enters as the smoothed mean target of each
    category, computed out of fold. With `group`, `mean_per_<group>` predicts the mean of the group's training rows, not
    smoothed, and the training mean where there is none.

    Args:
        x: Training rows.
        y: (rows,) numbers to predict.
        seed: Seed of folds and boosting. Default 0.
        group: Column of `x` to take means by; None, the default, for none.

    Returns:
        Name -> function from rows to predictions, float64 (rows,), in the unit of `y`.

    Raises:
        DataError: If there are no rows or columns, lengths differ, `y` has a missing or infinite value, `group` is no
            column, or a column holds infinite numbers or what is neither number nor category. The functions raise it
            where a column is missing or has changed its kind.

    Example:
        >>> x = pd.DataFrame({"product_id": pd.Categorical(["p", "p", "q"])})
        >>> baselines = fit_regressors(x, [1.0, 3.0, 7.0], group="product_id")
        >>> list(baselines)
        ['mean', 'ridge', 'gradient_boosting', 'mean_per_product_id']
        >>> baselines["mean_per_product_id"](pd.DataFrame({"product_id": ["q", "new"]})).round(2).tolist()
        [7.0, 3.67]
    """
    target = _columns.numbers(y, "y")
    table = _describe(x, target)
    mean = float(target.mean())
    ridge = _ridge(_linear(table, x), target - mean, seed)
    encoder, encoded, is_code = _fit_encoder(table, x, target[:, None], seed)
    boosting = HistGradientBoostingRegressor(
        categorical_features=is_code, early_stopping=_can_stop_early(target), random_state=seed, **_BOOSTING
    ).fit(encoded, target)
    fitted: dict[str, Predict] = {
        "mean": lambda rows: np.full(len(rows), mean),
        "ridge": lambda rows: mean + ridge.predict(_linear(table, rows)),
        "gradient_boosting": _boosted(table, encoder, boosting.predict),
    }
    if group is not None:
        fitted[f"mean_per_{group}"] = _group_mean(x, target, group)
    return fitted


def _describe(x: pd.DataFrame, target: npt.NDArray[Any]) -> _Table:
    """What the columns are, checked against the target's length."""
    if not len(x.columns):
        raise DataError("there are no columns to predict from", expected="at least one column")
    if not x.columns.is_unique:
        raise DataError("a column stands twice", received=str(x.columns[x.columns.duplicated()][0]))
    _columns.same_length(x=np.arange(len(x)), y=target)
    numbers, categories, gaps = [], {}, []
    for name in x.columns:
        column = x[name]
        if column.isna().all():
            continue
        if _is_number(column):
            numbers.append(name)
        elif _is_category(column):
            values = column.cat.remove_unused_categories() if isinstance(column.dtype, pd.CategoricalDtype) else column
            categories[name] = pd.Index(pd.Categorical(values).categories)
        else:
            raise DataError(
                "neither numbers nor categories",
                column=str(name),
                expected="numbers, truth values, text or category dtype",
                received=str(column.dtype),
            )
        if column.isna().any():
            gaps.append(name)
    if not numbers and not categories:
        raise DataError("no column holds a value", received=list(x.columns))
    read = _numbers(x, numbers)
    known = np.isfinite(read)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, read, 0).sum(axis=0) / count
    scale = np.sqrt(np.where(known, (read - mean) ** 2, 0).sum(axis=0) / count)
    return _Table(numbers, mean, np.where(scale > 0, scale, 1.0), categories, gaps)


def _is_number(column: pd.Series) -> bool:
    return types.is_bool_dtype(column) or (types.is_numeric_dtype(column) and not types.is_complex_dtype(column))


def _is_category(column: pd.Series) -> bool:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return True
    if types.is_object_dtype(column):
        return types.infer_dtype(column, skipna=True) in ("string", "empty")
    return types.is_string_dtype(column)


def _column(x: pd.DataFrame, name: str, *, number: bool) -> pd.Series:
    if name not in x:
        raise DataError("a column of the training rows is missing", column=str(name), received=list(x.columns))
    # A column without any value says nothing of its kind.
    if _is_number(x[name]) != number and number and not x[name].isna().all():
        raise DataError("not numbers as in training", column=str(name), received=str(x[name].dtype))
    return x[name]


def _numbers(x: pd.DataFrame, names: list[str]) -> FloatArray:
    """float64 (rows, names), NaN where missing."""
    values = np.empty((len(x), len(names)))
    for place, name in enumerate(names):
        values[:, place] = _column(x, name, number=True).to_numpy(dtype=np.float64, na_value=np.nan)
        if np.isinf(values[:, place]).any():
            row = int(np.argmax(np.isinf(values[:, place])))
            raise DataError("an infinite value", row=row + 1, column=str(name), received=float(values[row, place]))
    return values


def _codes(x: pd.DataFrame, name: str, categories: pd.Index) -> npt.NDArray[np.int64]:
    """Place of each row's category among those of training; -1 where missing or new."""
    column = _column(x, name, number=False)
    if isinstance(column.dtype, pd.CategoricalDtype):
        # The appended -1 is what the code -1 of a missing value reads.
        places = np.append(categories.get_indexer(pd.Index(column.cat.categories)), -1)
        return np.asarray(places[column.cat.codes.to_numpy()], dtype=np.int64)
    return np.asarray(categories.get_indexer(pd.Index(column)), dtype=np.int64)


def _linear(table: _Table, x: pd.DataFrame) -> sparse.csr_array:
    """Standardised numbers, one-hot categories and, for columns with gaps in training, a column that marks them.

    A category that is new has no column: it counts as none of those known.
    """
    standardised = (_numbers(x, table.numbers) - table.mean) / table.scale
    blocks = [sparse.csr_array(np.nan_to_num(standardised, nan=0.0))]
    rows = np.arange(len(x))
    for name, categories in table.categories.items():
        codes = _codes(x, name, categories)
        known = codes >= 0
        places = (rows[known], codes[known])
        blocks.append(sparse.csr_array((np.ones(int(known.sum())), places), shape=(len(x), len(categories))))
    blocks.append(sparse.csr_array(x[table.gaps].isna().to_numpy(dtype=np.float64)))
    return sparse.csr_array(sparse.hstack(blocks, format="csr"))


def _some(n_rows: int, seed: int) -> npt.NDArray[np.int64]:
    return np.sort(np.random.default_rng(seed).permutation(n_rows)[:_ROWS_TO_CHOOSE])


def _logistic(x: sparse.csr_array, y: npt.NDArray[np.int64], seed: int) -> LogisticRegression:
    rows = _some(len(y), seed)
    fewest = int(np.bincount(y[rows])[np.unique(y[rows])].min())
    model = LogisticRegression(C=1.0, max_iter=1000, tol=1e-3)
    if fewest >= 3:  # each fold needs each class
        folds = StratifiedKFold(3, shuffle=True, random_state=seed)
        search = GridSearchCV(model, {"C": _STRENGTHS}, scoring="neg_log_loss", cv=folds, refit=False)
        model.set_params(**search.fit(x[rows], y[rows]).best_params_)
    return model.fit(x, y)


def _ridge(x: sparse.csr_array, y: FloatArray, seed: int) -> Ridge:
    rows = _some(len(y), seed)
    model = Ridge(alpha=1.0, solver="sparse_cg", tol=1e-6)
    if len(rows) >= 6:
        folds = KFold(3, shuffle=True, random_state=seed)
        search = GridSearchCV(model, {"alpha": _STRENGTHS}, scoring="neg_mean_squared_error", cv=folds, refit=False)
        model.set_params(**search.fit(x[rows], y[rows]).best_params_)
    return model.fit(x, y)


class _Encoder(NamedTuple):
    """The columns as boosting takes them: numbers, codes of categories, mean outcomes of very many categories."""

    few: list[str]
    many: list[str]
    means: list[TargetEncoder]


def _fit_encoder(
    table: _Table, x: pd.DataFrame, outcomes: FloatArray, seed: int
) -> tuple[_Encoder, FloatArray, npt.NDArray[np.bool_]]:
    """The encoder, the encoded training rows, and which of their columns are codes; `outcomes` is (rows, n)."""
    few = [name for name, categories in table.categories.items() if len(categories) <= _NATIVE_CATEGORIES]
    many = [name for name in table.categories if name not in few]
    encoded, means = _numbers_and_codes(table, few, x), []
    if many:
        codes = _code_table(table, many, x)
        # A row must not see its own outcome: it is encoded by means of the other folds.
        out_of_fold = np.empty((len(x), len(many) * outcomes.shape[1]))
        for others, rows in KFold(5, shuffle=True, random_state=seed).split(codes):
            out_of_fold[rows] = _encode(_fit_means(codes[others], outcomes[others]), codes[rows])
        encoded = np.hstack([encoded, out_of_fold])
        means = _fit_means(codes, outcomes)
    is_code = np.zeros(encoded.shape[1], bool)
    is_code[len(table.numbers) : len(table.numbers) + len(few)] = True
    return _Encoder(few, many, means), encoded, is_code


def _fit_means(codes: npt.NDArray[np.int64], outcomes: FloatArray) -> list[TargetEncoder]:
    return [TargetEncoder(target_type="continuous").fit(codes, outcome) for outcome in outcomes.T]


def _encode(means: list[TargetEncoder], codes: npt.NDArray[np.int64]) -> FloatArray:
    return np.hstack([encoder.transform(codes) for encoder in means])


def _boosted(table: _Table, encoder: _Encoder, predict: Callable[[FloatArray], FloatArray]) -> Predict:
    def of(rows: pd.DataFrame) -> FloatArray:
        encoded = _numbers_and_codes(table, encoder.few, rows)
        if encoder.many:
            encoded = np.hstack([encoded, _encode(encoder.means, _code_table(table, encoder.many, rows))])
        return predict(encoded)

    return of


def _code_table(table: _Table, names: list[str], x: pd.DataFrame) -> npt.NDArray[np.int64]:
    return np.stack([_codes(x, name, table.categories[name]) for name in names], axis=1)


def _numbers_and_codes(table: _Table, few: list[str], x: pd.DataFrame) -> FloatArray:
    parts = [_numbers(x, table.numbers)]
    if few:
        codes = _code_table(table, few, x).astype(np.float64)
        parts.append(np.where(codes < 0, np.nan, codes))
    return np.hstack(parts)


def _can_stop_early(y: npt.NDArray[Any], counts: npt.NDArray[np.int64] | None = None) -> bool:
    """Whether a tenth of the rows can be set aside, with each class (of these counts) on both sides."""
    if counts is None:
        return len(y) >= 20
    return bool(counts.min() >= 2 and len(y) >= 10 * len(counts))


def _group_mean(x: pd.DataFrame, y: FloatArray, group: str) -> Predict:
    if group not in x:
        raise DataError("no such column to take means by", column=group, received=list(x.columns))
    overall = float(y.mean())
    means = pd.Series(y).groupby(x[group].astype(object).to_numpy()).mean()

    def predict(rows: pd.DataFrame) -> FloatArray:
        if group not in rows:
            raise DataError("a column of the training rows is missing", column=group, received=list(rows.columns))
        return np.asarray(rows[group].astype(object).map(means).fillna(overall), dtype=np.float64)

    return predict
