"""The program of docs/serving.md encodes and answers as the predictor, without pandas, Keras and kmodels."""

import csv
import importlib.util
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kmodels import models, serving, training
from kmodels.preprocessing import (
    Category,
    Clusters,
    Date,
    Id,
    Number,
    TableEncoder,
    Tags,
    Target,
    TargetMean,
)
from kmodels.preprocessing.target import Decision

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
SERVE = re.search(r'```python title="serve.py"\n(.*?)```', PAGE, re.S)[1]
SAMPLE = ROOT / "data" / "purchases-sample" / "purchases.csv"
KINDS = {
    "User_ID": Id(),
    "Product_ID": Id(),
    "Occupation": Category(min_count=20),
    "age": Category(one_hot=True, of="Age"),
    "category 2": Category(of="Product_Category_2"),
    "Product_Category_3": Category(one_hot=True),
    "Product_Category_2": Number(log=True),
    "3 unscaled": Number(scale=False, flag_missing=False, of="Product_Category_3"),
    "product": TargetMean(of="Product_ID"),
    "spot": Clusters(of=("Product_Category_1", "Product_Category_2")),
    "when": Date(),
    "labels": Tags(";"),
    "how_many": Tags(";", count=True, of="labels"),
}
BLOCKED = "import sys; sys.modules.update(dict.fromkeys(['pandas', 'keras', 'kmodels', 'scipy', 'sklearn']));"


@pytest.fixture(scope="module")
def frame():
    """Rows of the sample, with dates and labels of several in a cell, and gaps in both."""
    frame, rng = pd.read_csv(SAMPLE, nrows=400), np.random.default_rng(0)
    dates = pd.Timestamp("1968-11-30 07:15") + pd.to_timedelta(rng.integers(0, 10**9, len(frame)), unit="s")
    frame["when"] = np.where(rng.random(len(frame)) < 0.1, None, dates.strftime("%Y-%m-%dT%H:%M:%S"))
    frame["labels"] = rng.choice(["a", "b; c", "c;a;;b", "  ", None], len(frame))
    return frame


@pytest.fixture(scope="module")
def program():
    names = {"__name__": "serve"}
    exec(SERVE, names)
    return names


@pytest.mark.first_backend
def test_every_kind_of_column_is_encoded_as_by_the_encoder(frame, program):
    train, new = frame[:250], frame[250:].assign(labels=frame["labels"][250:].replace("a", "new"))
    encoder = TableEncoder.fit(train, columns=KINDS, target=train["Purchase"], drop=["Purchase"])
    rows = list(csv.DictReader(io.StringIO(new.to_csv(index=False))))
    for row in rows:  # pandas writes numbers with gaps as 8.0
        row["Product_Category_2"], row["Product_Category_3"] = (
            float(row[name]) if row[name] else None for name in ("Product_Category_2", "Product_Category_3")
        )
    found = program["encode"](json.loads(json.dumps(encoder.to_dict())), rows)
    with pytest.warns(UserWarning, match="not learnt|were not"):
        expected = encoder.transform(new)
    assert {name: (x.dtype, x.shape) for name, x in found.items()} == {
        name: (x.dtype, x.shape) for name, x in expected.items()
    }
    assert {type(kind).__name__ for kind in KINDS.values()} == set(program["ENCODE"])
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.first_backend
def test_logits_and_amounts_become_the_predictors_answers(frame, program, monkeypatch):
    table = TableEncoder.fit(frame[["Age", "Gender"]])
    for target, decision in (
        (Target.classes(frame["City_Category"]), Decision(threshold=0.4)),
        (Target.amount(frame["Purchase"], log=True), Decision(half_width=900.0, coverage=0.9, least=3000.0)),
        (Target.amount(frame["Purchase"]), Decision()),
    ):
        outputs = np.random.default_rng(0).normal(size=(9, target.size)).astype("float32")
        predictor = serving.TablePredictor(None, table, target, decision)
        found = outputs if target.labels else outputs[:, 0]
        monkeypatch.setattr(serving.TablePredictor, "_outputs", lambda self, frame, found=found: found)
        expected = predictor.score(frame[:9])
        encoders = {"target": target.to_dict(), "decision": decision.to_dict()}
        found = pd.DataFrame(program["answers"](json.loads(json.dumps(encoders)), outputs))
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-6)


@pytest.mark.first_backend
def test_the_program_serves_the_sample_as_the_predictor(tmp_path):
    for package in ("torch", "onnx", "onnxruntime", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    frame = pd.read_csv(SAMPLE, nrows=400)
    ids = {"User_ID": Id(), "Product_ID": Id(), "Occupation": Category()}  # as recipes/tabular.py reads the sample
    encoder = TableEncoder.fit(frame, columns=ids, drop=["Purchase"])
    model = training.initialize(models.tabular_regressor(encoder.features, members=2, hidden=(8,)))
    decision = Decision(half_width=3700.0, coverage=0.9, least=0.0)
    predictor = serving.TablePredictor(model, encoder, Target.amount(frame["Purchase"]), decision).save(tmp_path)
    serving.export(model, tmp_path / "model.onnx", "onnx")
    pd.read_csv(SAMPLE, skiprows=range(1, 400), nrows=100, dtype=str).to_csv(tmp_path / "rows.csv", index=False)
    program = [sys.executable, "-c", BLOCKED + SERVE, str(tmp_path), str(tmp_path / "rows.csv")]
    done = subprocess.run(program, capture_output=True, text=True, timeout=100, env={"PATH": ""})
    assert done.returncode == 0, done.stderr
    found = pd.DataFrame(map(json.loads, done.stdout.splitlines()))
    expected = predictor.score(pd.read_csv(tmp_path / "rows.csv"))
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-5)
