"""One target on one split of the rows: the batches, predictions, metrics and records of its models."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from kmodels import explain, training
from kmodels.errors import ConfigurationError, DataError
from kmodels.evaluation import classification, conformal, regression, tabular_baselines
from kmodels.evaluation.leakage import leaking_columns
from kmodels.evaluation.scoring import score_parts
from kmodels.explain.survey import Survey
from kmodels.pipelines import Batches, Pictures, split_batches
from kmodels.pipelines.split_batches import SplitBatches
from kmodels.preprocessing import Target
from kmodels.preprocessing.encoded import EncodedTable
from kmodels.preprocessing.encoders import Encoder
from kmodels.preprocessing.splits import Split, SplitWithUnseen
from kmodels.preprocessing.target import Decision
from kmodels.report import figures
from kmodels.report.figures.sets import explanation_figures
from kmodels.report.metrics import describe
from kmodels.report.record import Metrics, VariantRecord
from kmodels.workflow.run import Run, Settings
from kmodels.workflow.variants import Fitted, choose, constant_prediction

Inputs = Mapping[str, npt.NDArray[Any] | Pictures]
Predictions = Mapping[str, npt.NDArray[np.float64]]
Scores = dict[str, dict[str, float]]
_EXPLAINED, _BACKGROUND = 1000, 50  # the first rows of test and training
_SHUFFLES, _MIXED = 250, 50  # shuffles of all columns together, and most columns with SHAP values
_SHAP_ROWS, _COALITIONS = 12, 256
_DRAWN = 20  # columns in a figure
_COMPARED = 20_000  # rows of a part in which disguised targets are looked for
_CONSTANT = ("majority", "mean")  # the baselines that read no column


class Task:
    """One target on one split of the rows: the batches, predictions, metrics and records of its models.

    Args:
        run: The run.
        inputs: An encoded table; or name of a model input -> array of all rows, or `Pictures`.
        target: (rows,) classes, integers from 0; or without `labels` amounts, which batches have standardised.
        split: Positions of the rows of each part.
        labels: Name of each class. Default ().
        one_hot: Whether batches have classes one-hot, as a loss that smooths them needs. Default False.
        score_train: Whether models are evaluated on the training rows as well. Default False.
        **options: Of all batches, as `pipelines.split_batches` takes them; `batch_size` is by default `--batch-size`.

    Attributes:
        table: The encoded table with its encoder, or None.
        scale: The `Target` that standardises amounts; None where there are labels.
        least: The least amount that is predicted: 0 where none in training is below, else minus infinity.
        fitted: Model -> what was trained.
        predicted: Model -> part -> float64 (rows of the part, classes) probabilities; or (rows of the part,) amounts,
            none of them negative where none in training is.
        scores: Model or baseline -> part -> metrics, as `evaluate` gives them.
        variants: Model -> its record.

    Raises:
        DataError: If all training rows are of one class, or their amounts are equal, missing or infinite.
    """

    def __init__(
        self,
        run: Run,
        inputs: EncodedTable | Inputs,
        target: npt.NDArray[Any],
        split: Split | SplitWithUnseen,
        labels: Sequence[str] = (),
        *,
        one_hot: bool = False,
        score_train: bool = False,
        **options: Any,
    ) -> None:
        self.run, self.split, self.labels = run, split, labels
        self.table = inputs if isinstance(inputs, EncodedTable) else None
        self.inputs: Inputs = inputs.inputs if isinstance(inputs, EncodedTable) else inputs
        self.target = np.asarray(target, np.int32 if labels else np.float64)
        self.parts = {part: rows for part, rows in split._asdict().items() if part != "train" or score_train}
        self.options = {"batch_size": run.args.batch_size, **options}
        known = self.target[split.train]
        if labels and len(np.unique(known)) < 2:
            raise DataError("all training rows are of one class", column="target", received=labels[known[0]])
        self.scale = None if labels else Target.amount(known)
        self.least = 0.0 if known.min() >= 0 else -np.inf
        self.learnt = self.target if self.scale is None else self.scale.transform(self.target)
        if one_hot:
            self.learnt = np.eye(len(labels), dtype=np.float32)[self.target]
        self.fitted: dict[str, Fitted] = {}
        self.predicted: dict[str, Predictions] = {}
        self.scores: dict[str, Scores] = {}
        self.variants: dict[str, VariantRecord] = {}

    def batches(self, model: keras.Model | None = None, *, seed: int | None = None, **options: Any) -> SplitBatches:
        """The batches of a model's inputs, by default of all of them, in the order of a seed, by default `--seed`."""
        arrays, pictures = self._inputs(model)
        options = {**self.options, **options}
        options["ids"] = [name for name in options.get("ids", ()) if name in arrays]
        return split_batches(
            arrays,
            self.learnt,
            self.split,
            parts=lambda rows: [each.at(rows) for each in pictures],
            seed=self.run.args.seed if seed is None else seed,
            **options,
        )

    def rows(self, positions: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
        """Every input of some rows, as arrays."""
        arrays, pictures = self._inputs(None)
        found = {name: array for each in pictures for name, array in each(positions).items()}
        return found | {name: array[positions] for name, array in arrays.items()}

    def fit(self, folder: str | Path, model: keras.Model, *, seed: int | None = None, **options: Any) -> Fitted:
        """Trains a model on the batches of its inputs as `Run.fit` does, whose options it takes."""
        rows = self.batches(model, seed=seed)
        return self.run.fit(folder, model, rows.train, rows.validation, seed=seed, **options)

    def search(
        self,
        build: Callable[[Settings], keras.Model],
        fit: Callable[[Settings, Path, int], Fitted],
        space: Callable[[Any], Settings],
        **options: Any,
    ) -> Settings:
        """Searches for settings as `Run.search` does; `fit` trains with some settings in a folder and with a seed."""

        def score(settings: Settings, seed: int, folder: Path) -> Scores:
            return self.evaluate(self.predict(fit(settings, folder, seed).model))

        return self.run.search(build, space, *self.batches()[:2], score=score, **options)

    def predict(self, model: keras.Model) -> Predictions:
        """What a trained model predicts of each part that is evaluated and has rows."""
        found = {}
        (arrays, pictures), size = self._inputs(model), self.options.get("evaluation_batch_size", 4096)
        with self.run.timed("evaluate_s"):
            for part, rows in self.parts.items():
                if len(rows):
                    some = {name: array[rows] for name, array in arrays.items()}
                    parts = [each.at(rows) for each in pictures]
                    ordered = Batches(some, self.learnt[rows], parts=parts, batch_size=size)
                    found[part] = self._restored(training.predict(model, ordered))
        return found

    def evaluate(self, predicted: Predictions) -> Scores:
        """Part -> metrics of `scoring.score_parts`; of two classes also what `evaluate_with_threshold` gives."""
        parts = self.split._asdict()
        found = score_parts(self.target, predicted, parts)
        if len(self.labels) == 2:
            true = {part: self.target[parts[part]] for part in predicted}
            found |= classification.evaluate_with_threshold(true, predicted)
        return found

    def add(self, name: str, fitted: Fitted, *, cost: Metrics | None = None) -> None:
        """Evaluates a trained model and keeps its record, with a warning if it predicts one class for nearly all."""
        predicted = self.predict(fitted.model)
        scores = self.evaluate(predicted)
        warnings = constant_prediction(name, predicted["test"], self.labels) if self.labels else ()
        test, validation, train = scores["test"], scores["validation"], scores.get("train")
        self.fitted[name], self.predicted[name], self.scores[name] = fitted, predicted, scores
        self.variants[name] = self.run.variant(
            fitted, test=test, validation=validation, train=train, cost=cost, warnings=warnings
        )

    def add_baselines(
        self, frame: pd.DataFrame, *, suffix: str = "", group: str | None = None, tune: bool = False
    ) -> None:
        """Evaluates `evaluation.tabular_baselines` on a table; the names of those that read columns get the suffix."""
        options: dict[str, Any] = {"n_classes": len(self.labels) or None, "group": group, "tune": tune}
        options["seed"] = self.run.args.seed
        for name, predicted in tabular_baselines(frame, self.target, self.split._asdict(), **options).items():
            self.scores[name if name in _CONSTANT else f"{name}{suffix}"] = self.evaluate(predicted)

    def compare(self, metric: str, *, among: Sequence[str] = ()) -> dict[str, Any]:
        """What `Run.record` takes; chosen `among` some is the smallest that cannot be told from the best."""
        candidates = {name: self.variants[name] for name in among or self.variants}
        best, choice = choose(candidates, metric, rows=len(self.split.validation))
        return {
            "split": self.split,
            "variants": self.variants,
            "best": best,
            "choice": choice,
            "baselines": self.baselines,
        }

    @property
    def baselines(self) -> dict[str, dict[str, float]]:
        """Baseline -> its test metrics."""
        return {name: each["test"] for name, each in self.scores.items() if name not in self.variants}

    def tested(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The true values of the test rows, and a model's predictions."""
        return self.target[self.split.test], self.predicted[name]["test"]

    def per_class(self, name: str) -> pd.DataFrame:
        """What `classification.per_class` gives for a classifier's test rows."""
        true, share = self.tested(name)
        return classification.per_class(true, share.argmax(axis=1), self.labels)

    def figures(self, name: str, **options: Any) -> dict[str, Figure]:
        """`figures.classifier_figures` of a classifier and its training."""
        return figures.classifier_figures(*self.tested(name), self.labels, history=self.fitted[name].history, **options)

    def explain(self, name: str, groups: Mapping[str, Sequence[int]]) -> tuple[dict[str, Figure], Survey, int]:
        """Explains a model of the inputs "image" and "metadata", groups of whose columns have names, on test rows.

        Returns the figures of the model and of its explanation, what `explain.survey` found, and how many of the rows
        with heat maps are predicted right.
        """
        rows, table = self.split.test[:_EXPLAINED], self._inputs(None)[0]["metadata"]
        background = table[self.split.train[:_BACKGROUND]]
        options: dict[str, Any] = {"groups": groups, "background": background, "seed": self.run.args.seed}
        survey = explain.survey(self.fitted[name].model, self.rows(rows), self.target[rows], **options)
        (true, share), n = self.tested(name), len(survey.heat)
        drawn = self.figures(name) | explanation_figures(true, share, self.labels, **survey._asdict())
        return drawn, survey, int((true[:n] == share[:n].argmax(axis=1)).sum())

    def decide(self, name: str, coverage: float = 0.9) -> tuple[Decision, dict[str, Any]]:
        """What validation rows say of how to use a model's predictions, and how that does on test rows.

        The latter, for a record, is `at_threshold` of two classes, `intervals` of amounts; empty where there are too
        few validation rows.
        """
        if self.labels:
            found = self.scores[name].get("at_threshold", {})
            return Decision(threshold=found.get("threshold")), {"at_threshold": found} if found else {}
        least = self.least if np.isfinite(self.least) else None
        half = conformal.half_width(
            self.target[self.split.validation], self.predicted[name]["validation"], coverage=coverage
        )
        if not np.isfinite(half):
            return Decision(least=least), {}
        metrics = conformal.interval_metrics(*self.tested(name), half, least=self.least)
        found = {"asked": coverage, "half_width": half, **metrics}
        return Decision(half_width=half, coverage=coverage, least=least), {"intervals": found}

    def encoders(self, name: str) -> dict[str, Encoder]:
        """What `Run.save` writes next to a model of the table's inputs, for `serving.TablePredictor`."""
        target = self.scale or Target(labels=tuple(self.labels))
        return {"table": self._table.encoder, "target": target, "decision": self.decide(name)[0]}

    def leaks(self) -> list[str]:
        """A sentence for each column that `evaluation.leaking_columns` finds, in at most 20,000 rows of a part."""
        known = _spread(self.split.train)
        others = _spread(np.setdiff1d(np.arange(len(self.target)), self.split.train))
        rows, groups = np.concatenate([known, others]), self._table.groups
        options = {"n_classes": len(self.labels) or None}
        found = leaking_columns(self._matrix(rows), self.target[rows], np.arange(len(known)), groups, **options)
        what = "ROC AUC" if self.labels else "rank correlation"
        return [
            f"column {name!r} alone says what the target is ({what} {value:.4f}): leave it out if it is made of it"
            for name, value in found.items()
        ]

    def explain_columns(self, name: str) -> tuple[dict[str, Figure], pd.DataFrame]:
        """Explains a model of a table's inputs on test rows, by the table's own columns.

        Returns the figures "importance" and, with the package shap and at most 50 columns, "shap", and what
        `explain.permutation_importance` found: log loss, or RMSE in the target's unit, added by shuffling a column.
        """
        model, groups = self.fitted[name].model, self._table.groups
        rows, seed = self.split.test[:_EXPLAINED], self.run.args.seed
        true, own = self.target[rows], {tensor.name for tensor in model.inputs}

        def outputs(arrays: Mapping[str, npt.NDArray[Any]]) -> np.ndarray:
            inputs = {name: array for name, array in self._table.unpack(arrays["table"]).items() if name in own}
            return training.predict(model, Batches(inputs, batch_size=512))

        def score(predicted: npt.NDArray[np.float64]) -> float:
            if self.scale is not None:
                return -regression.rmse(true, predicted)
            return float(np.log(np.maximum(predicted[np.arange(len(true)), true], 1e-15)).mean())

        importance = explain.permutation_importance(
            lambda arrays: self._restored(outputs(arrays)),
            {"table": self._matrix(rows)},
            {group: ("table", columns) for group, columns in groups.items()},
            score,
            repeats=int(np.clip(_SHUFFLES // len(groups), 1, 5)),
            seed=seed,
        )
        what = "log_loss" if self.scale is None else "rmse"
        mean, std = (
            dict(zip(importance["group"][:_DRAWN], importance[each], strict=False)) for each in ("mean", "std")
        )
        drawn = {"importance": figures.bars(mean, f"{describe(what).label} added when shuffled", spread=std)}
        if importlib.util.find_spec("shap") is not None and len(groups) <= _MIXED:

            def explained(arrays: Mapping[str, npt.NDArray[Any]]) -> np.ndarray:
                found = outputs(arrays)
                if self.scale is not None:
                    return self.scale.inverse(found)
                return found[:, 1] - found[:, 0] if len(self.labels) == 2 else found

            few, background = self._matrix(rows[:_SHAP_ROWS]), self._matrix(self.split.train[:_BACKGROUND])
            options: dict[str, Any] = {"coalitions": max(_COALITIONS, 2 * len(groups)), "seed": seed}
            found = explain.shap_values(explained, {"table": few}, "table", background, groups, **options)
            size = np.abs(found.values).mean(axis=0)  # (columns, outputs)
            parts = list(self.labels) if size.shape[1] == len(self.labels) else ["value"]
            table = pd.DataFrame(size, list(groups), parts)
            table = table.iloc[np.argsort(-size.sum(axis=1), kind="stable")[:_DRAWN]]
            shown: Any = table if len(parts) > 1 else dict(zip(table.index, table["value"], strict=True))
            drawn["shap"] = figures.bars(
                shown, f"mean |SHAP value| ({'logit' if self.labels else 'unit of the target'})"
            )
        return drawn, importance

    @property
    def _table(self) -> EncodedTable:
        if self.table is None:
            raise ConfigurationError("the task has no encoded table, whose columns could be looked at")
        return self.table

    def _matrix(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """`EncodedTable.matrix` of some rows."""
        return self._table._replace(inputs={name: array[rows] for name, array in self._table.inputs.items()}).matrix

    def _inputs(self, model: keras.Model | None) -> tuple[dict[str, npt.NDArray[Any]], list[Pictures]]:
        names = self.inputs if model is None else {tensor.name for tensor in model.inputs}
        chosen = {name: each for name, each in self.inputs.items() if name in names}
        arrays = {name: each for name, each in chosen.items() if not isinstance(each, Pictures)}
        return arrays, [each for each in chosen.values() if isinstance(each, Pictures)]

    def _restored(self, outputs: np.ndarray) -> npt.NDArray[np.float64]:
        if self.scale is None:
            return classification.softmax(outputs)
        return np.maximum(self.scale.inverse(outputs), self.least)


def compare_targets(tasks: Sequence[Task]) -> dict[str, Any]:
    """Puts the metrics of several targets of the same rows together.

    Args:
        tasks: What models and baselines were added to, one for each target or more.

    Returns:
        What `Run.record` takes: `split`, `variants`, `baselines`, each with the metrics of all its targets, `warnings`,
        those of the encoders, and `unseen_ids`, the metrics of models and baselines on the part "unseen".
    """
    variants = {name: variant for task in tasks for name, variant in task.variants.items()}
    tested: dict[str, Scores] = {"test": {}, "unseen": {}}
    scores = [each for task in tasks for each in task.scores.items()]
    for name, parts in sorted(scores, key=lambda each: each[0] not in variants):
        for part in tested:
            tested[part].setdefault(name, {}).update(parts.get(part, {}))
    notices = [notice for task in tasks if task.table for notice in task.table.encoder.notices]
    return {
        "split": tasks[0].split,
        "variants": variants,
        "baselines": {name: metrics for name, metrics in tested["test"].items() if name not in variants},
        "warnings": list(dict.fromkeys(notices)),
        "unseen_ids": {name: metrics for name, metrics in tested["unseen"].items() if metrics},
    }


def _spread(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Some rows of many, at equal distances."""
    return rows[np.linspace(0, len(rows) - 1, min(_COMPARED, len(rows)), dtype=np.int64)]
