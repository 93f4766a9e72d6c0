"""The recipe as a user starts it; the sample's own figures are checked on a whole run by `.ci/run`."""

import importlib.util
import json
import shutil
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kmodels import explain, models, training
from kmodels.datasets import pois
from kmodels.features import Numeric
from kmodels.pipelines import Pictures, picture_statistics, split_batches
from kmodels.preprocessing import Target, splits

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "poi_engagement.py"
WHOLE = "torch"
whole_run = pytest.mark.one_backend(WHOLE)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A hundred and twenty places of the sample."""
    folder = tmp_path_factory.mktemp("few")
    table = pd.read_csv(ROOT / "data" / "pois-sample" / "pois.csv").head(120)
    for name in table["main_image_path"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "data" / "pois-sample" / name, folder / name)
    table.to_csv(folder / "pois.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def start(run_here):
    return partial(run_here, RECIPE)


@pytest.fixture(scope="module")
def searches(runs_alone):
    return runs_alone(WHOLE) and importlib.util.find_spec("keras_tuner") is not None


@pytest.fixture(scope="module")
def folder(start, few, tmp_path_factory, searches, request):
    """A run on places of which one has no picture; with a search where one costs least."""
    data, out = tmp_path_factory.mktemp("data") / "pois", tmp_path_factory.mktemp("out")
    shutil.copytree(few, data)
    table = pd.read_csv(data / "pois.csv")
    (data / table["main_image_path"][3]).write_bytes(b"no picture")
    # A category that no other place has, outside training; and a column without any value.
    loaded = table.index.drop(3)
    alone = loaded[splits.random(len(loaded), seed=0, validation=0.1, test=0.2).test[0]]
    table.loc[alone, "categories"] = "['Lighthouse']"
    table["tags"] = ""
    table.to_csv(data / "pois.csv", index=False)
    flags = ["--epochs", 1, "--image-size", 16, "--on-bad-image", "skip", "--class-weights", "balanced"]
    if searches:
        request.getfixturevalue("one_seed")
        flags += ["--tune", "random", "--trials", 2]
    assert start("--data", data, "--out", out, *flags) == 0
    return out


def test_a_run_leaves_a_folder_that_a_person_can_open(folder, few):
    record = json.loads((folder / "metrics.json").read_text())
    assert set(record["variants"]) == {"compact", "image_alone", "metadata_alone"}
    assert record["best"] == "compact"
    assert (record["data"]["rows"], record["data"]["left_out"]) == (119, 1)
    assert set(record["baselines"]) == {"majority", "logistic_regression on metadata", "gradient_boosting on metadata"}
    for variant in record["variants"].values():
        assert 0 <= variant["test"]["accuracy"] <= 1
    table = pd.read_csv(few / "pois.csv")
    page = (folder / "report.html").read_text()
    assert f"{table['id'][3]}: {table['main_image_path'][3]}" in page
    model = keras.saving.load_model(folder / "model.keras")
    shapes = {tensor.name: tuple(tensor.shape) for tensor in model.inputs}
    assert shapes == {"image": (None, 16, 16, 3), "metadata": (None, 21)}
    for name in ("heat", "importance", "places", "correlations", "confusion", "calibration", "accuracy_curves", "shap"):
        assert (folder / "plots" / f"{name}.png").stat().st_size > 5000


@whole_run
def test_the_winner_of_a_search_is_what_is_trained_and_stands_beside_the_default(folder, searches):
    if not searches:
        pytest.skip("needs KerasTuner")
    metrics = json.loads((folder / "metrics.json").read_text())
    found = metrics["search"]
    assert (found["algorithm"], found["trials"], found["completed"]) == ("random", 2, 2)
    assert set(found["best"]) == {"trial", "val_loss", "learning_rate", "weight_decay", "dropout"}
    model = keras.saving.load_model(folder / "model.keras")
    assert model.get_layer("metadata_dropout").rate == found["best"]["dropout"]
    runs = {(run["settings"], run["seed"]): run for run in found["payoff"]}
    assert set(runs) == {("default", 0), ("tuned", 0)}
    # The run itself is one of them, on the same rows.
    assert runs["tuned", 0]["log_loss"] == pytest.approx(metrics["variants"]["compact"]["test"]["log_loss"], rel=1e-4)
    assert found["verdict"] in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--clusters", 0], "clusters"),
        (["--engagement", "fame"], "invalid choice: 'fame'"),
        (["--model", "base", "--image-size", 32, "--weights", "weights.pth"], "weights.pth"),
        (["--model", "final", "--weights", "none", "--freeze", 999], "the network has 60 parameter tensors"),
        (["--resume"], "holds no run"),
    ],
)
@pytest.mark.first_backend
def test_bad_input_ends_with_2_and_one_line(start, few, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    data = [] if "--data" in arguments else ["--data", few]
    assert start(*data, *arguments) == 2
    error = capsys.readouterr().err
    assert [line for line in error.splitlines() if line.startswith("error: ")] == error.splitlines()[-1:]
    assert message in error.splitlines()[-1]


def heat_in_box(heat, box):
    """The share of a map's heat that lies in a box of pixels; a pixel counts by the part of it that is inside."""
    left, top, right, bottom = box
    grown = np.asarray(Image.fromarray(heat).resize((64, 64), Image.Resampling.BILINEAR))
    rows, columns = (
        np.clip(np.minimum(np.arange(64) + 1, end) - np.maximum(np.arange(64), start), 0, 1)
        for start, end in ((top, bottom), (left, right))
    )
    return (grown * np.outer(rows, columns)).sum() / grown.sum()


@whole_run
def test_the_heat_lies_on_the_planted_cue():
    """Grad-CAM of the image branch, trained a little: twice the share of the heat that chance would give."""
    table = pois.load("sample").table
    split = splits.random(len(table), seed=0, validation=0.1, test=0.2)
    score = pois.engagement(table)
    target = Target.quantiles(score[split.train], ["low", "middle", "high"]).transform(score)
    pictures = Pictures(table["image"].tolist(), (64, 64))
    rows = split_batches({}, target, split, parts=lambda rows: [pictures.at(rows)], batch_size=16)
    mean, std = picture_statistics(pictures, split.train)
    model = models.fusion_classifier(
        models.image_input((64, 64, 3), mean=mean, std=std), (), backbone="compact", head_hidden=()
    )
    training.initialize(model, 0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    training.compile_model(model, keras.optimizers.Adam(2e-3), loss=loss, metrics=["accuracy"])
    model.fit(rows.train, epochs=4, verbose=0, shuffle=False)
    boxes = pd.read_csv(ROOT / "data" / "pois-sample" / "boxes.csv").iloc[split.test]
    shown = boxes.notna().all(axis=1).to_numpy()
    inputs = pictures(split.test[shown])
    heat = explain.grad_cam(model, inputs)
    sides = boxes.loc[shown, ["x0", "y0", "x1", "y1"]].to_numpy(float) / 2  # the files have 128 pixels a side
    shares = np.array([heat_in_box(one, box) for one, box in zip(heat, sides, strict=True)])
    areas = (sides[:, 2] - sides[:, 0]) * (sides[:, 3] - sides[:, 1]) / 64**2
    assert len(shown) == 200
    assert shares.mean() >= 2 * areas.mean()


@pytest.mark.first_backend
def test_fusion_final_takes_the_samples_metadata():
    model = models.fusion_classifier(
        models.image_input((32, 32, 3)), [Numeric("metadata", 22)], **models.presets.FUSION["final"]
    )
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 11_214_995
