"""Classifiers of the same rows: batches, records, the choice between them, figures of the chosen one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from kmodels import explain, training
from kmodels.evaluation import classification
from kmodels.evaluation.scoring import score_parts
from kmodels.pipelines import Pictures, split_batches
from kmodels.pipelines.split_batches import SplitBatches
from kmodels.preprocessing.splits import Split
from kmodels.report import figures
from kmodels.report.figures.sets import explanation_figures
from kmodels.report.record import Metrics, RunRecord, VariantRecord
from kmodels.workflow.fitted import Fitted
from kmodels.workflow.run import Run
from kmodels.workflow.variants import choose, constant_prediction

Shares = Mapping[str, npt.NDArray[np.float64]]
_EXPLAINED, _BACKGROUND = 1000, 50  # the first rows of test and training


def probabilities(model: keras.Model, rows: SplitBatches) -> dict[str, npt.NDArray[np.float64]]:
    """A trained classifier's probabilities of the rows of "validation" and "test", float64 (rows, classes)."""
    parts = {"validation": rows.validation, "test": rows.test}
    return {part: classification.softmax(training.predict(model, each)) for part, each in parts.items()}


class Classifiers:
    """Classifiers of the same rows, to be compared with each other and with baselines.

    Args:
        run: The run.
        inputs: Name of a model input -> array of all rows, or `Pictures`.
        target: (all rows,) classes, integers from 0.
        split: Positions of the rows of each part.
        labels: Name of each class.
        one_hot: Whether batches have the target one-hot, as a loss that smooths it needs. Default False.
        **options: Of all batches, as `pipelines.split_batches` takes them; `batch_size` is by default `--batch-size`.

    Attributes:
        fitted: Variant -> what was trained.
        shares: Variant -> part -> its probabilities.
        variants: Variant -> its record.
    """

    def __init__(
        self,
        run: Run,
        inputs: Mapping[str, npt.NDArray[Any] | Pictures],
        target: npt.NDArray[Any],
        split: Split,
        labels: Sequence[str],
        *,
        one_hot: bool = False,
        **options: Any,
    ) -> None:
        self.batch_target = np.eye(len(labels), dtype=np.float32)[target] if one_hot else target
        self.options = {"batch_size": run.args.batch_size, **options}
        self.run, self.target, self.split, self.labels = run, target, split, labels
        self.arrays = {name: each for name, each in inputs.items() if not isinstance(each, Pictures)}
        self.pictures = {name: each for name, each in inputs.items() if isinstance(each, Pictures)}
        self.fitted: dict[str, Fitted] = {}
        self.shares: dict[str, Shares] = {}
        self.variants: dict[str, VariantRecord] = {}

    def batches(self, names: Sequence[str] | None = None, seed: int | None = None) -> SplitBatches:
        """The batches of some inputs, by default of all, and by default in the order of `--seed`."""
        arrays = {name: each for name, each in self.arrays.items() if names is None or name in names}
        pictures = [each for name, each in self.pictures.items() if names is None or name in names]
        return split_batches(
            arrays,
            self.batch_target,
            self.split,
            seed=self.run.args.seed if seed is None else seed,
            parts=lambda rows: [each.at(rows) for each in pictures],
            **self.options,
        )

    def inputs_of(self, rows: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
        """Every input of some rows."""
        pictures = {name: array for each in self.pictures.values() for name, array in each(rows).items()}
        return pictures | {name: array[rows] for name, array in self.arrays.items()}

    def evaluate(self, share: Shares) -> dict[str, dict[str, float]]:
        """Part -> what `classification.evaluate` gives for the probabilities of its rows."""
        return score_parts(self.target, share, self.split._asdict())

    def add(self, name: str, fitted: Fitted, share: Shares, *, cost: Metrics | None = None) -> None:
        """Evaluates what `Run.fit` gave by its probabilities of "validation", "test" and others, and records it."""
        warnings, metrics = constant_prediction(name, share["test"].argmax(axis=1), self.labels), self.evaluate(share)
        test, validation, train = metrics["test"], metrics["validation"], metrics.get("train")
        self.fitted[name], self.shares[name] = fitted, share
        self.variants[name] = self.run.variant(
            fitted, test=test, validation=validation, train=train, cost=cost, warnings=warnings
        )

    def compare(self, metric: str, baselines: Mapping[str, Shares], *, among: Sequence[str] = ()) -> dict[str, Any]:
        """What `Run.record` takes; chosen `among` some is the smallest that cannot be told from the best."""
        candidates = {name: self.variants[name] for name in among or self.variants}
        best, choice = choose(candidates, metric, rows=len(self.split.validation))
        return {
            "split": self.split,
            "variants": self.variants,
            "best": best,
            "choice": choice,
            "baselines": {name: self.evaluate(share)["test"] for name, share in baselines.items()},
        }

    def write_inputs(
        self, record: RunRecord, metric: str, *, groups: Mapping[str, Sequence[int]] | None = None, **options: Any
    ) -> dict[str, Any]:
        """Draws and tabulates the comparison for `Run.write`; `options` are those of `figures.classifier_figures`.

        With `groups` of the columns of the input "metadata", `explain.survey` explains the chosen variant by them:
        `survey`, its figures, and how many of the rows with heat maps are `right`.
        """
        best = str(record.best)
        test, share, chosen = self.split.test, self.shares[best]["test"], self.fitted[best]
        truth, predicted = self.target[test], share.argmax(axis=1)
        drawn = figures.classifier_figures(truth, share, self.labels, history=chosen.history, **options)
        found: dict[str, Any] = {}
        if groups is not None:
            rows, background = test[:_EXPLAINED], self.arrays["metadata"][self.split.train[:_BACKGROUND]]
            options = {"groups": groups, "background": background, "seed": self.run.args.seed}
            survey = explain.survey(chosen.model, self.inputs_of(rows), self.target[rows], **options)
            drawn |= explanation_figures(truth, share, self.labels, **survey._asdict())
            n = len(survey.heat)
            found = {"survey": survey, "right": int((truth[:n] == predicted[:n]).sum())}
        per_class = classification.per_class(truth, predicted, self.labels)
        return {"fitted": self.fitted, "compare": metric, "figures": drawn, "per_class": per_class, **found}
