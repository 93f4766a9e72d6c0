"""Baselines on a plain table: constants, linear models and gradient boosting by scikit-learn, and group means.

A table is a `DataFrame` with one row per row of the target. Columns of numbers or truth values are numbers; columns of
text or of pandas' category dtype are categories (an id is a category only if its column says so). Missing values are
allowed in both, infinite numbers are not; a column without any value in training is left out. Columns that were not
fitted are ignored at predict time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api import types
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

from kmodels import checks
from kmodels.errors import DataError

FloatArray = npt.NDArray[np.float64]
Predict = Callable[[pd.DataFrame], FloatArray]
Rows = tuple[pd.DataFrame, npt.NDArray[Any]]  # and their target

_STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
# The best penalty is a ratio of variances, whatever the number of rows: some rows can choose it for all.
_ROWS_TO_CHOOSE = 50_000
_NATIVE_CATEGORIES = 255  # what HistGradientBoosting takes
_BOOSTING: dict[str, Any] = {"learning_rate": 0.1, "max_iter": 300, "n_iter_no_change": 10, "validation_fraction": 0.1}
_GRID = [
    {"learning_rate": rate, "max_leaf_nodes": leaves, "max_iter": 1000}
    for rate in (0.05, 0.1)
    for leaves in (8, 31, 80)
]


def tabular_baselines(
    x: pd.DataFrame,
    y: npt.ArrayLike,
    parts: Mapping[str, npt.NDArray[np.int64]],
    *,
    n_classes: int | None = None,
    group: str | None = None,
    tune: bool = False,
    seed: int = 0,
) -> dict[str, dict[str, FloatArray]]:
    """Fits baselines to the training rows of a table and predicts the other parts.

    Of a classification: `majority` (the shares of the classes in training), `logistic_regression` and
    `gradient_boosting`. Of a regression: `mean`, `ridge`, `gradient_boosting` and, with `group`, `mean_per_<group>`,
    the mean of the group's training rows (the training mean where there is none).

    The linear models work on standardised numbers and one-hot categories, gaps marked by columns of their own, their
    penalty chosen by 3-fold cross-validation on at most 50,000 of the training rows. Boosting is scikit-learn's
    `HistGradientBoosting` with categories as they are, up to 300 rounds, stopped early on a tenth of the training rows;
    a column of more than 255 categories enters by scikit-learn's `TargetEncoder`. With `tune` its learning rate (0.05
    or 0.1) and leaves (8, 31 or 80), of up to 1000 rounds, are those that do best on the part "validation" when fitted
    to at most 50,000 of the training rows.

    Args:
        x: (rows, columns) numbers, truth values, text or categories; gaps are allowed.
        y: (rows,) classes, integers from 0, where `n_classes` is given; else numbers.
        parts: Name of a part -> positions of its rows; "train" is fitted on, the others are predicted, empty ones left
            out. `split._asdict()` makes it of a `Split`.
        n_classes: Number of classes; None, the default, for a regression.
        group: Column of `x` to take means by in a regression. Default None.
        tune: Whether to choose boosting's settings on the part "validation". Default False.
        seed: Seed of folds and boosting. Default 0.

    Returns:
        Baseline -> part -> float64 (rows of the part, n_classes) probabilities, or (rows of the part,) predictions in
        the unit of `y`.

    Raises:
        DataError: If there are no rows or columns, lengths differ, `y` is not as said, only one class occurs in
            training, `group` is no column, or a column holds infinite numbers or what is neither number nor category.

    Example:
        >>> x = pd.DataFrame({"age": [20, 30, 40, 50, 60], "city": ["A", "A", "B", "B", "A"]})
        >>> parts = {"train": np.arange(4), "test": np.array([4])}
        >>> found = tabular_baselines(x, [0, 0, 1, 1, 1], parts, n_classes=2)
        >>> list(found), found["majority"]["test"].tolist()
        (['majority', 'logistic_regression', 'gradient_boosting'], [[0.5, 0.5]])
    """
    target = np.asarray(y)
    checks.same_length(x=np.arange(len(x)), y=target)
    train = parts["train"]
    known = (x.iloc[parts["validation"]], target[parts["validation"]]) if tune else None
    if n_classes is None:
        fitted = fit_regressors(x.iloc[train], target[train], seed=seed, group=group, validation=known)
    else:
        fitted = fit_classifiers(x.iloc[train], target[train], n_classes, seed=seed, validation=known)
    others = {part: x.iloc[rows] for part, rows in parts.items() if part != "train" and len(rows)}
    return {name: {part: predict(rows) for part, rows in others.items()} for name, predict in fitted.items()}


def fit_classifiers(
    x: pd.DataFrame, y: npt.ArrayLike, n_classes: int, *, seed: int = 0, validation: Rows | None = None
) -> dict[str, Predict]:
    """The classifiers of `tabular_baselines` as functions from rows to probabilities (rows, n_classes)."""
    columns = _Columns.of(x, np.asarray(y))
    target, shares = class_shares(y, n_classes)
    rows = np.unique(target, return_counts=True)[1]
    can_stop_early = rows.min() >= 2 and len(target) >= 10 * len(rows)
    known = columns.checked(x)
    linear = _fit_linear(columns, known, target, LogisticRegression(max_iter=1000, tol=1e-3), seed)
    trees = HistGradientBoostingClassifier(early_stopping=bool(can_stop_early))
    boosting = _fit_boosting(columns, known, target, trees, seed, validation)

    return {
        "majority": lambda rows: np.tile(shares, (len(rows), 1)),
        "logistic_regression": lambda rows: probabilities(linear, columns.checked(rows), n_classes),
        "gradient_boosting": lambda rows: probabilities(boosting, columns.checked(rows), n_classes),
    }


def class_shares(labels: npt.ArrayLike, n_classes: int) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """The labels, checked, and the share of the rows that each class has."""
    target = checks.ids(labels, "y", n_classes, "a class")
    counts = np.bincount(target, minlength=n_classes)
    if np.count_nonzero(counts) < 2:
        found = np.flatnonzero(counts).tolist()
        raise DataError("only one class occurs in the training rows", expected="two or more", received=found)
    return target, counts / counts.sum()


def probabilities(model: Any, rows: Any, n_classes: int) -> FloatArray:
    """Probabilities of all classes by a scikit-learn classifier, 0 for those that training lacked."""
    full = np.zeros((len(rows), n_classes))
    full[:, model.classes_] = model.predict_proba(rows)
    return full


def fit_regressors(
    x: pd.DataFrame, y: npt.ArrayLike, *, seed: int = 0, group: str | None = None, validation: Rows | None = None
) -> dict[str, Predict]:
    """The regressors of `tabular_baselines` as functions from rows to predictions (rows,)."""
    target = checks.numbers(y, "y")
    columns = _Columns.of(x, target)
    known, mean = columns.checked(x), float(target.mean())
    linear = _fit_linear(columns, known, target - mean, Ridge(solver="sparse_cg", tol=1e-6), seed)
    trees = HistGradientBoostingRegressor(early_stopping=len(target) >= 20)
    boosting = _fit_boosting(columns, known, target, trees, seed, validation)
    fitted: dict[str, Predict] = {
        "mean": lambda rows: np.full(len(rows), mean),
        "ridge": lambda rows: mean + linear.predict(columns.checked(rows)),
        "gradient_boosting": lambda rows: boosting.predict(columns.checked(rows)),
    }
    if group is not None:
        fitted[f"mean_per_{group}"] = _group_mean(x, target, group)
    return fitted


class _Columns(NamedTuple):
    """Names of the columns that hold any value."""

    numbers: list[str]
    categories: list[str]

    @classmethod
    def of(cls, x: pd.DataFrame, target: npt.NDArray[Any]) -> _Columns:
        """Sorts the columns of the training rows into numbers and categories."""
        if not len(x.columns):
            raise DataError("there are no columns to predict from", expected="at least one column")
        if not x.columns.is_unique:
            raise DataError("a column stands twice", received=str(x.columns[x.columns.duplicated()][0]))
        checks.same_length(x=np.arange(len(x)), y=target)
        columns = cls([], [])
        for name in map(str, x.columns[x.notna().any()]):
            column = x[name]
            if _is_number(column):
                columns.numbers.append(name)
            elif isinstance(column.dtype, pd.CategoricalDtype) or types.infer_dtype(column, skipna=True) == "string":
                columns.categories.append(name)
            else:
                expected = "numbers, truth values, text or category dtype"
                raise DataError("neither numbers nor categories", column=name, expected=expected, received=column.dtype)
        if not columns.numbers and not columns.categories:
            raise DataError("no column holds a value", received=list(x.columns))
        return columns

    def checked(self, x: pd.DataFrame) -> pd.DataFrame:
        """The columns as scikit-learn takes them: float64 numbers with NaN for gaps, and categories as objects."""
        columns: dict[str, Any] = {}
        for name in (*self.numbers, *self.categories):
            column = _column(x, name)
            if name in self.categories:
                columns[name] = column.astype(object).where(column.notna(), np.nan)
                continue
            # A column without any value says nothing of its kind.
            if not _is_number(column) and not column.isna().all():
                raise DataError("not numbers as in training", column=name, received=column.dtype)
            columns[name] = values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            if np.isinf(values).any():
                row = int(np.argmax(np.isinf(values)))
                raise DataError("an infinite value", row=row + 1, column=name, received=float(values[row]))
        return pd.DataFrame(columns, index=x.index)


def _column(x: pd.DataFrame, name: str) -> pd.Series:
    if name not in x:
        raise DataError("a column of the training rows is missing", column=name, received=list(x.columns))
    return x[name]


def _is_number(column: pd.Series) -> bool:
    return types.is_bool_dtype(column) or (types.is_numeric_dtype(column) and not types.is_complex_dtype(column))


def _fit_linear(
    columns: _Columns, x: pd.DataFrame, y: npt.NDArray[Any], model: LogisticRegression | Ridge, seed: int
) -> Pipeline:
    """A linear model of standardised numbers and one-hot categories; a new category is none of those known."""
    scaled = make_pipeline(StandardScaler(), SimpleImputer(strategy="constant", fill_value=0.0))
    encoder = ColumnTransformer(
        [
            ("numbers", scaled, columns.numbers),
            ("gaps", MissingIndicator(features="all"), [name for name in columns.numbers if x[name].isna().any()]),
            ("categories", OneHotEncoder(handle_unknown="ignore"), columns.categories),
        ],
        sparse_threshold=1.0,
    )
    design = encoder.fit_transform(x)
    rows = np.sort(np.random.default_rng(seed).permutation(len(y))[:_ROWS_TO_CHOOSE])
    # Each fold needs each class, or two rows.
    if is_classifier(model):
        enough = np.unique(y[rows], return_counts=True)[1].min() >= 3
        penalty, scoring, folds = "C", "neg_log_loss", StratifiedKFold(3, shuffle=True, random_state=seed)
    else:
        enough = len(rows) >= 6
        penalty, scoring, folds = "alpha", "neg_mean_squared_error", KFold(3, shuffle=True, random_state=seed)
    if enough:
        search = GridSearchCV(model, {penalty: _STRENGTHS}, scoring=scoring, cv=folds, refit=False)
        model.set_params(**search.fit(design[rows], y[rows]).best_params_)
    return make_pipeline(encoder, model.fit(design, y))


def _fit_boosting(
    columns: _Columns,
    x: pd.DataFrame,
    y: npt.NDArray[Any],
    model: HistGradientBoostingClassifier | HistGradientBoostingRegressor,
    seed: int,
    validation: Rows | None,
) -> Pipeline:
    """Fitted boosting; with validation rows, of the settings that do best on them."""
    pipeline = _boosting(columns, x, model, seed)
    if validation is not None and len(validation[1]):
        others, true = columns.checked(validation[0]), validation[1]
        some = np.sort(np.random.default_rng(seed).permutation(len(y))[:_ROWS_TO_CHOOSE])
        losses = []
        for settings in _GRID:
            model.set_params(**settings)
            losses.append(_loss(pipeline.fit(x.iloc[some], y[some]), others, true))
        model.set_params(**_GRID[int(np.argmin(losses))])
    return pipeline.fit(x, y)


def _loss(pipeline: Pipeline, x: pd.DataFrame, y: npt.NDArray[Any]) -> float:
    """Mean squared error, or log loss; a class that training lacked has probability 0."""
    if not is_classifier(pipeline):
        return float(np.mean((pipeline.predict(x) - y) ** 2))
    shares, rows = pipeline.predict_proba(x), pipeline.classes_.tolist()
    own = [shares[row, rows.index(label)] if label in rows else 0.0 for row, label in enumerate(y.tolist())]
    return float(-np.log(np.clip(own, np.finfo(float).eps, 1)).mean())


def _boosting(
    columns: _Columns,
    x: pd.DataFrame,
    model: HistGradientBoostingClassifier | HistGradientBoostingRegressor,
    seed: int,
) -> Pipeline:
    """Gradient boosting of numbers, codes of categories, and cross-fitted mean outcomes of very many categories."""
    many = [name for name in columns.categories if x[name].nunique() > _NATIVE_CATEGORIES]
    few = [name for name in columns.categories if name not in many]
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    means = make_pipeline(codes, _target_encoder("auto" if is_classifier(model) else "continuous", seed))
    encoder = ColumnTransformer(
        [("numbers", "passthrough", columns.numbers), ("few", codes, few), ("many", means, many)]
    )
    first = len(columns.numbers)
    is_code = list(range(first, first + len(few)))
    return make_pipeline(encoder, model.set_params(categorical_features=is_code, random_state=seed, **_BOOSTING))


def _target_encoder(outcome: str, seed: int) -> TargetEncoder:
    """Smoothed mean outcomes, of training rows from other folds; scikit-learn wants the seed in `cv` from 1.9 on."""
    if TargetEncoder().get_params().get("shuffle", "deprecated") == "deprecated":
        return TargetEncoder(target_type=outcome, cv=KFold(5, shuffle=True, random_state=seed))
    return TargetEncoder(target_type=outcome, random_state=seed)


def _group_mean(x: pd.DataFrame, y: FloatArray, group: str) -> Predict:
    if group not in x:
        raise DataError("no such column to take means by", column=group, received=list(x.columns))
    overall = float(y.mean())
    means = pd.Series(y).groupby(x[group].astype(object).to_numpy()).mean()

    return lambda rows: np.asarray(_column(rows, group).astype(object).map(means).fillna(overall), dtype=np.float64)
