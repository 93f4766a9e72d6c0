"""Models compared over folds, with trainings and probabilities that are known beforehand."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from kmodels import training, workflow
from kmodels.preprocessing import encode_table, splits

LABELS = ("no", "yes")
BASELINES = ("majority", "logistic_regression", "gradient_boosting")
ROWS = 200


class Model(SimpleNamespace):
    def count_params(self):
        return self.parameters


@pytest.fixture(scope="module")
def target():
    return (np.random.default_rng(0).random(ROWS) < 0.6).astype(np.int32)


@pytest.fixture(scope="module")
def scores(target):
    """The probability of class 1 that each model gives every row: one that knows something, and a constant."""
    noise = np.random.default_rng(1).normal(0, 1, ROWS)
    return {
        "net": 1 / (1 + np.exp(-(2.0 * target - 1 + noise))),
        "flat": np.full(ROWS, 0.9),
    }


@pytest.fixture(scope="module")
def crossed(target, scores, tmp_path_factory):
    args = argparse.Namespace(out=tmp_path_factory.mktemp("run"), seed=0, data="x", tune=None, batch_size=10)
    run = workflow.Run(args, __file__)
    dates = pd.Series(pd.date_range("2000-01-01", periods=ROWS, freq="D"))
    every, _ = workflow.folds_and_by_time(target, LABELS, dates, n_folds=4, seed=0)

    def shares(name, at):
        rows = {part: getattr(every[at], part) for part in ("validation", "test")}
        return {part: np.column_stack([1 - scores[name][r], scores[name][r]]) for part, r in rows.items()}

    def fit(name, at):
        columns = ("accuracy", "val_accuracy", "log_loss", "val_log_loss", "loss", "val_loss")
        number = int(at[-1]) if at[-1].isdigit() else 99
        history = pd.DataFrame({"epoch": [1, 2], "seconds": 1.0, **dict.fromkeys(columns, float(number))})
        model = Model(name=name, parameters=10 if name == "net" else 5)
        return workflow.Fitted(name, model, history, 100, run.folder), shares(name, at)

    table = pd.DataFrame({"x": np.random.default_rng(2).random(ROWS)})
    encoded = {at: encode_table(table, split.train) for at, split in every.items()}
    both = workflow.EncodedSplits(run, every, encoded, target, LABELS)
    return run, both.cross_validate(["net", "flat"], list(every), fit)


def test_every_row_is_predicted_out_of_fold_in_its_own_place(crossed, scores):
    for name in ("net", "flat"):
        np.testing.assert_array_equal(crossed[1].out_of_fold[name][:, 1], scores[name])


def test_figures_of_each_fold_are_scikit_learns(crossed, scores, target):
    found = crossed[1]
    for number, fold in enumerate(found.folds["net"], 1):
        rows = found.splits[f"fold_{number}"].test
        assert fold["test"]["roc_auc"] == pytest.approx(metrics.roc_auc_score(target[rows], scores["net"][rows]))
    assert set(found.test("by_time")) == {"net", "flat", *BASELINES}
    assert found.test("elsewhere") == {}
    assert found.data["class_counts"] == {"no": int((target == 0).sum()), "yes": int((target == 1).sum())}
    assert sum(found.data["split"].values()) == ROWS


def test_the_record_has_means_over_the_folds_alone(crossed):
    run, found = crossed
    compared = found.compare(run, "roc_auc")
    assert compared["best"] == "net"
    assert list(compared["variants"]) == ["net", "flat"]
    mean = np.mean([fold["test"]["accuracy"] for fold in found.folds["net"]])
    assert compared["variants"]["net"].test["accuracy"] == pytest.approx(mean)
    assert tuple(compared["baselines"]) == BASELINES
    assert not compared["variants"]["net"].warnings
    assert "'yes' for 100.0 %" in compared["variants"]["flat"].warnings[0]
    # Histories are 1 to 4 in the folds and 99 under the split by time.
    assert found.mean_fitted["net"].history["loss"].tolist() == [2.5, 2.5]
    assert set(found.histories["split"]) == {*found.splits}


def test_what_the_page_takes(crossed):
    run, found = crossed
    record = run.record(data={"rows": ROWS, "sha256": "0", **found.data}, **found.compare(run, "roc_auc"))
    page = found.write_inputs(record, ["roc_auc", "accuracy"], floors={"Bayes": 0.95, "none": "unknown"})
    assert {"variants", "differences", "pareto", "accuracy_curves", "curves_net", "roc"} <= set(page["figures"])
    assert list(page["tables"]["means"].index) == ["net", "flat", *BASELINES]
    assert {"ROC AUC, random", "ROC AUC, by_time"} <= set(page["tables"]["by_time"])
    paired = page["tables"]["paired"]
    assert paired.loc["flat", "significant"] == "yes"
    gaps = [
        a["test"]["roc_auc"] - b["test"]["roc_auc"]
        for a, b in zip(found.folds["flat"], found.folds["net"], strict=True)
    ]
    assert float(paired.loc["flat", "difference"]) == pytest.approx(np.mean(gaps), abs=1e-4)
    thresholds = page["tables"]["thresholds"]
    assert float(thresholds.loc["net", "Accuracy at 0.5"]) == pytest.approx(
        page["fitted"] and np.mean([f["test"]["accuracy"] for f in found.folds["net"]])
    )
    assert "ahead of the best baseline" in page["verdict"] == page["lines"][0]


def test_one_thing_changed_is_compared_on_the_first_fold(crossed, scores):
    _, found = crossed
    flat = found.fitted["flat"]["fold_1"]
    rows = found.splits["fold_1"].test
    share = {"test": np.column_stack([1 - scores["flat"][rows], scores["flat"][rows]])}
    contrast = found.contrast("net", flat, share, ["accuracy"], ("usual", "raw"))
    assert contrast.record["usual"] == found.folds["net"][0]["test"]
    assert contrast.record["raw"]["roc_auc"] == 0.5
    assert contrast.record["warning"]
    assert set(contrast.figures) == {"raw_log_loss", "raw_accuracy"}
    assert list(contrast.table.index) == ["net, usual", "net, raw", "majority"]
    run, _ = crossed
    record = run.record(data={"rows": ROWS, "sha256": "0", **crossed[1].data}, **crossed[1].compare(run, "roc_auc"))
    page = crossed[1].write_inputs(record, ["roc_auc"], contrast=contrast)
    assert set(contrast.figures) < set(page["figures"])
    assert page["tables"]["inputs"] is contrast.table
    assert page["lines"][-1] == contrast.record["warning"]


def test_a_split_by_time_leaves_out_rows_without_a_date(target):
    dates = pd.Series(pd.date_range("2000-01-01", periods=ROWS, freq="D"))
    dates[:20] = pd.NaT
    found, facts = workflow.folds_and_by_time(target, LABELS, dates, n_folds=4, seed=0)
    assert list(found) == ["fold_1", "fold_2", "fold_3", "fold_4", "by_time"]
    assert sorted(np.concatenate([found[f"fold_{number}"].test for number in range(1, 5)])) == list(range(ROWS))
    parts = found["by_time"]
    assert facts["without_date"] == 20
    assert sorted(np.concatenate(parts)) == list(range(20, ROWS))
    assert parts.train.max() < parts.validation.min() < parts.validation.max() < parts.test.min()
    assert facts["test_from"] == str(dates[parts.test.min()].date())
    for few in (dates.where(dates.isna()), None):
        found, facts = workflow.folds_and_by_time(target, LABELS, few, n_folds=4, seed=0)
        assert "by_time" not in found
        assert facts["left_out"]


def test_splits_of_one_shape_share_a_compiled_net(target, crossed):
    run, _ = crossed
    split = splits.stratified(target, seed=0)
    encoded = {at: encode_table(pd.DataFrame({"x": np.arange(float(ROWS))}), split.train) for at in "ab"}
    both = workflow.EncodedSplits(run, {"a": split, "b": split}, encoded, target, LABELS)

    def build():
        x = keras.Input((1,), name="numbers")
        model = keras.Model({"numbers": x}, keras.layers.Dense(2)(x))
        training.compile_model(model, keras.optimizers.Adam(), loss="log_loss", metrics=["accuracy", "log_loss"])
        return model

    model = both.compiled("a", "net", build)
    assert both.compiled("b", "net", build) is model
    assert both.compiled("b", "other", build) is not model
    rows = both.batches("a", batch_size=20)
    assert (rows.train.batch_size, rows.train.seed) == (20, 0)
    found = model.evaluate(rows.test, verbose=0, return_dict=True)
    share = workflow.probabilities(model, rows)
    expected = metrics.log_loss(target[split.test], share["test"])
    assert found["log_loss"] == pytest.approx(expected, rel=1e-4)
    assert found["loss"] == pytest.approx(expected, rel=1e-4)
