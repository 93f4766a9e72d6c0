"""Classifiers of the same rows: batches of their inputs, their metrics, the choice, figures of the chosen one."""

import argparse
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn import metrics

from kmodels import workflow
from kmodels.pipelines import Pictures
from kmodels.preprocessing import splits

ROWS, LABELS = 60, ("low", "high")
TABLE = np.arange(ROWS, dtype=np.float32)[:, None]
TARGET = np.arange(ROWS, dtype=np.int32) % 2
SPLIT = splits.random(ROWS, seed=0)


@pytest.fixture
def run(tmp_path):
    return workflow.Run(argparse.Namespace(out=tmp_path, seed=3, data="x", tune=None, batch_size=8), __file__)


def shares(right):
    """Each row's class with a probability of .8, but for the rows of which `right` is False."""
    class_1 = np.where(right == TARGET, 0.8, 0.2)
    probability = np.column_stack([1 - class_1, class_1])
    return {part: probability[rows] for part, rows in SPLIT._asdict().items()}


def fitted(run, name, size):
    history = pd.DataFrame({"epoch": [1], "seconds": 1.0, "accuracy": 0.5, "loss": 1.0})
    return workflow.Fitted(name, SimpleNamespace(name=name, count_params=lambda: size), history, 42, run.folder)


def test_batches_hold_the_inputs_asked_for(run, tmp_path):
    Image.new("RGB", (2, 2), (255, 0, 0)).save(tmp_path / "red.png")
    pictures = Pictures([tmp_path / "red.png"] * ROWS, (2, 2))
    inputs = {"image": pictures, "table": TABLE}
    both = workflow.Classifiers(run, inputs, TARGET, SPLIT, LABELS, one_hot=True, evaluation_batch_size=5)
    rows = both.batches()
    arrays, target = rows.test[0]
    assert arrays["image"].shape == (5, 2, 2, 3)
    np.testing.assert_array_equal(arrays["table"], TABLE[SPLIT.test[:5]])
    np.testing.assert_array_equal(target, np.eye(2)[TARGET[SPLIT.test[:5]]])
    assert (rows.train.batch_size, rows.train.seed, both.batches(seed=4).train.seed) == (8, 3, 4)
    assert set(both.batches(["table"]).train[0][0]) == {"table"}
    assert set(both.batches(["image"]).train[0][0]) == {"image"}
    np.testing.assert_array_equal(both.inputs_of(SPLIT.test[:2])["image"][:, 0, 0], [[255, 0, 0]] * 2)


def test_the_smallest_of_equal_ones_is_chosen_among_those_named(run):
    right = np.arange(ROWS) >= 0
    mixed = np.arange(ROWS) % 3 > 0
    compared = workflow.Classifiers(run, {"table": TABLE}, TARGET, SPLIT, LABELS)
    for name, size, share in (("large", 9, right), ("small", 5, right), ("tiny", 1, right), ("poor", 2, mixed)):
        compared.add(name, fitted(run, name, size), shares(share), cost={"latency_ms": 2.0})
    constant = {part: np.tile([0.5, 0.5], (len(rows), 1)) for part, rows in SPLIT._asdict().items()}
    found = compared.compare("accuracy", {"majority": constant}, among=["large", "small", "poor"])
    assert found["best"] == "small"
    test = TARGET[SPLIT.test]
    assert found["baselines"]["majority"]["accuracy"] == metrics.accuracy_score(test, np.zeros(len(test)))
    assert found["variants"]["poor"].test["log_loss"] == pytest.approx(metrics.log_loss(test, shares(mixed)["test"]))
    assert set(found["variants"]["poor"].train) == set(found["variants"]["poor"].test)
    record = run.record(data={"rows": ROWS, "sha256": "0"}, **found)
    page = compared.write_inputs(record, "accuracy")
    assert {"loss", "confusion", "roc"} <= set(page["figures"])
    assert page["per_class"]["recall"].tolist() == [1.0, 1.0]
    assert "survey" not in page
