"""The recipe as a user starts it; the sample's own figures are checked on a whole run by `.ci/run`."""

import json
import shutil
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from kmodels import explain, models, training
from kmodels.datasets import pictures, pois
from kmodels.features import Numeric
from kmodels.pipelines import Batches
from kmodels.preprocessing import pois as preparation
from kmodels.preprocessing import row_splits

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "poi_engagement.py"


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Ninety places of the sample."""
    folder = tmp_path_factory.mktemp("few")
    table = pd.read_csv(ROOT / "data" / "pois-sample" / "pois.csv").head(90)
    for name in table["main_image_path"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "data" / "pois-sample" / name, folder / name)
    table.to_csv(folder / "pois.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def start(run_here):
    return partial(run_here, RECIPE)


def test_a_run_leaves_a_folder_that_a_person_can_open(start, few, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(few, tmp_path / "data")
    table = pd.read_csv(tmp_path / "data" / "pois.csv")
    (tmp_path / "data" / table["main_image_path"][3]).write_bytes(b"no picture")
    flags = ["--epochs", 1, "--image-size", 32, "--on-bad-image", "skip", "--class-weights", "balanced"]
    assert start("--data", "data", *flags) == 0
    assert "1 places left out for their pictures" in capsys.readouterr().out
    folder = tmp_path / "runs" / "poi_engagement"
    record = json.loads((folder / "metrics.json").read_text())
    assert set(record["variants"]) == {"compact", "image_alone", "metadata_alone"}
    assert record["best"] == "compact"
    assert record["data"]["rows"] == 89
    assert set(record["baselines"]) == {"majority", "logistic_regression on metadata", "gradient_boosting on metadata"}
    for variant in record["variants"].values():
        assert 0 <= variant["test"]["accuracy"] <= 1
    page = (folder / "report.html").read_text()
    assert f"{table['id'][3]}: {table['main_image_path'][3]}" in page
    model = keras.saving.load_model(folder / "model.keras")
    shapes = {tensor.name: tuple(tensor.shape) for tensor in model.inputs}
    assert shapes["image"] == (None, 32, 32, 3)
    assert set(shapes) == {"image", "metadata"}
    for name in ("heat", "importance", "places", "correlations", "confusion", "calibration", "accuracy_curves"):
        assert (folder / "plots" / f"{name}.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--clusters", 0], "clusters"),
        (["--engagement", "fame"], "invalid choice: 'fame'"),
        (["--model", "base", "--weights", "weights.pth"], "weights.pth"),
        (["--model", "final", "--weights", "none", "--freeze", 999], "the network has 60 parameter tensors"),
        (["--resume"], "holds no run"),
    ],
)
def test_bad_input_ends_with_2_and_one_line(start, few, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    data = [] if "--data" in arguments else ["--data", few]
    assert start(*data, *arguments) == 2
    error = capsys.readouterr().err
    assert [line for line in error.splitlines() if line.startswith("error: ")] == error.splitlines()[-1:]
    assert message in error.splitlines()[-1]


def test_the_heat_lies_on_the_planted_cue():
    """Grad-CAM of the image branch, trained a little: twice the share of the heat that chance would give."""
    data = pois.load("sample")
    split = row_splits.random_rows(len(data.table), seed=0, validation=0.1275, test=0.15)
    target = preparation.encode_pois(data.table, split.train).target
    seen = np.stack([pictures.read_picture(path, (64, 64)) for path in data.table["image"]])
    still = models.image_augmentation(brightness=0, contrast=0, saturation=0, rotation=0)
    model = models.image_classifier(
        models.compact_backbone(models.image_input((64, 64, 3), augmentation=still)), head_hidden=(64,)
    )
    training.initialize(model, 0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    training.compile_model(model, keras.optimizers.Adam(2e-3), loss=loss, metrics=["accuracy"])
    train = Batches({"image": seen[split.train]}, target[split.train], batch_size=16, shuffle=True)
    model.fit(train, epochs=8, verbose=0, shuffle=False)
    boxes = pd.read_csv(ROOT / "data" / "pois-sample" / "boxes.csv").iloc[split.test]
    shown = boxes[boxes.notna().all(axis=1)]
    heat = explain.resize(explain.grad_cam(model, {"image": seen[shown.index]}), (64, 64))
    sides = shown[["x0", "y0", "x1", "y1"]].to_numpy(float) / 2  # the files have 128 pixels a side
    shares = np.array([explain.heat_in_box(one, box) for one, box in zip(heat, sides, strict=True)])
    areas = (sides[:, 2] - sides[:, 0]) * (sides[:, 3] - sides[:, 1]) / 64**2
    assert len(shown) > 40
    assert shares.mean() >= 2 * areas.mean()


def test_fusion_final_takes_the_samples_metadata():
    model = models.fusion_final(models.image_input((32, 32, 3)), [Numeric("metadata", 22)])
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 11_214_995
