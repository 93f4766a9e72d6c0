"""Classifiers of two classes compared over the folds of a cross-validation, and on other splits of the same rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from kmodels.errors import DataError
from kmodels.evaluation import classification, selection, tabular_baselines
from kmodels.pipelines import split_batches
from kmodels.pipelines.split_batches import SplitBatches
from kmodels.preprocessing import splits as splitting
from kmodels.preprocessing.encoded import EncodedTable
from kmodels.preprocessing.splits import Split
from kmodels.report import comparisons as tables
from kmodels.report import figures, sentences
from kmodels.report.figures.comparison import differences
from kmodels.report.figures.sets import comparison_figures
from kmodels.report.record import RunRecord
from kmodels.training.weights import CompiledModels
from kmodels.workflow.fitted import Fitted
from kmodels.workflow.run import Run
from kmodels.workflow.variants import choose, constant_prediction

#: "validation" and "test" -> probabilities, float64 (rows of the part, 2).
Shares = Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Contrast:
    """One model trained on the first fold with one thing changed, compared with what it is otherwise.

    `record` is what `metrics.json` keeps, `figures` are those by epoch, `table` has the test metrics.
    """

    record: dict[str, Any]
    figures: dict[str, Figure]
    table: pd.DataFrame


@dataclass(frozen=True)
class CrossValidated:
    """What `EncodedSplits.cross_validate` measured.

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
            "class_counts": classification.class_counts(self.target, self.labels),
            "split": self.splits[names[0]].sizes,
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
        """What `Run.record` takes; chosen is the smallest model that cannot be told from the best over the folds."""
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
        """Compares a model on the first fold with one trained there with one thing changed; `names` are those of both.

        `share` has the other one's probabilities of the test rows, `metrics` are those of the table; the files of the
        figures begin with the second name.
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
        self,
        record: RunRecord,
        metrics: Sequence[str],
        *,
        floors: Mapping[str, float | str] | None = None,
        contrast: Contrast | None = None,
    ) -> dict[str, Any]:
        """Draws and tabulates the comparison for `Run.write`; models are compared by the first metric.

        Besides `figures` and `tables`: `verdict`, whether the chosen model is ahead of the best baseline. Of `contrast`
        the figures, the table "inputs" and the warning are added.
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
        limits = record.limits(floors or {})
        verdict = sentences.significance(paired, list(record.baselines), metric, len(self.folds[best]))
        return {
            "fitted": fitted,
            "history": self.histories,
            "figures": {
                **comparison_figures(record, {}, metric),
                **figures.classifier_figures(self.target, probability, self.labels),
                "variants": figures.bars(mean, metric, floors=limits, spread=std, marked=list(fitted)),
                "differences": differences(shown, metric),
                **{f"{name}_curves": figures.learning_curves(histories, name) for name in ("accuracy", "log_loss")},
                **{f"curves_{name}": figures.learning_curves(each) for name, each in histories.items()},
                **(contrast.figures if contrast else {}),
            },
            "tables": {
                "means": means,
                "paired": tables.paired_table(paired),
                "thresholds": tables.threshold_table(self.folds),
                **others,
                **({"inputs": contrast.table} if contrast else {}),
            },
            "per_class": classification.per_class(self.target, probability.argmax(axis=1), self.labels),
            "verdict": verdict,
            "table": means,
            "lines": [verdict, *([contrast.record["warning"]] if contrast else [])],
        }

    @property
    def _others(self) -> list[str]:
        return [name for name in self.splits if not _is_fold(name)]


class EncodedSplits:
    """Several splits of the same rows, each encoded by what its training rows teach, and classifiers of two classes.

    Args:
        run: The run.
        splits: Name -> split; "fold_1", "fold_2" … are folds of which every row is in one test part.
        encoded: Name -> the rows as its training part teaches.
        target: (rows,) classes, 0 or 1.
        labels: Names of the two classes.
        **options: Of all batches, as `pipelines.split_batches` takes them; `batch_size` is by default `--batch-size`.
    """

    def __init__(
        self,
        run: Run,
        splits: Mapping[str, Split],
        encoded: Mapping[str, EncodedTable],
        target: npt.NDArray[Any],
        labels: Sequence[str],
        **options: Any,
    ) -> None:
        self.run, self.splits, self.encoded, self.target, self.labels = run, splits, encoded, target, labels
        self.options = {"batch_size": run.args.batch_size, **options}
        self._models = CompiledModels()

    def batches(self, at: str, seed: int | None = None, **options: Any) -> SplitBatches:
        """The batches of a split, by default in the order of `--seed`."""
        options = {"seed": self.run.args.seed if seed is None else seed, **self.options, **options}
        return split_batches(self.encoded[at].inputs, self.target, self.splits[at], **options)

    def compiled(self, at: str, key: Hashable, build: Callable[[], keras.Model]) -> keras.Model:
        """The model of a key, compiled once for all splits of one shape; see `training.weights`."""
        shape = self.encoded[at].encoder.features, len(self.splits[at].train)
        return self._models.get((key, *shape), build)

    def evaluate(self, at: str, share: Shares) -> dict[str, dict[str, float]]:
        """What `classification.evaluate_with_threshold` gives for the validation and test rows of a split."""
        true = {part: self.target[getattr(self.splits[at], part)] for part in share}
        return classification.evaluate_with_threshold(true, share)

    def cross_validate(
        self, models: Sequence[str], over: Sequence[str], fit: Callable[[str, str], tuple[Fitted, Shares]]
    ) -> CrossValidated:
        """Trains every model on the splits of `over`, folds first, and evaluates it as well as `tabular_baselines`."""
        fitted: dict[str, dict[str, Fitted]] = {}
        shares: dict[str, dict[str, Shares]] = {}
        for name in models:
            for at in over:
                trained, share = fit(name, at)
                fitted.setdefault(name, {})[at] = trained
                shares.setdefault(name, {})[at] = share
        with self.run.timed("evaluate_s"):
            for at in over:
                options = {"n_classes": 2, "seed": self.run.args.seed}
                baselines = tabular_baselines(self.encoded[at].frame, self.target, self.splits[at]._asdict(), **options)
                for name, share in baselines.items():
                    shares.setdefault(name, {})[at] = share
            metrics = {
                name: {at: self.evaluate(at, share) for at, share in each.items()} for name, each in shares.items()
            }
        folds = [at for at in over if _is_fold(at)]
        order = np.argsort(np.concatenate([self.splits[at].test for at in folds]), kind="stable")
        return CrossValidated(
            self.target,
            self.labels,
            {at: self.splits[at] for at in over},
            metrics,
            {name: [each[at] for at in folds] for name, each in metrics.items()},
            fitted,
            {name: np.concatenate([shares[name][at]["test"] for at in folds])[order] for name in models},
        )


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


def _is_fold(split: str) -> bool:
    return split.removeprefix("fold_").isdigit()
