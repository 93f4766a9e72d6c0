"""Models of one target: batches of their inputs, predictions, metrics, the choice, and several targets together."""

import argparse
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn import metrics

from kmodels import models, training, workflow
from kmodels.errors import DataError
from kmodels.pipelines import Pictures
from kmodels.preprocessing import Category, Id, encode_table, splits
from kmodels.report import comparisons

ROWS, LABELS = 60, ("low", "middle", "high")
TABLE = np.arange(ROWS, dtype=np.float32)[:, None]
TARGET = np.arange(ROWS, dtype=np.int32) % 3
SPLIT = splits.random(ROWS, seed=0)


@pytest.fixture
def run(tmp_path):
    flags = {
        "seed": 3,
        "data": "x",
        "tune": None,
        "batch_size": 8,
        "devices": 1,
        "shard_tables": False,
        "track": None,
        "export": None,
    }
    return workflow.Run(argparse.Namespace(out=tmp_path, **flags), __file__)


def give(monkeypatch, right):
    """A model's training; it gives each row's class a probability of .8, but the rows of which `right` is False."""
    share = np.full((ROWS, len(LABELS)), 0.1)
    share[np.arange(ROWS), np.where(right, TARGET, (TARGET + 1) % 3)] = 0.8
    predicted = {part: share[rows] for part, rows in SPLIT._asdict().items()}
    monkeypatch.setattr(workflow.Task, "predict", lambda task, model: predicted)
    return predicted["test"]


def fitted(run, name, size):
    history = pd.DataFrame({"epoch": [1], "seconds": 1.0, "accuracy": 0.5, "loss": 1.0})
    return workflow.Fitted(name, SimpleNamespace(name=name, count_params=lambda: size), history, 42, run.folder)


def test_batches_hold_the_inputs_of_a_model(run, tmp_path):
    Image.new("RGB", (2, 2), (255, 0, 0)).save(tmp_path / "red.png")
    pictures = Pictures([tmp_path / "red.png"] * ROWS, (2, 2))
    inputs = {"image": pictures, "table": TABLE}
    task = workflow.Task(run, inputs, TARGET, SPLIT, LABELS, one_hot=True, evaluation_batch_size=5)
    rows = task.batches()
    arrays, target = rows.test[0]
    assert arrays["image"].shape == (5, 2, 2, 3)
    np.testing.assert_array_equal(arrays["table"], TABLE[SPLIT.test[:5]])
    np.testing.assert_array_equal(target, np.eye(3)[TARGET[SPLIT.test[:5]]])
    assert (rows.train.batch_size, rows.train.seed, task.batches(seed=4).train.seed) == (8, 3, 4)
    for name, shape in (("table", (1,)), ("image", (2, 2, 3))):
        x = keras.Input(shape, name=name)
        model = keras.Model({name: x}, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
        assert set(task.batches(model).train[0][0]) == {name}
        predicted = task.predict(model)
        assert {part: share.shape for part, share in predicted.items()} == {"validation": (9, 3), "test": (9, 3)}
    np.testing.assert_array_equal(task.rows(SPLIT.test[:2])["image"][:, 0, 0], [[255, 0, 0]] * 2)


def test_the_smallest_of_equal_ones_is_chosen_among_those_named(run, monkeypatch):
    task = workflow.Task(run, {"table": TABLE}, TARGET, SPLIT, LABELS)
    right, mixed = np.full(ROWS, True), np.arange(ROWS) % 4 > 0
    for name, size, rows in (("large", 9, right), ("small", 5, right), ("tiny", 1, right), ("poor", 2, mixed)):
        share = give(monkeypatch, rows)
        task.add(name, fitted(run, name, size), cost={"latency_ms": 2.0})
    task.add_baselines(pd.DataFrame({"x": np.zeros(ROWS)}).assign(y=TABLE), suffix=" on y")
    found = task.compare("accuracy", among=["large", "small", "poor"])
    assert found["best"] == "small"
    test = TARGET[SPLIT.test]
    assert list(found["baselines"]) == ["majority", "logistic_regression on y", "gradient_boosting on y"]
    most = np.bincount(TARGET[SPLIT.train]).argmax()
    assert found["baselines"]["majority"]["accuracy"] == metrics.accuracy_score(test, np.full(len(test), most))
    assert found["variants"]["poor"].test["log_loss"] == pytest.approx(metrics.log_loss(test, share))
    assert set(found["variants"]["poor"].train) == set(found["variants"]["poor"].test)
    assert {"loss", "confusion", "roc"} <= set(task.figures("small"))
    assert task.per_class("small")["recall"].tolist() == [1.0, 1.0, 1.0]


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
    run = workflow.Run(
        argparse.Namespace(**args, resume=False, devices=1, shard_tables=False, track=None, export=None), "tables.py"
    )
    split = splits.kept_back(table[["user"]], seed=0, unseen=0.1)
    groups, columns = (table["spent"] > 200).astype(int), table[["user", "city"]]
    encoded, options = encode_table(columns, split.train, columns=KINDS), {"ids": ["user"], "id_dropout": 0.2}
    classes = workflow.Task(run, encoded, groups, split, ("low", "middle", "high"), **options)
    amounts = workflow.Task(run, encoded, table["spent"], split, **options)
    features = encoded.encoder.features
    networks = {
        "classifier": (classes, models.embedding_classifier([features[1]], 3, name="classifier")),
        "regressor": (amounts, models.embedding_regressor(features, name="regressor")),
    }
    for name, (task, network) in networks.items():
        training.compile_model(network, "adam", **({"loss": "log_loss", "metrics": []} if task.labels else {}))
        task.add(name, task.fit(name, network))
    return run, classes, amounts


def test_some_ids_are_unknown_in_training_alone(made, table):
    _, classes, amounts = made
    assert set(classes.batches(classes.fitted["classifier"].model).train[0][0]) == {"city"}
    train, validation, _ = amounts.batches()
    assert 0.1 < np.mean(train[0][0]["user"] == 0) < 0.35
    inputs, target = validation[0]
    assert (inputs["user"] > 0).all()
    spent = table["spent"].to_numpy()[amounts.split.validation]
    np.testing.assert_allclose(amounts.scale.inverse(target), spent, rtol=1e-4, atol=1e-3)


def test_predictions_are_in_the_unit_of_the_values_and_every_part_is_evaluated(made, table):
    _, classes, amounts = made
    assert set(amounts.predicted["regressor"]) == set(amounts.scores["regressor"]) == {"validation", "test", "unseen"}
    for part, predicted in amounts.predicted["regressor"].items():
        true = table["spent"].iloc[getattr(amounts.split, part)]
        assert predicted.min() >= 0
        assert amounts.scores["regressor"][part]["mae"] == pytest.approx(metrics.mean_absolute_error(true, predicted))
    true, share = classes.tested("classifier")
    np.testing.assert_allclose(share.sum(axis=1), 1, rtol=1e-5)
    accuracy = metrics.accuracy_score(true, share.argmax(axis=1))
    assert classes.scores["classifier"]["test"]["accuracy"] == pytest.approx(accuracy)


def test_metrics_of_several_targets_come_together(made, table):
    run, classes, amounts = made
    classes.add_baselines(table[["city"]], suffix="_of_cities")
    amounts.add_baselines(table[["user", "city"]], group="user")
    compared = workflow.compare_targets([classes, amounts])
    assert list(compared["baselines"]) == [
        *("majority", "logistic_regression_of_cities", "gradient_boosting_of_cities"),
        *("mean", "ridge", "gradient_boosting", "mean_per_user"),
    ]
    classes.add_baselines(table[["city"]])
    same = workflow.compare_targets([classes, amounts])
    assert {"rmse", "accuracy"} <= set(same["baselines"]["gradient_boosting"])
    assert same["baselines"]["gradient_boosting"]["rmse"] == compared["baselines"]["gradient_boosting"]["rmse"]
    assert compared["unseen_ids"]["regressor"] == amounts.scores["regressor"]["unseen"]
    assert list(compared["unseen_ids"])[:2] == ["classifier", "regressor"]

    data = {"rows": 1200, "sha256": "", "unit": "EUR", "floors": {"noise": 3.0}}
    record = run.record(data=data, **compared, best="regressor")
    limits = {"generator": record.limits({"rmse": "noise", "mae": "unknown"})}
    frame = comparisons.unseen_ids(record, ["rmse", "mae"], limits)
    assert set(frame.index) == {"regressor", "mean", "ridge", "gradient_boosting", "mean_per_user", "generator"}
    for metric, label in (("rmse", "RMSE"), ("mae", "MAE")):
        assert frame.loc["regressor", label] == record.variants["regressor"].test[metric]
        assert frame.loc["ridge", f"{label}, unseen ids"] == compared["unseen_ids"]["ridge"][metric]
    assert frame.loc["generator"].dropna().to_dict() == {"RMSE": 3.0}


def test_one_class_is_refused(run):
    with pytest.raises(DataError, match="of one class; received 'low'"):
        workflow.Task(run, {"table": TABLE}, np.zeros(ROWS), SPLIT, LABELS)
