"""Classifiers of two classes compared over the folds of a cross-validation, and on other splits of the same rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from kmodels.errors import DataError
from kmodels.evaluation import classification, selection
from kmodels.preprocessing import splits as splitting
from kmodels.preprocessing.splits import Split
from kmodels.report import comparisons as tables
from kmodels.report import figures, sentences
from kmodels.report.figures.comparison import differences
from kmodels.report.record import RunRecord
from kmodels.workflow.run import Fitted, Run
from kmodels.workflow.variants import choose, constant_prediction

#: "validation" and "test" -> probabilities, float64 (rows of the part, 2).
Shares = Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Contrast:
    """One model trained on the first fold with one thing changed, compared with what it is otherwise.

    Attributes:
        record: `net`; the test metrics of both, `first_log_loss` (of their first epochs) and `warning`, a sentence
            where the changed one predicts a constant, else None.
        figures: Log loss and accuracy of both by epoch.
        table: The test metrics of both, and of the constant prediction.
    """

    record: dict[str, Any]
    figures: dict[str, Figure]
    table: pd.DataFrame


@dataclass(frozen=True)
class CrossValidated:
    """What `cross_validate` measured.

    Attributes:
        target: (rows,) classes, 0 or 1.
        labels: Names of the two classes.
        splits: Name -> split.
        metrics: Model or baseline -> split -> what `classification.evaluate_with_threshold` gives.
        folds: Model or baseline -> its metrics of each fold, in order.
        fitted: Model -> split -> what was trained.
        out_of_fold: Model -> float64 (rows, 2): the probabilities of each row by the model not trained on it.
    """

    target: npt.NDArray[Any]
    labels: Sequence[str]
    splits: Mapping[str, Split]
    metrics: Mapping[str, Mapping[str, dict[str, dict[str, float]]]]
    folds: Mapping[str, Sequence[dict[str, dict[str, float]]]]
    fitted: Mapping[str, Mapping[str, Fitted]]
    out_of_fold: Mapping[str, npt.NDArray[np.float64]]

    @property
    def data(self) -> dict[str, Any]:
        """Facts of the data for `Run.record`: class counts, and the sizes of the first fold's parts."""
        names = [name for name in self.splits if _is_fold(name)]
        return {
            "class_counts": dict(zip(self.labels, np.bincount(self.target, minlength=2).tolist(), strict=True)),
            "split": {part: len(rows) for part, rows in self.splits[names[0]]._asdict().items()},
            "split_name": f"the first of {len(names)} folds, at random within each class",
        }

    @property
    def mean_fitted(self) -> dict[str, Fitted]:
        """Model -> the one of the first fold, with the mean history of all folds."""
        found = {}
        for name, every in self.fitted.items():
            folds = [fitted for split, fitted in every.items() if _is_fold(split)]
            history = selection.mean_history([fitted.history for fitted in folds])
            found[name] = replace(folds[0], name=name, history=history)
        return found

    @property
    def histories(self) -> pd.DataFrame:
        """One row per epoch of every training, with the columns `variant` and `split`."""
        rows = {(name, split): each.history for name, every in self.fitted.items() for split, each in every.items()}
        return pd.concat(rows, names=["variant", "split"]).reset_index([0, 1])

    def test(self, split: str) -> dict[str, dict[str, float]]:
        """Model or baseline -> its test metrics on one split; empty where there is no such split."""
        return {name: every[split]["test"] for name, every in self.metrics.items() if split in every}

    def compare(self, run: Run, metric: str) -> dict[str, Any]:
        """Chooses the smallest model that cannot be told from the best one by the validation metric of the folds.

        Args:
            run: The run, for its times.
            metric: Name of the metric.

        Returns:
            What `Run.record` takes: `variants`, `best`, `choice`, `baselines` and `folds`.
        """
        means, variants = selection.fold_means(self.folds), {}
        for name, each in self.mean_fitted.items():
            warnings = constant_prediction(name, self.out_of_fold[name].argmax(axis=1), self.labels)
            test, validation = means[name]["test"], means[name]["validation"]
            variants[name] = replace(run.variant(each, test=test, validation=validation, warnings=warnings), name=name)
        repeats = pd.DataFrame({name: [fold["validation"][metric] for fold in self.folds[name]] for name in variants})
        best, choice = choose(variants, metric, repeats=repeats)
        baselines = {name: each["test"] for name, each in means.items() if name not in variants}
        return {
            "variants": variants,
            "best": best,
            "choice": choice,
            "baselines": baselines,
            "folds": dict(self.folds),
        }

    def contrast(
        self, model: str, changed: Fitted, share: Shares, metrics: Sequence[str], names: tuple[str, str]
    ) -> Contrast:
        """Compares a model on the first fold with one that was trained there with one thing changed.

        Args:
            model: The model's name.
            changed: The other one.
            share: Its probabilities of the test rows, under "test".
            metrics: Metrics of the table.
            names: What the model and the other one are called, such as ("scaled", "unscaled").

        Returns:
            Record, figures (their files begin with the second name) and table.
        """
        usual, other = names
        first = next(name for name in self.splits if _is_fold(name))
        histories = {usual: self.fitted[model][first].history, other: changed.history}
        truth = self.target[self.splits[first].test]
        tested = {usual: self.test(first)[model], other: classification.evaluate(truth, share["test"])}
        start = {name: float(history["log_loss"].iloc[0]) for name, history in histories.items()}
        constant = constant_prediction(f"{model}, {other},", share["test"].argmax(axis=1), self.labels)
        rows = {f"{model}, {name}": each for name, each in tested.items()}
        table = tables.by_part({"test": rows | {"majority": self.test(first)["majority"]}}, metrics)
        table["log loss of epoch 1"] = [*start.values(), None]
        drawn = {f"{other}_{column}": figures.learning_curves(histories, column) for column in ("log_loss", "accuracy")}
        warning = constant[0] if constant else None
        return Contrast({"net": model, **tested, "first_log_loss": start, "warning": warning}, drawn, table)

    def write_inputs(
        self, record: RunRecord, metrics: Sequence[str], *, floors: Mapping[str, float] | None = None
    ) -> dict[str, Any]:
        """Draws and tabulates the comparison for `Run.write`: means with their spread, differences, curves, thresholds.

        Args:
            record: The record, with what `compare` gave.
            metrics: Metrics of the tables; models are compared by the first one.
            floors: Limits of that metric, by name. Default none.

        Returns:
            `fitted`; `figures`: those of `figures.classifier_figures` for the chosen model, variants, pareto,
            time_and_size, differences, the curves of all models and of each alone; `tables`: means, paired, thresholds
            and, by its name, each other split than the folds; `per_class`; `verdict`, whether the chosen model is ahead
            of the best baseline; and `table`, the means for the terminal.
        """
        metric, fitted, best = metrics[0], self.mean_fitted, str(record.best)
        share = record.data["split"]["test"] / record.data["split"]["train"]
        paired = selection.paired_folds(self.folds, best, metric, test_to_train=share)
        # A constant prediction is far from all others, which a common axis would press together.
        shown = paired.drop(index="majority", errors="ignore")
        mean, std = ({str(name): value for name, value in shown[column].items()} for column in ("mean", "std"))
        histories = {name: each.history for name, each in fitted.items()}
        probability = self.out_of_fold[best]
        means = tables.means_table(self.folds, metrics)
        others = {name: tables.split_table(self.folds, self.test(name), metrics, name) for name in self._others}
        return {
            "fitted": fitted,
            "figures": {
                **figures.comparison_figures(record, {}, metric),
                **figures.classifier_figures(self.target, probability, self.labels),
                "variants": figures.bars(mean, metric, floors=floors, spread=std, marked=list(fitted)),
                "differences": differences(shown, metric),
                **{f"{name}_curves": figures.learning_curves(histories, name) for name in ("accuracy", "log_loss")},
                **{f"curves_{name}": figures.learning_curves(each) for name, each in histories.items()},
            },
            "tables": {
                "means": means,
                "paired": tables.paired_table(paired),
                "thresholds": tables.threshold_table(self.folds),
                **others,
            },
            "per_class": classification.per_class(self.target, probability.argmax(axis=1), self.labels),
            "verdict": sentences.significance(paired, list(record.baselines), metric, len(self.folds[best])),
            "table": means,
        }

    @property
    def _others(self) -> list[str]:
        return [name for name in self.splits if not _is_fold(name)]


def cross_validate(
    run: Run,
    models: Sequence[str],
    splits: Mapping[str, Split],
    target: npt.NDArray[Any],
    labels: Sequence[str],
    *,
    fit: Callable[[str, str], tuple[Fitted, Shares]],
    baselines: Callable[[str], Mapping[str, Shares]],
) -> CrossValidated:
    """Trains every model on every split, and evaluates models and baselines on its validation and test rows.

    Args:
        run: The run, whose time of evaluation is noted.
        models: Names of the models.
        splits: "fold_1", "fold_2" … -> folds of which every row is in one test part; and other names -> other splits.
        target: (rows,) classes, 0 or 1.
        labels: Names of the two classes.
        fit: From a model's and a split's name to what was trained and its probabilities.
        baselines: From a split's name to baseline -> probabilities; "majority" among them.

    Returns:
        All metrics, trainings and out-of-fold probabilities.

    Raises:
        DataError: As `classification.evaluate_with_threshold`.
    """
    fitted: dict[str, dict[str, Fitted]] = {}
    shares: dict[str, dict[str, Shares]] = {}
    for name in models:
        for split in splits:
            trained, share = fit(name, split)
            fitted.setdefault(name, {})[split] = trained
            shares.setdefault(name, {})[split] = share
    with run.timed("evaluate_s"):
        for split in splits:
            for name, share in baselines(split).items():
                shares.setdefault(name, {})[split] = share
        metrics = {
            name: {split: evaluate(target, splits[split], share) for split, share in every.items()}
            for name, every in shares.items()
        }
    folds = [split for split in splits if _is_fold(split)]
    order = np.argsort(np.concatenate([splits[split].test for split in folds]), kind="stable")
    return CrossValidated(
        target,
        labels,
        splits,
        metrics,
        {name: [every[split] for split in folds] for name, every in metrics.items()},
        fitted,
        {name: np.concatenate([shares[name][split]["test"] for split in folds])[order] for name in models},
    )


def evaluate(target: npt.NDArray[Any], split: Split, share: Shares) -> dict[str, dict[str, float]]:
    """What `classification.evaluate_with_threshold` gives for the validation and test rows of a split."""
    return classification.evaluate_with_threshold({part: target[getattr(split, part)] for part in share}, share)


def split_by_time(
    table: pd.DataFrame, column: str, target: npt.NDArray[Any], labels: Sequence[str]
) -> tuple[dict[str, Split], dict[str, Any]]:
    """Splits rows by date: the newest fifth for the test, the tenth before for validation.

    Args:
        table: The rows; those without a date are in no part.
        column: The column of dates, datetime64.
        target: (rows,) classes.
        labels: Names of the classes.

    Returns:
        {"by_time": split} with its facts (`train_until`, `test_from`, `without_date`); or an empty mapping with
        `left_out`, the reason why there is no such split.
    """
    try:
        if column not in table:
            raise DataError(f"there are no dates in a column {column!r}")
        dates = table[column].dt.date
        split = splitting.by_time(table[column], validation=0.1, test=0.2, skip_missing=True)
        splitting.require_classes(target, split, labels)
    except DataError as error:
        return {}, {"left_out": str(error)}
    period = {"train_until": str(dates.iloc[split.train].max()), "test_from": str(dates.iloc[split.test].min())}
    return {"by_time": split}, {**period, "without_date": int(dates.isna().sum())}


def _is_fold(split: str) -> bool:
    return split.removeprefix("fold_").isdigit()
