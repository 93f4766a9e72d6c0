"""Models of different targets of one table: what each reads and predicts, and all compared with baselines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels import training
from kmodels.errors import DataError
from kmodels.evaluation import classification, tabular_baselines
from kmodels.evaluation.scoring import score_parts
from kmodels.pipelines import Batches, split_batches
from kmodels.pipelines.split_batches import SplitBatches
from kmodels.preprocessing import Id, TableEncoder, Target
from kmodels.preprocessing.columns import Kind
from kmodels.preprocessing.splits import Split, SplitWithUnseen
from kmodels.workflow.fitted import Fitted
from kmodels.workflow.run import Run
from kmodels.workflow.variants import constant_prediction

_CONSTANT = ("majority", "mean")
Parts = dict[str, dict[str, float]]


class TableModel:
    """A model of classes or amounts: its encoders, batches, predictions and metrics, and baselines on its columns.

    Args:
        run: The run.
        name: Name of the model.
        table: The columns that it reads, all rows.
        values: (rows,) classes, as a pandas categorical with a category for each; or amounts.
        split: Positions of the rows of each part.
        columns: As `TableEncoder.fit` takes it; those that are not in the table are left aside. Default None.
        id_dropout: Share of the values of `Id` columns that training makes 0, unknown. Default 0.

    Attributes:
        labels: Name of each class; none of amounts.
        encoder: The encoder of the columns, `target` that of the values, both fitted to the training rows.
        inputs: Name of an input -> array of all rows.
        loss: For `training.compile_model`, as `metrics` are, the last of which says which epoch is the best.
        fitted: What `add` was given, `predicted` and `scores` what came of it by part, `record` the figures.

    Raises:
        DataError: If all training rows are of one class; or as `TableEncoder.fit` and `Target.amount` raise it.
    """

    def __init__(
        self,
        run: Run,
        name: str,
        table: pd.DataFrame,
        values: npt.NDArray[np.floating] | pd.Categorical[Any],
        split: Split | SplitWithUnseen,
        *,
        columns: Mapping[str, Kind] | None = None,
        id_dropout: float = 0.0,
    ) -> None:
        self.run, self.name, self.table, self.split, self.id_dropout = run, name, table, split, id_dropout
        labels = list(values.categories) if isinstance(values, pd.Categorical) else []
        self.labels, self.values = labels, np.asarray(values.codes if isinstance(values, pd.Categorical) else values)
        known = self.values[split.train]
        if labels and len(np.unique(known)) < 2:
            raise DataError("all training rows are of one class", column=name, received=labels[int(known[0])])
        self.loss = "log_loss" if labels else "mse"
        self.metrics = ["accuracy", "log_loss"] if labels else ["rmse"]
        self.target = Target.classes(known, range(len(labels))) if labels else Target.amount(known)
        self.least = 0.0 if not labels and known.min() >= 0 else -np.inf
        kinds = {column: kind for column, kind in (columns or {}).items() if column in table}
        self.ids = [column for column, kind in kinds.items() if isinstance(kind, Id)]
        self.encoder = TableEncoder.fit(table.iloc[split.train], columns=kinds)
        self.inputs = self.encoder.transform(table)

    def batches(self, seed: int | None = None) -> SplitBatches:
        """The batches of training, validation and test, in the order of a seed, by default `--seed`."""
        return split_batches(
            self.inputs,
            self.target.transform(self.values),
            self.split,
            batch_size=self.run.args.batch_size,
            seed=self.run.args.seed if seed is None else seed,
            ids=self.ids,
            id_dropout=self.id_dropout,
        )

    def evaluate(self, model: keras.Model) -> tuple[dict[str, np.ndarray], Parts]:
        """What a trained model predicts, and its metrics; no amount is below 0 where none in training is."""
        predicted, parts = {}, self.split._asdict()
        for part, rows in parts.items():
            if part != "train" and len(rows):
                some = Batches({name: values[rows] for name, values in self.inputs.items()}, batch_size=4096)
                outputs = training.predict(model, some)
                restored = classification.softmax if self.labels else self.target.inverse
                predicted[part] = np.maximum(restored(outputs), self.least)
        return predicted, score_parts(self.values, predicted, parts)

    def add(self, fitted: Fitted) -> None:
        """Evaluates the model that was trained, and keeps its record."""
        self.fitted = fitted
        with self.run.timed("evaluate_s"):
            self.predicted, self.scores = self.evaluate(fitted.model)
        test, validation, warnings = self.scores["test"], self.scores["validation"], []
        if self.labels:
            warnings = constant_prediction(self.name, self.predicted["test"].argmax(axis=1), self.labels)
        self.record = self.run.variant(fitted, test=test, validation=validation, warnings=warnings)

    def baselines(self, *, group: str | None = None, suffix: str = "") -> dict[str, Parts]:
        """Baseline -> part -> metrics, of `evaluation.tabular_baselines`; those that read columns bear the suffix."""
        parts, classes = self.split._asdict(), len(self.labels) or None
        options: dict[str, Any] = {"n_classes": classes, "group": group, "seed": self.run.args.seed}
        return {
            name if name in _CONSTANT else f"{name}{suffix}": score_parts(self.values, predicted, parts)
            for name, predicted in tabular_baselines(self.table, self.values, parts, **options).items()
        }

    def per_class(self) -> pd.DataFrame:
        """What `classification.per_class` says of the test rows."""
        true, share = self.tested
        return classification.per_class(true, share.argmax(axis=1), self.labels)

    @property
    def tested(self) -> tuple[np.ndarray, np.ndarray]:
        """The true values of the test rows, and what the model predicts of them."""
        return self.values[self.split.test], self.predicted["test"]


def compare_tables(
    models: Mapping[str, TableModel], baselines: Mapping[str, Mapping[str, str]] | None = None
) -> dict[str, Any]:
    """Fits the baselines of models of one table, and puts the metrics of all targets together.

    Args:
        models: Model -> what was trained and added.
        baselines: Model -> how `TableModel.baselines` is called for it. Default None.

    Returns:
        What `Run.record` takes: `split`, `variants`, `baselines`, each with the metrics of all its targets, `warnings`,
        those of the encoders, and `unseen_ids`, the metrics of models and baselines on that part.
    """
    first, *_ = models.values()
    tested: dict[str, Parts] = {"test": {}, "unseen": {}}
    fitted = [model.baselines(**(baselines or {}).get(name, {})) for name, model in models.items()]
    for scores in ({name: model.scores for name, model in models.items()}, *fitted):
        for name, parts in scores.items():
            for part in tested:
                tested[part].setdefault(name, {}).update(parts.get(part, {}))
    return {
        "split": first.split,
        "variants": {name: model.record for name, model in models.items()},
        "baselines": {name: metrics for name, metrics in tested["test"].items() if name not in models},
        "warnings": list(dict.fromkeys(notice for model in models.values() for notice in model.encoder.notices)),
        "unseen_ids": {name: metrics for name, metrics in tested["unseen"].items() if metrics},
    }
