"""Models compared over folds, with trainings and probabilities that are known beforehand."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from kmodels import workflow
from kmodels.preprocessing import encode_table

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
def tasks(target, scores, tmp_path_factory):
    """Four folds and a split by time, to which both models were added, with histories that are known beforehand."""
    flags = {
        "seed": 0,
        "data": "x",
        "tune": None,
        "batch_size": 10,
        "devices": 1,
        "shard_tables": False,
        "track": None,
        "export": None,
    }
    args = argparse.Namespace(out=tmp_path_factory.mktemp("run"), **flags)
    run = workflow.Run(args, __file__)
    dates = pd.Series(pd.date_range("2000-01-01", periods=ROWS, freq="D"))
    every, _ = workflow.folds_and_by_time(target, LABELS, dates, n_folds=4, seed=0)
    table, found = pd.DataFrame({"x": np.random.default_rng(2).random(ROWS)}), {}
    columns = ("accuracy", "val_accuracy", "log_loss", "val_log_loss", "loss", "val_loss")
    for number, (at, split) in enumerate(every.items(), 1):
        task = found[at] = workflow.Task(run, encode_table(table, split.train), target, split, LABELS)
        for name, share in scores.items():
            parts = {part: rows for part, rows in split._asdict().items() if part != "train"}
            predicted = {part: np.column_stack([1 - share[rows], share[rows]]) for part, rows in parts.items()}
            history = pd.DataFrame({"epoch": [1, 2], "seconds": 1.0, **dict.fromkeys(columns, float(number))})
            model = Model(name=name, parameters=10 if name == "net" else 5)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(workflow.Task, "predict", lambda task, model, predicted=predicted: predicted)
                task.add(name, workflow.Fitted(name, model, history, 100, run.folder))
        task.add_baselines(task.table.frame)
    return found


@pytest.fixture(scope="module")
def crossed(tasks):
    return workflow.CrossValidation(tasks)


def test_every_row_is_predicted_out_of_fold_in_its_own_place(crossed, scores):
    for name in ("net", "flat"):
        np.testing.assert_array_equal(crossed.out_of_fold[name][:, 1], scores[name])


def test_figures_of_each_fold_are_scikit_learns(crossed, tasks, scores, target):
    for number, fold in enumerate(crossed.scores["net"], 1):
        rows = tasks[f"fold_{number}"].split.test
        assert fold["test"]["roc_auc"] == pytest.approx(metrics.roc_auc_score(target[rows], scores["net"][rows]))
        assert 0 < fold["at_threshold"]["threshold"] < 1
    assert set(crossed.test("by_time")) == {"net", "flat", *BASELINES}
    assert crossed.test("elsewhere") == {}
    assert crossed.data["class_counts"] == {"no": int((target == 0).sum()), "yes": int((target == 1).sum())}
    assert sum(crossed.data["split"].values()) == ROWS


def test_the_record_has_means_over_the_folds_alone(crossed, tasks):
    compared = crossed.compare("roc_auc")
    assert compared["best"] == "net"
    assert list(compared["variants"]) == ["net", "flat"]
    mean = np.mean([fold["test"]["accuracy"] for fold in crossed.scores["net"]])
    assert compared["variants"]["net"].test["accuracy"] == pytest.approx(mean)
    assert tuple(compared["baselines"]) == BASELINES
    assert not compared["variants"]["net"].warnings
    assert "'yes' for 100.0 %" in compared["variants"]["flat"].warnings[0]
    # Histories are 1 to 4 in the folds and 5 under the split by time.
    assert crossed.fitted["net"].history["loss"].tolist() == [2.5, 2.5]
    assert set(crossed.histories["split"]) == {*tasks}


def test_what_the_page_takes(crossed, tasks):
    run = tasks["fold_1"].run
    record = run.record(data={"rows": ROWS, "sha256": "0", **crossed.data}, **crossed.compare("roc_auc"))
    page = crossed.page(record, ["roc_auc", "accuracy"], floors={"Bayes": 0.95, "none": "unknown"})
    assert {"variants", "differences", "pareto", "accuracy_curves", "curves_net", "roc"} <= set(page["figures"])
    assert list(page["tables"]["means"].index) == ["net", "flat", *BASELINES]
    assert {"ROC AUC, random", "ROC AUC, by_time"} <= set(page["tables"]["by_time"])
    paired = page["tables"]["paired"]
    assert paired.loc["flat", "significant"] == "yes"
    both = zip(crossed.scores["flat"], crossed.scores["net"], strict=True)
    gaps = [flat["test"]["roc_auc"] - net["test"]["roc_auc"] for flat, net in both]
    assert float(paired.loc["flat", "difference"]) == pytest.approx(np.mean(gaps), abs=1e-4)
    thresholds = page["tables"]["thresholds"]
    assert float(thresholds.loc["net", "Accuracy at 0.5"]) == pytest.approx(record.variants["net"].test["accuracy"])
    assert "ahead of the best baseline" in page["verdict"] == page["lines"][0]


def test_one_thing_changed_is_compared_on_two_tasks(tasks):
    usual = tasks["fold_1"]
    found, drawn, table = workflow.contrast({"usual": usual, "raw": tasks["fold_2"]}, "flat", ["accuracy"])
    assert found["usual"] == usual.scores["flat"]["test"]
    assert found["raw"]["roc_auc"] == 0.5
    assert found["first_log_loss"] == {"usual": 1.0, "raw": 2.0}
    assert "flat, raw, predicts 'yes'" in found["warning"]
    assert set(drawn) == {"raw_log_loss", "raw_accuracy"}
    assert list(table.index) == ["flat, usual", "flat, raw", "majority"]
    assert workflow.contrast({"usual": usual, "raw": tasks["fold_2"]}, "net", ["accuracy"])[0]["warning"] is None


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
