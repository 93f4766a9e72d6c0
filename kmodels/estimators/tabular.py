"""A table and its target to a fitted network, behind scikit-learn's interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from kmodels import training
from kmodels.errors import DataError
from kmodels.estimators.networks import adamw, average, network
from kmodels.files import read_json, write_json
from kmodels.pipelines import Batches
from kmodels.preprocessing import TableEncoder, Target, splits
from kmodels.preprocessing.columns import Kind, kind_from_dict
from kmodels.serving import TablePredictor

_SETTINGS = "estimator.json"
_ARRAYS = {"feature_names_in_": object, "classes_": None}  # of a fitted estimator, and their dtypes
_FEWEST = 4  # rows


@dataclass(kw_only=True, eq=False, repr=False)
class _Tabular(BaseEstimator):
    """Parameters, encoding, training and files of both estimators."""

    columns: Mapping[str, Kind] | None = None
    drop: Sequence[str] = ()
    bins: int = 32
    frequencies: int | None = None
    frequency_stddev: float = 0.5
    dim: int = 12
    hidden: Sequence[int] = (128, 128)
    dropout: float = 0.2
    members: int = 16
    linear: bool = True
    networks: int | None = None
    learning_rate: float | None = None
    weight_decay: float = 0.1
    epochs: int | None = None
    batch_size: int | None = None
    validation_fraction: float = 0.12
    patience: int = 10
    random_state: int | np.random.RandomState | None = 0
    verbose: bool = False

    def settings(self, rows: int) -> dict[str, Any]:
        """Gives the parameters by name, with the values that `fit` takes for those that are None.

        Args:
            rows: Number of training rows, which these depend on.

        Example:
            >>> TabularRegressor().settings(6_000)["batch_size"]
            64
        """
        by_rows = {
            "frequencies": 16 if rows >= 10_000 else 0,
            "networks": int(np.clip(40_000 // rows, 1, 5)),
            "learning_rate": 4e-3 * float(np.clip((rows / 15_000) ** 0.5, 0.25, 1.0)),
            "epochs": int(np.clip(300_000 // rows, 8, 30)),
            "batch_size": int(2 ** np.clip(np.log2(rows / 64) // 1, 5, 8)),
        }
        return self.get_params() | {name: value for name, value in by_rows.items() if getattr(self, name) is None}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags

    def save(self, folder: str | Path) -> Self:
        """Writes `model.keras`, `encoders.json` and `estimator.json`; the first two are a `TablePredictor`'s.

        Args:
            folder: Where to; made if need be.

        Returns:
            The estimator itself.

        Raises:
            DataError: If a parameter cannot be written as JSON, such as a `RandomState`.
        """
        check_is_fitted(self)
        self.predictor_.save(folder)
        kinds = (self.columns or {}).items()
        parameters = self.get_params() | {"drop": list(self.drop), "hidden": list(self.hidden)}
        parameters["columns"] = {name: {"kind": type(kind).__name__, **asdict(kind)} for name, kind in kinds}
        lists = {name: getattr(self, name).tolist() for name in _ARRAYS if hasattr(self, name)}
        fitted = {"n_features_in_": self.n_features_in_, "n_iter_": self.n_iter_, **lists}
        content = {"estimator": type(self).__name__, "parameters": parameters, "fitted": fitted}
        write_json(Path(folder) / _SETTINGS, content)
        return self

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Reads what `save` wrote, on any backend.

        Args:
            folder: Where it was written.

        Returns:
            A fitted estimator of the same predictions, without `history_`.

        Raises:
            DataError: If a file is missing or damaged, or has an estimator of another class.
        """
        path = Path(folder) / _SETTINGS
        predictor, content = TablePredictor.load(folder), read_json(path)
        try:
            name, parameters, fitted = content["estimator"], content["parameters"], content["fitted"]
            if name != cls.__name__:
                raise DataError("an estimator of another class", file=path, expected=cls.__name__, received=name)
            parameters["columns"] = {column: kind_from_dict(kind) for column, kind in parameters["columns"].items()}
            estimator = cls(**parameters)
            estimator.n_features_in_, estimator.n_iter_ = fitted["n_features_in_"], fitted["n_iter_"]
        except (TypeError, KeyError, AttributeError) as error:
            raise DataError("not a saved estimator", file=path) from error
        for attribute, dtype in _ARRAYS.items():
            if attribute in fitted:
                setattr(estimator, attribute, np.array(fitted[attribute], dtype))
        estimator.predictor_ = predictor
        return estimator

    def _fit(self, x: Any, y: npt.NDArray[Any], target: Target, weight: npt.NDArray[Any] | None) -> Self:
        """Trains on rows whose target is encoded: classes from 0, or standardised amounts."""
        frame, seed = self._frame(x, reset=True), int(check_random_state(self.random_state).randint(2**31))
        check_consistent_length(frame, y)
        table = TableEncoder.fit(frame, columns=self.columns, drop=self.drop)
        arrays = table.transform(frame)

        def batches(rows: npt.NDArray[np.int64], **options: Any) -> Batches:
            own, given = {name: array[rows] for name, array in arrays.items()}, None
            if weight is not None:
                given = weight[rows].astype(np.float32)
            return Batches(own, y[rows], sample_weight=given, **options)

        def split(seed: int) -> tuple[Batches, Batches]:
            train, validation = self._split(y if target.labels else None, len(y), seed)
            fitted = batches(train, batch_size=size, shuffle=True, drop_remainder=True, seed=seed)
            return fitted, batches(validation, batch_size=4096, shuffle=False)

        settings = self.settings(len(y))
        size, epochs = settings["batch_size"], settings["epochs"]
        loss, metric = ("log_loss", "val_log_loss") if target.labels else ("mse", "val_rmse")
        if weight is not None:  # Keras weighs the loss, not the metrics
            metric = "val_loss"
        seeds = range(seed, seed + settings["networks"])
        classes = len(target.labels)
        networks = [network(table, classes, arrays, settings, name=f"network_{each - seed}") for each in seeds]
        # All are trained as the first one, which is compiled once.
        model, optimizer = networks[0], adamw(settings, epochs * len(split(seed)[0]))
        compiled = training.compile_by_member(model, optimizer, loss=loss)
        weights, histories = [], []
        for each in seeds:
            training.initialize(model, each)
            for variable in optimizer.variables:
                variable.assign(np.zeros(variable.shape, variable.dtype))
            train, validation = split(each)
            with TemporaryDirectory() as folder:
                history = training.fit(
                    compiled,
                    train,
                    validation,
                    epochs=epochs,
                    folder=folder,
                    callbacks=[training.best_weights(metric, stop=self.patience)],
                    seed=each,
                    progress=self.verbose,
                )
            weights.append(model.get_weights())
            histories.append(history.assign(network=each - seed + 1))
        for each, own in zip(networks, weights, strict=True):
            each.set_weights(own)
        self.history_ = pd.concat(histories, ignore_index=True)
        self.predictor_ = TablePredictor(average(networks, bool(classes)), table, target)
        self.n_iter_ = [int(history[metric].argmin()) + 1 for history in histories]
        return self

    def _split(self, labels: npt.NDArray[Any] | None, rows: int, seed: int) -> tuple[npt.NDArray[np.int64], ...]:
        """Positions of the rows to train on, and of those that say when to stop."""
        kept = max(1, round(self.validation_fraction * rows))
        if labels is not None and np.bincount(labels).min() > 1 and kept > labels.max():
            return splits.stratified(labels, seed=seed, validation=kept / rows, test=0.0)[:2]
        return splits.random(rows, seed=seed, validation=kept / rows, test=0.0)[:2]

    def _frame(self, x: Any, *, reset: bool) -> pd.DataFrame:
        """The rows as a table; the columns of an array are x0, x1 and so on."""
        if isinstance(x, pd.DataFrame):
            validate_data(self, x, reset=reset, skip_check_array=True)
            return x
        array = validate_data(self, x, dtype=None, ensure_all_finite="allow-nan", reset=reset)
        frame = pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])
        return frame.infer_objects() if array.dtype == object else frame

    def _predictor(self, x: Any) -> tuple[TablePredictor, pd.DataFrame]:
        check_is_fitted(self)
        return self.predictor_, self._frame(x, reset=False)


@dataclass(kw_only=True, eq=False, repr=False)
class TabularClassifier(ClassifierMixin, _Tabular):
    """Classifies the rows of a table by a network, `models.tabular_classifier`.

    Columns are encoded by `TableEncoder`. A part of the rows is kept back to stop training in time and to choose the
    epoch whose weights are kept.

    Args:
        columns: Name of a column -> its kind, as `TableEncoder.fit` takes them; others are inferred. Default None.
        drop: Columns to leave out. Default ().
        bins: Bins of each number's piecewise linear embedding, cut by quantiles; 0 for none. Default 32.
        frequencies: Frequencies of each number's periodic embedding; 0 for none. Default None: 16 from 10,000 training
            rows on, with fewer none.
        frequency_stddev: As `models.tabular_regressor` takes it. Default 0.5.
        dim: Width of each column's embedding. Default 12.
        hidden: Widths of the hidden layers. Default (128, 128).
        dropout: Dropout after each of them. Default 0.2.
        members: Networks that share weights and whose predictions are averaged. Default 16.
        linear: Whether there is a linear path. Default True.
        networks: Networks that are trained one after the other, each with a part of its own kept back, and whose
            predictions are averaged. Default None: 40,000 ÷ rows, from 1 to 5.
        learning_rate: Highest rate of AdamW; it falls along a cosine. Default None: 0.004, with fewer than 15,000
            training rows in proportion to their root, at least 0.001.
        weight_decay: Weight decay of AdamW, which multiplies it by the rate. Default 0.1.
        epochs: Most epochs. Default None: 300,000 ÷ training rows, from 8 to 30.
        batch_size: Rows of a batch; None for a 64th of the rows, a power of two from 32 to 256. Default None.
        validation_fraction: Share of the rows that is kept back. Default 0.12.
        patience: Epochs without improvement after which training stops. Default 10.
        random_state: Seed of split, weights and order: an integer, a `RandomState`, or None for another one in each
            call. Default 0.
        verbose: Whether to show a progress bar. Default False.
        class_weight: None, "balanced", or class -> weight, as scikit-learn's classifiers take it. Default None.

    Attributes:
        classes_: The classes, ascending, (classes,).
        predictor_: The fitted `serving.TablePredictor`, with the model and the encoders.
        history_: A row for each epoch of each network, as `training.fit` gives it.
        n_iter_: Number of each network's best epoch, from 1, whose weights are kept.

    Example:
        >>> frame = pd.DataFrame({"rooms": [1, 2, 3, 4] * 8, "city": ["Oslo", "Rome"] * 16})
        >>> classifier = TabularClassifier(epochs=2, hidden=(8,), members=2).fit(frame, frame["rooms"] > 2)
        >>> classifier.predict(frame).shape
        (32,)
    """

    class_weight: Mapping[Any, float] | str | None = None

    def fit(self, X: Any, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Trains on a table.

        Args:
            X: DataFrame or array (rows, columns); gaps are allowed.
            y: (rows,) labels.
            sample_weight: (rows,) weights of the training rows. Default None: all count the same.

        Returns:
            The estimator itself.

        Raises:
            DataError: If only one class occurs, or as `TableEncoder.fit`.
            ValueError: If the shapes do not fit, or a label is missing.
        """
        labels = _column(y)
        check_classification_targets(labels)
        self.classes_ = np.unique(labels)
        if len(self.classes_) < 2:
            raise DataError("only one class occurs", column="y", received=self.classes_.tolist())
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, labels)
        if self.class_weight is not None:
            by_class = compute_sample_weight(self.class_weight, labels)
            weight = by_class if weight is None else weight * by_class
        target = Target.classes(labels, self.classes_.tolist())
        return self._fit(X, target.transform(labels), target, weight)

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Predicts the probability of each class, (rows, classes) in the order of `classes_`."""
        predictor, frame = self._predictor(X)
        return predictor.probabilities(frame)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Predicts the most probable class of each row, (rows,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])


@dataclass(kw_only=True, eq=False, repr=False)
class TabularRegressor(RegressorMixin, _Tabular):
    """Predicts an amount for each row of a table by a network, `models.tabular_regressor`.

    Args:
        columns: As of `TabularClassifier`, like all others. Default None.
        drop: Default ().
        bins: Default 32.
        frequencies: Default None.
        frequency_stddev: Default 0.5.
        dim: Default 12.
        hidden: Default (128, 128).
        dropout: Default 0.2.
        members: Default 16.
        linear: Default True.
        networks: Default None.
        learning_rate: Default None.
        weight_decay: Default 0.1.
        epochs: Default None.
        batch_size: Default None.
        validation_fraction: Default 0.12.
        patience: Default 10.
        random_state: Default 0.
        verbose: Default False.

    Attributes:
        predictor_: The fitted `serving.TablePredictor`, with the model and the encoders.
        history_: A row for each epoch of each network, as `training.fit` gives it.
        n_iter_: Number of each network's best epoch, from 1, whose weights are kept.

    Example:
        >>> frame = pd.DataFrame({"rooms": [1, 2, 3, 4] * 8, "city": ["Oslo", "Rome"] * 16})
        >>> regressor = TabularRegressor(epochs=2, hidden=(8,), members=2).fit(frame, frame["rooms"] ** 2)
        >>> regressor.predict(frame).shape
        (32,)
    """

    def fit(self, X: Any, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Trains on a table.

        Args:
            X: DataFrame or array (rows, columns); gaps are allowed.
            y: (rows,) finite amounts that are not all equal.
            sample_weight: (rows,) weights of the training rows. Default None: all count the same.

        Returns:
            The estimator itself.

        Raises:
            DataError: If the amounts are equal, missing or infinite, or as `TableEncoder.fit`.
            ValueError: If the shapes do not fit.
        """
        amounts = _column(y)
        target = Target.amount(amounts)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, amounts)
        return self._fit(X, target.transform(amounts)[:, 0], target, weight)

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """Predicts the amount of each row, (rows,)."""
        predictor, frame = self._predictor(X)
        return predictor.predict(frame)


def _column(y: npt.ArrayLike) -> npt.NDArray[Any]:
    """The target of each row, of enough of them."""
    column = column_or_1d(y, warn=True)
    if len(column) < _FEWEST:
        raise DataError(f"too few rows to train on; expected {_FEWEST} or more; received n_samples = {len(column)}")
    return np.asarray(column)
