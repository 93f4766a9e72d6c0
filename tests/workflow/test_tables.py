"""Models of several targets of one table: what they read and predict, and their metrics put together."""

import argparse

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, mean_absolute_error

from kmodels import models, training, workflow
from kmodels.errors import DataError
from kmodels.preprocessing import Category, Id, splits
from kmodels.report import comparisons

KINDS = {"user": Id(), "city": Category()}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    users = rng.integers(40, size=1200)
    return pd.DataFrame({"user": users, "city": rng.choice(["Bonn", "Kiel"], 1200), "spent": users * 10.0})


@pytest.fixture(scope="module")
def made(table, tmp_path_factory):
    """A classifier without the ids and a regressor, trained for an epoch and added."""
    args = {"out": tmp_path_factory.mktemp("run"), "data": "own", "batch_size": 64, "seed": 0, "epochs": 1}
    run = workflow.Run(argparse.Namespace(**args, resume=False), "tables.py")
    split = splits.kept_back(table[["user"]], seed=0, unseen=0.1)
    groups = pd.Categorical.from_codes((table["spent"] > 200).astype(int), ["low", "high"])
    values = {"classifier": (table[["city"]], groups), "regressor": (table[["user", "city"]], table["spent"])}
    found = {}
    for name, (columns, target) in values.items():
        model = workflow.TableModel(run, name, columns, target, split, columns=KINDS, id_dropout=0.2)
        features = model.encoder.features
        network = (
            models.embedding_classifier(features, 2, name=name)
            if model.labels
            else models.embedding_regressor(features, name=name)
        )
        training.compile_model(network, "adam", loss=model.loss, metrics=model.metrics)
        model.add(run.fit(name, network, *model.batches()[:2]))
        found[name] = model
    return run, found


def test_batches_hold_what_the_model_reads_and_some_ids_are_unknown_in_training_alone(made, table):
    _, found = made
    assert set(found["classifier"].batches().train[0][0]) == {"city"}
    train, validation, _ = found["regressor"].batches()
    assert 0.1 < np.mean(train[0][0]["user"] == 0) < 0.35
    inputs, target = validation[0]
    assert (inputs["user"] > 0).all()
    spent = table["spent"].to_numpy()[found["regressor"].split.validation]
    np.testing.assert_allclose(found["regressor"].target.inverse(target), spent, rtol=1e-4, atol=1e-3)


def test_predictions_are_in_the_unit_of_the_values_and_every_part_is_evaluated(made, table):
    _, found = made
    regressor, classifier = found["regressor"], found["classifier"]
    assert set(regressor.predicted) == set(regressor.scores) == {"validation", "test", "unseen"}
    for part, amounts in regressor.predicted.items():
        rows = getattr(regressor.split, part)
        assert amounts.min() >= 0
        assert regressor.scores[part]["mae"] == pytest.approx(mean_absolute_error(table["spent"].iloc[rows], amounts))
    true, share = classifier.tested
    np.testing.assert_allclose(share.sum(axis=1), 1, rtol=1e-5)
    assert classifier.scores["test"]["accuracy"] == pytest.approx(accuracy_score(true, share.argmax(axis=1)))
    assert classifier.per_class()["support"].tolist() == np.bincount(true).tolist()


def test_metrics_of_several_targets_come_together(made):
    run, found = made
    compared = workflow.compare_tables(found, {"classifier": {"suffix": "_of_cities"}, "regressor": {"group": "user"}})
    assert compared["baselines"].keys() == {
        *("majority", "logistic_regression_of_cities", "gradient_boosting_of_cities"),
        *("mean", "ridge", "gradient_boosting", "mean_per_user"),
    }
    same = workflow.compare_tables(found)
    assert {"rmse", "accuracy"} <= set(same["baselines"]["gradient_boosting"])
    assert same["baselines"]["gradient_boosting"]["rmse"] == compared["baselines"]["gradient_boosting"]["rmse"]
    assert compared["unseen_ids"]["regressor"] == found["regressor"].scores["unseen"]

    data = {"rows": 1200, "sha256": "", "unit": "EUR", "floors": {"noise": 3.0}}
    record = run.record(data=data, **compared, best="regressor")
    limits = {"generator": record.limits({"rmse": "noise", "mae": "unknown"})}
    frame = comparisons.unseen_ids(record, ["rmse", "mae"], limits)
    assert set(frame.index) == {"regressor", "mean", "ridge", "gradient_boosting", "mean_per_user", "generator"}
    for metric, label in (("rmse", "RMSE"), ("mae", "MAE")):
        assert frame.loc["regressor", label] == record.variants["regressor"].test[metric]
        assert frame.loc["ridge", f"{label}, unseen ids"] == compared["unseen_ids"]["ridge"][metric]
    assert frame.loc["generator"].dropna().to_dict() == {"RMSE": 3.0}


def test_one_class_is_refused(made, table):
    run, found = made
    only = pd.Categorical.from_codes(np.zeros(len(table), int), ["low", "high"])
    with pytest.raises(DataError, match="of one class; received 'low'"):
        workflow.TableModel(run, "net", table[["city"]], only, found["regressor"].split)
