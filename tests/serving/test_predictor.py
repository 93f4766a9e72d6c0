"""A predictor gives labels and amounts of raw rows, the same after reloading in another process."""

import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from kmodels import files, models, pipelines, serving, training
from kmodels.errors import DataError
from kmodels.preprocessing import TableEncoder, Target, splits
from kmodels.serving.predictor import load_model
from tests.mutation import mutations


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    size = rng.normal(100, 30, 400)
    city = rng.choice(["Oslo", "Rome", None], 400)
    price = 2 * size + 50 * (city == "Rome") + rng.normal(0, 5, 400)
    return pd.DataFrame({"size": size, "city": city, "price": price, "dear": np.where(price > 210, "yes", "no")})


@pytest.fixture(scope="module")
def both(frame, tmp_path_factory):
    """A predictor of each column, its folder, the column and the split."""
    folder = tmp_path_factory.mktemp("run")
    return {column: make(frame, column, folder / column) for column in ("price", "dear")}


@pytest.fixture(params=["price", "dear"])
def made(request, both):
    return both[request.param]


def make(frame, column, folder):
    split = splits.random(len(frame), seed=0)
    train = frame.iloc[split.train]
    table = TableEncoder.fit(train, drop=["price", "dear"])
    if column == "price":
        target, model, loss = Target.amount(train["price"]), models.embedding_regressor(table.features), "mse"
    else:
        target = Target.classes(train["dear"])
        model = models.embedding_classifier(table.features, target.size)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    batches = pipelines.split_batches(table.transform(frame), target.transform(frame[column]), split, batch_size=32)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    training.fit(model, batches.train, batches.validation, epochs=5, folder=folder, progress=False)
    return serving.TablePredictor(model, table, target).save(folder), folder, column, split


def test_it_learns_and_its_metrics_are_scikit_learns(made, frame):
    predictor, _, column, split = made
    test = frame.iloc[split.test]
    found, predicted = predictor.evaluate(test, test[column]), predictor.predict(test)
    if column == "price":
        assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(test["price"], predicted))
        assert found["rmse"] < 0.5 * test["price"].std()
    else:
        assert found["accuracy"] == pytest.approx(metrics.accuracy_score(test["dear"], predicted))
        assert found["accuracy"] > 0.85
        np.testing.assert_allclose(predictor.probabilities(test).sum(axis=1), 1, rtol=1e-5)


@pytest.mark.one_backend("jax")
def test_new_rows_are_predicted_from_the_saved_files_in_another_process(both, frame, tmp_path):
    rows = frame[["size", "city"]].head(5).assign(city=["Rome", "Bonn", None, "Oslo", "Rome"])
    rows.to_csv(tmp_path / "new.csv", index=False)
    code = (
        "import json, sys, pandas as pd; from kmodels import serving\n"
        "rows = pd.read_csv(sys.argv[1])\n"
        "for folder in sys.argv[2:]: print(json.dumps(serving.TablePredictor.load(folder).predict(rows).tolist()))"
    )
    command = [sys.executable, "-c", code, tmp_path / "new.csv", *(folder for _, folder, _, _ in both.values())]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    amounts, labels = (json.loads(line) for line in done.stdout.splitlines()[-2:])
    assert amounts == pytest.approx(both["price"][0].predict(rows).tolist(), rel=1e-6)
    assert labels == both["dear"][0].predict(rows).tolist()


def test_damaged_folders_are_refused(made, tmp_path):
    predictor, _, _, _ = made
    with pytest.raises(DataError, match="cannot be read"):
        serving.TablePredictor.load(tmp_path)
    predictor.save(tmp_path)
    (tmp_path / "model.keras").write_bytes(b"no model")
    with pytest.raises(DataError, match=r"model\.keras: no Keras model"):
        serving.TablePredictor.load(tmp_path)
    predictor.save(tmp_path)
    (tmp_path / "encoders.json").write_text("{}")
    with pytest.raises(DataError, match="no encoders of a table"):
        serving.TablePredictor.load(tmp_path)


def test_a_damaged_model_is_refused_or_read_as_it_was(made, tmp_path):
    predictor, folder, _, _ = made
    content, path, refused = (folder / "model.keras").read_bytes(), tmp_path / "model.keras", []
    for damaged in mutations(content, 100):
        path.write_bytes(damaged)
        try:
            found = load_model(path)
        except DataError as error:
            refused.append(str(error))
            continue
        np.testing.assert_equal(found.get_weights(), predictor.model.get_weights())
    assert len(refused) > 70
    assert all(str(path) in each for each in refused)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_model_packed_anew_is_read_unless_it_unpacks_to_far_more(made, tmp_path, monkeypatch, compression):
    predictor, folder, _, _ = made
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(folder / "model.keras") as archive, zipfile.ZipFile(path, "w", compression) as packed:
        for entry in archive.infolist():
            packed.writestr(entry.filename, archive.read(entry))
    assert path.stat().st_size < (folder / "model.keras").stat().st_size
    np.testing.assert_equal(load_model(path).get_weights(), predictor.model.get_weights())
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("assets/zeros", bytes(2**23))
    monkeypatch.setattr(files, "MOST_BYTES", 2**16)
    with pytest.raises(DataError, match=r"model\.keras: the archive unpacks to too much; expected at most"):
        load_model(path)
