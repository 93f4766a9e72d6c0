"""Classifiers of two classes compared over the folds of a cross-validation, and on other splits of the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from kmodels.errors import DataError
from kmodels.evaluation import classification, selection
from kmodels.preprocessing import splits as splitting
from kmodels.preprocessing.splits import Split
from kmodels.report import comparisons, figures, sentences
from kmodels.report.figures.comparison import differences
from kmodels.report.figures.sets import comparison_figures
from kmodels.report.record import RunRecord
from kmodels.workflow.task import Task
from kmodels.workflow.variants import Fitted, choose, constant_prediction


class CrossValidation:
    """Classifiers of two classes compared over folds, and on other splits of the same rows.

    Args:
        tasks: "fold_1", "fold_2" … -> the task of that fold, of which every row is a test row once; other names -> that
            of another split. The same models and then the same baselines were added to each.

    Attributes:
        first: The task of the first fold.
        n_folds: Number of folds.
        scores: Model or baseline -> its scores of each fold, in order.
        out_of_fold: Model -> float64 (rows, 2): the probabilities of each row by the model not trained on it.
        fitted: Model -> the one of the first fold, with the mean history of all folds.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        self.tasks = tasks
        self.others = [name for name in tasks if not name.removeprefix("fold_").isdigit()]
        folds = [task for name, task in tasks.items() if name not in self.others]
        self.first, self.n_folds = folds[0], len(folds)
        self.scores = {name: [fold.scores[name] for fold in folds] for name in self.first.scores}
        order = np.argsort(np.concatenate([fold.split.test for fold in folds]), kind="stable")
        self.out_of_fold: dict[str, npt.NDArray[np.float64]] = {}
        self.fitted: dict[str, Fitted] = {}
        for name in self.first.variants:
            self.out_of_fold[name] = np.concatenate([fold.predicted[name]["test"] for fold in folds])[order]
            history = selection.mean_history([fold.fitted[name].history for fold in folds])
            self.fitted[name] = replace(self.first.fitted[name], name=name, history=history)

    @property
    def data(self) -> dict[str, Any]:
        """Facts of the data for `Run.record`: class counts, and the sizes of the first fold's parts."""
        return {
            "class_counts": classification.class_counts(self.first.target, self.first.labels),
            "split": self.first.split.sizes,
            "split_name": f"the first of {self.n_folds} folds, at random within each class",
        }

    @property
    def histories(self) -> pd.DataFrame:
        """One row per epoch of every training, with the columns `variant` and `split`."""
        names = [(name, at) for name in self.fitted for at in self.tasks]
        rows = {(name, at): self.tasks[at].fitted[name].history for name, at in names}
        return pd.concat(rows, names=["variant", "split"]).reset_index([0, 1])

    def test(self, at: str) -> dict[str, dict[str, float]]:
        """Model or baseline -> its test metrics on one split; empty where there is no such split."""
        return {name: scores["test"] for name, scores in self.tasks[at].scores.items()} if at in self.tasks else {}

    def compare(self, metric: str) -> dict[str, Any]:
        """What `Run.record` takes; chosen is the smallest model that cannot be told from the best over the folds."""
        means, variants = selection.fold_means(self.scores), {}
        for name, fitted in self.fitted.items():
            warnings = constant_prediction(name, self.out_of_fold[name], self.first.labels)
            test, validation = means[name]["test"], means[name]["validation"]
            variant = self.first.run.variant(fitted, test=test, validation=validation, warnings=warnings)
            variants[name] = replace(variant, name=name)
        repeats = pd.DataFrame({name: [fold["validation"][metric] for fold in self.scores[name]] for name in variants})
        best, choice = choose(variants, metric, repeats=repeats)
        return {
            "variants": variants,
            "best": best,
            "choice": choice,
            "baselines": {name: each["test"] for name, each in means.items() if name not in variants},
            "folds": self.scores,
        }

    def page(
        self, record: RunRecord, metrics: Sequence[str], *, floors: Mapping[str, float | str] | None = None
    ) -> dict[str, Any]:
        """Draws and tabulates the comparison for `Run.write`; models are compared by the first metric.

        Besides `figures` and `tables`: `verdict`, whether the chosen model is ahead of the best baseline.
        """
        metric, best, task = metrics[0], str(record.best), self.first
        share = len(task.split.test) / len(task.split.train)
        paired = selection.paired_folds(self.scores, best, metric, test_to_train=share)
        # A constant prediction is far from all others, which a common axis would press together.
        drawn = paired.drop(index="majority", errors="ignore")
        mean, std = ({str(name): value for name, value in drawn[column].items()} for column in ("mean", "std"))
        limits = record.limits(floors or {})
        histories = {name: each.history for name, each in self.fitted.items()}
        probability = self.out_of_fold[best]
        means = comparisons.means_table(self.scores, metrics)
        others = {at: comparisons.split_table(self.scores, self.test(at), metrics, at) for at in self.others}
        verdict = sentences.significance(paired, list(record.baselines), metric, self.n_folds)
        return {
            "fitted": self.fitted,
            "history": self.histories,
            "figures": {
                **comparison_figures(record, {}, metric),
                **figures.classifier_figures(task.target, probability, task.labels),
                "variants": figures.bars(mean, metric, floors=limits, spread=std, marked=list(self.fitted)),
                "differences": differences(drawn, metric),
                **{f"{name}_curves": figures.learning_curves(histories, name) for name in ("accuracy", "log_loss")},
                **{f"curves_{name}": figures.learning_curves(each) for name, each in histories.items()},
            },
            "tables": {
                "means": means,
                "paired": comparisons.paired_table(paired),
                "thresholds": comparisons.threshold_table(self.scores),
                **others,
            },
            "per_class": classification.per_class(task.target, probability.argmax(axis=1), task.labels),
            "verdict": verdict,
            "table": means,
            "lines": [verdict],
        }


def contrast(
    tasks: Mapping[str, Task], model: str, metrics: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Figure], pd.DataFrame]:
    """Compares a model's training on one task with that on another, which differs from it in one thing.

    Args:
        tasks: Names of the usual and the changed thing -> the task. The model was added to both, baselines to the
            first.
        model: The model.
        metrics: Test metrics of the table.

    Returns:
        What `metrics.json` keeps: `net`, the test metrics under both names, `first_log_loss` and `warning`, of a
        constant prediction on the changed task; figures by epoch, whose names begin with the second name; and a table.
    """
    usual, changed = tasks
    histories = {name: task.fitted[model].history for name, task in tasks.items()}
    tested = {name: task.scores[model]["test"] for name, task in tasks.items()}
    start = {name: float(history["log_loss"].iloc[0]) for name, history in histories.items()}
    constant = constant_prediction(
        f"{model}, {changed},", tasks[changed].predicted[model]["test"], tasks[changed].labels
    )
    rows = {f"{model}, {name}": each for name, each in tested.items()}
    rows["majority"] = tasks[usual].scores["majority"]["test"]
    table = comparisons.by_part({"test": rows}, metrics)
    table["log loss of epoch 1"] = [*start.values(), None]
    drawn = {f"{changed}_{name}": figures.learning_curves(histories, name) for name in ("log_loss", "accuracy")}
    return {"net": model, **tested, "first_log_loss": start, "warning": (*constant, None)[0]}, drawn, table


def folds_and_by_time(
    target: npt.NDArray[Any], labels: Sequence[str], dates: pd.Series | None, *, n_folds: int, seed: int
) -> tuple[dict[str, Split], dict[str, Any]]:
    """Splits rows into folds, and by date: the newest fifth for the test, the tenth before for validation.

    Args:
        target: (rows,) classes.
        labels: Names of the classes.
        dates: (rows,) datetime64, or None; rows without one are in no part of the split by date.
        n_folds: Number of folds.
        seed: Seed of the folds.

    Returns:
        "fold_1", "fold_2" … and "by_time" -> split; and facts of the latter (`train_until`, `test_from`,
        `without_date`), or `left_out`, the reason why there is none.

    Raises:
        DataError: As `preprocessing.splits.folds`.
    """
    folds = enumerate(splitting.folds(target, n_folds=n_folds, seed=seed), 1)
    found = {f"fold_{number}": split for number, split in folds}
    try:
        if dates is None:
            raise DataError("there are no dates")
        split = splitting.by_time(dates, validation=0.1, test=0.2, skip_missing=True)
        splitting.require_classes(target, split, labels)
    except DataError as error:
        return found, {"left_out": str(error)}
    days = dates.dt.date
    period = {"train_until": str(days.iloc[split.train].max()), "test_from": str(days.iloc[split.test].min())}
    return found | {"by_time": split}, {**period, "without_date": int(days.isna().sum())}
