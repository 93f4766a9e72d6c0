"""The Fashion-MNIST recipe as a person runs it: the sample, a resumed run, a search, bad input."""

import gzip
import json
import shutil
import struct
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from kmodels.datasets import fashion_mnist
from kmodels.evaluation import classification

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "fashion_mnist.py"
WHOLE = "jax"
whole_run = pytest.mark.one_backend(WHOLE)


@pytest.fixture(scope="module")
def start(run_here):
    return partial(run_here, RECIPE)


def write_idx(file: Path, array: np.ndarray) -> None:
    header = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
    file.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0))


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """The sample's first 400 training and 100 test pictures."""
    folder, data = tmp_path_factory.mktemp("few"), fashion_mnist.load("sample")
    for part, images, labels, rows in (
        ("train", data.train_images, data.train_labels, 400),
        ("t10k", data.test_images, data.test_labels, 100),
    ):
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images[:rows, :, :, 0])
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels[:rows])
    return folder


# --- the smallest variant on the whole sample; on the other backends for one epoch


@pytest.fixture(scope="module")
def finished(start, tmp_path_factory, runs_alone):
    out = tmp_path_factory.mktemp("sample") / "run"
    assert start("--variants", "narrow", "--epochs", 8 if runs_alone(WHOLE) else 1, "--out", out) == 0
    return out


@pytest.fixture(scope="module")
def record(finished):
    return json.loads((finished / "metrics.json").read_text())


@whole_run
def test_the_smallest_network_beats_its_baselines_and_stays_below_the_ceiling(record):
    accuracy = record["variants"]["narrow"]["test"]["accuracy"]
    assert record["variants"]["narrow"]["train"]["accuracy"] > 0.8
    assert accuracy > max(each["accuracy"] for each in record["baselines"].values())
    assert accuracy < record["data"]["floors"]["ceiling"] + 0.01


def test_the_record_holds_what_a_choice_needs(record, backend_name):
    assert (record["recipe"], record["backend"], record["best"]) == ("fashion_mnist", backend_name, "narrow")
    assert record["choice"].startswith("narrow was chosen")
    assert set(record["baselines"]) == {"majority", "logistic_regression", "random_forest"}
    assert record["data"]["split"] == {"train": 3600, "validation": 400, "test": 1000}
    each = record["variants"]["narrow"]
    assert set(each["cost"]) == {"s_per_epoch", "latency_ms", "file_kib"}
    assert min(each["cost"].values()) > 0


def test_the_saved_model_takes_raw_pictures_and_gives_the_recorded_accuracy(finished, record):
    model, data = keras.saving.load_model(finished / "model.keras"), fashion_mnist.load("sample")
    share = classification.softmax(model.predict({"image": data.test_images}, batch_size=500, verbose=0))
    assert classification.evaluate(data.test_labels, share)["accuracy"] == pytest.approx(
        record["variants"]["narrow"]["test"]["accuracy"], abs=0.0021
    )


def test_page_card_and_pictures_are_there(finished):
    drawn = {path.stem for path in (finished / "plots").glob("*.png")}
    assert {"variants", "pareto", "time_and_size", "accuracy_curves", "loss_curves", "confusion", "hardest"} <= drawn
    assert "Which epoch of each is kept" in (finished / "report.html").read_text()
    assert "fashion_narrow" in (finished / "MODEL_CARD.md").read_text()


def test_the_spaces_defaults_are_the_recipes(finished):
    keras_tuner = pytest.importorskip("keras_tuner")
    from kmodels import tuning

    settings = json.loads((finished / "config.json").read_text())
    defaults = tuning.cnn_space(keras_tuner.HyperParameters())
    assert defaults == {name: settings[name] for name in defaults}


# --- several variants on few pictures


COMPARED = "--variants", "narrow,base", "--epochs", 2, "--batch-size", 40, "--mirrored", "--precision", "mixed_bfloat16"


@pytest.fixture(scope="module")
def compared(start, few, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared") / "run"
    assert start("--data", few, *COMPARED, "--out", out) == 0
    return out


@pytest.mark.one_backend("jax")
def test_one_variant_after_the_other_is_written_down(compared):
    found = json.loads((compared / "metrics.json").read_text())
    assert list(found["variants"]) == ["narrow", "base"]
    assert pd.read_csv(compared / "history.csv").groupby("variant").size().to_dict() == {"narrow": 2, "base": 2}
    assert found["variants"]["base"]["model"]["parameters"] == 50_282 + 2 * (32 + 64)  # and statistics
    assert found["data"]["floors"] == {}


@pytest.mark.one_backend("jax")
def test_the_saved_model_is_float32_and_says_the_same_of_a_mirrored_picture(compared):
    model, pictures = keras.saving.load_model(compared / "model.keras"), fashion_mnist.load("sample").test_images[:20]
    assert {layer.compute_dtype for layer in model._flatten_layers() if layer.weights} == {"float32"}
    said, other = (model.predict({"image": some}, verbose=0) for some in (pictures, pictures[:, :, ::-1]))
    np.testing.assert_allclose(said, other, rtol=1e-4, atol=1e-5)
    assert np.abs(said - said[:1]).max() > 1e-3


@pytest.mark.one_backend("jax")
def test_a_finished_run_is_resumed_without_training(start, few, compared):
    before = json.loads((compared / "metrics.json").read_text())["variants"]
    assert start("--data", few, *COMPARED, "--out", compared, "--resume") == 0
    after = json.loads((compared / "metrics.json").read_text())["variants"]
    for name in before:
        assert before[name]["test"] == after[name]["test"]
        assert before[name]["timing"]["fit_s"] == pytest.approx(after[name]["timing"]["fit_s"])


@pytest.mark.one_backend("torch")
@pytest.mark.usefixtures("one_seed")
def test_a_search_ends_in_settings_and_the_report(start, few, tmp_path, capsys):
    # Without augmentation: to trace its layers takes longest, and each model does it anew.
    flags = "--variants", "narrow", "--no-augment", "--epochs", 1, "--batch-size", 40, "--tune", "random", "--trials", 2
    assert start("--data", few, *flags, "--out", tmp_path / "run") == 0
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert found["search"]["trials"] == 2
    asked = {"learning_rate", "weight_decay", "label_smoothing", "erase"}
    assert set(found["search"]["best"]) == asked | {"trial", "val_log_loss"}
    assert [(run["settings"], run["seed"]) for run in found["search"]["payoff"]] == [("default", 0), ("tuned", 0)]
    assert "search_trials" in {path.stem for path in (tmp_path / "run" / "plots").glob("*.png")}


# --- bad input


def other_magic(folder):
    file = folder / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(gzip.compress(b"\0\0\x08\x03" + gzip.decompress(file.read_bytes())[4:]))


def fewer_labels(folder):
    write_idx(folder / "train-labels-idx1-ubyte.gz", np.zeros(399))


def one_file_less(folder):
    (folder / "train-images-idx3-ubyte.gz").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (other_magic, "magic"),
        (fewer_labels, "pictures and labels differ in number"),
        (one_file_less, "train-images-idx3-ubyte"),
    ],
)
@pytest.mark.first_backend
def test_damaged_data_ends_with_2_and_one_line(start, few, tmp_path, capsys, damage, message):
    shutil.copytree(few, tmp_path / "data")
    damage(tmp_path / "data")
    assert start("--data", tmp_path / "data", "--out", tmp_path / "run") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--variants", "narrow,broad"], "must be 'all' or some of narrow,base"),
        (["--schedule", "stairs"], "argument --schedule: invalid choice"),
        (["--label-smoothing", "1.5"], "must be a number from 0 to 1"),
        (["--learning-rate", "0"], "must be a number above 0"),
        (["--resume"], "holds no run"),
    ],
)
@pytest.mark.first_backend
def test_a_wrong_setting_ends_with_2_and_one_line(start, few, tmp_path, capsys, flags, message):
    assert start("--data", few, "--out", tmp_path / "run", *flags) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
