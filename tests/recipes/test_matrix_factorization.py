"""The matrix factorisation recipe as a person runs it, and the search for neighbours in what it leaves."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
RECIPE, RECOMMEND = ROOT / "recipes" / "matrix_factorization.py", ROOT / "recipes" / "recommend.py"
SAMPLE = ROOT / "data" / "movielens-sample"
WHOLE = "jax"
whole_run = pytest.mark.one_backend(WHOLE)
VARIANTS = ["a_small", "b_medium", "c_wide", "numpy_from_scratch"]
BASELINES = ["global_mean", "linear_regression", "alternating_least_squares"]
ERRORS = {"rmse", "mae", "r2"}


@pytest.fixture(scope="module")
def run(run_here):
    return run_here


def read(folder):
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture(scope="module")
def finished(run_defaults, runs_alone):
    """One run with every default; on the other backends for one epoch."""
    return run_defaults(RECIPE, *([] if runs_alone(WHOLE) else ["--epochs", 1]))[:2]


@pytest.fixture(scope="module")
def metrics(finished):
    return read(finished[0])


def test_the_first_line_says_that_the_data_is_synthetic(finished):
    assert "synthetic" in "\n".join(finished[1].splitlines()[:1])


def test_the_record_has_what_every_recipe_promises(metrics, backend_name):
    assert (metrics["recipe"], metrics["backend"]) == ("matrix_factorization", backend_name)
    assert list(metrics["variants"]) == VARIANTS
    assert list(metrics["baselines"]) == BASELINES
    assert metrics["best"] in VARIANTS[:3]
    for each in metrics["variants"].values():
        assert set(each["test"]) == set(each["validation"]) == ERRORS
        assert {"load_s", "prepare_s", "fit_s", "epochs", "samples_per_s", "evaluate_s"} <= set(each["timing"])
    assert metrics["data"]["split"] == {"train": 27538, "validation": 6000, "test": 6462}


@whole_run
def test_a_network_comes_within_3_percent_of_what_can_be_learnt_and_a_linear_model_does_not(metrics):
    learnable = metrics["data"]["floors"]["learnable"]
    test = {name: each["test"]["rmse"] for name, each in metrics["variants"].items()}
    assert min(test["b_medium"], test["c_wide"]) < 1.03 * learnable
    assert max(test.values()) < 1.1 * learnable
    assert metrics["baselines"]["linear_regression"]["rmse"] > 1.3 * learnable
    assert metrics["baselines"]["global_mean"]["rmse"] > metrics["baselines"]["linear_regression"]["rmse"]
    # Better than the noise would be a leak.
    assert min(test.values()) > metrics["data"]["floors"]["oracle"]


def test_the_distance_of_each_to_both_floors_is_written(finished, metrics):
    floors = metrics["data"]["floors"]
    for name in VARIANTS:
        rmse = metrics["variants"][name]["test"]["rmse"]
        for floor, value in floors.items():
            found = metrics["variants"][name]["above_floor_percent"][floor]
            assert found == pytest.approx(100 * (rmse / value - 1))
        line = next(line for line in finished[1].splitlines() if line.startswith(f"{name} ") and "." in line)
        assert float(line.split()[1]) == pytest.approx(rmse, abs=1e-3)
    assert any(line.startswith("learnable ") for line in finished[1].splitlines())


def test_the_best_model_is_kept_and_predicts_as_the_record_says(finished, metrics):
    folder, _ = finished
    model = keras.saving.load_model(folder / "model.keras")
    assert model.name == f"mf_{metrics['best']}"
    assert model.count_params() == metrics["variants"][metrics["best"]]["model"]["parameters"]
    history = pd.read_csv(folder / "history.csv")
    assert history.groupby("variant").size().to_dict() == {
        name: metrics["variants"][name]["timing"]["epochs"] for name in VARIANTS
    }


def test_page_and_pictures_are_there(finished, metrics):
    folder, _ = finished
    page = (folder / "report.html").read_text()
    for distance in metrics["variants"][metrics["best"]]["above_floor_percent"].values():
        assert f"{distance:.1f} %" in page
    assert "stars" in page
    for name in ("variants", "rmse_curves", "time_and_size", "items"):
        assert (folder / "plots" / f"{name}.png").stat().st_size > 5000
    card = (folder / "MODEL_CARD.md").read_text()
    assert "user_id" in card
    assert f"{metrics['data']['rows']:,}" in card


# --- another format, resumed, and asked for neighbours


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = Path(shutil.copytree(SAMPLE, tmp_path_factory.mktemp("small") / "data"))
    lines = (SAMPLE / "ratings.dat").read_text().splitlines(keepends=True)
    (folder / "ratings.dat").write_text("".join(line for line in lines if int(line.split("::")[0]) <= 120))
    return folder


@pytest.fixture(scope="module")
def flags(small, tmp_path_factory):
    out = tmp_path_factory.mktemp("films") / "run"
    search = ["--tune", "bayesian", "--trials", 2]
    return ["--data", small, "--out", out, "--epochs", 2, "--batch-size", 256, *search]


@pytest.fixture(scope="module")
def films(run, flags, one_seed):
    """A run with a search."""
    assert run(RECIPE, *flags) == 0
    return flags[3]


@pytest.mark.one_backend("tensorflow")
def test_movielens_files_have_no_floors_and_are_rated_within_the_stars(films):
    record = read(films)
    assert record["data"]["floors"] == {}
    assert record["data"]["format"] == "ml-1m"
    assert record["variants"]["c_wide"]["test"]["rmse"] < record["baselines"]["global_mean"]["rmse"]
    assert record["variants"]["c_wide"]["above_floor_percent"] == {}


@pytest.mark.one_backend("tensorflow")
def test_a_search_adds_a_network_of_its_own_and_a_resumed_one_repeats_nothing(run, films, flags):
    record, journal = read(films), (films / "search" / "journal.jsonl").read_bytes()
    assert list(record["variants"]) == [*VARIANTS[:3], "tuned", VARIANTS[3]]
    found = record["search"]
    assert (found["algorithm"], found["trials"], found["completed"]) == ("bayesian", 2, 2)
    runs = {(each["settings"], each["seed"]): each["rmse"] for each in found["payoff"]}
    assert len(runs) == len(found["payoff"]) == 2
    # The variants are among them: they were trained on the same rows with the first seed.
    assert runs["tuned", 0] == pytest.approx(record["variants"]["tuned"]["test"]["rmse"], rel=1e-5)
    assert runs["default", 0] == pytest.approx(record["variants"]["c_wide"]["test"]["rmse"], rel=1e-5)
    assert found["verdict"] in (films / "report.html").read_text()
    (films / "metrics.json").unlink()
    assert run(RECIPE, *flags, "--resume") == 0
    again = read(films)
    assert (films / "search" / "journal.jsonl").read_bytes() == journal
    assert again["search"] == found
    assert {name: each["test"] for name, each in again["variants"].items()} == {
        name: each["test"] for name, each in record["variants"].items()
    }


@pytest.mark.one_backend("tensorflow")
def test_neighbours_are_found_in_the_run_folder(run, films, capsys):
    assert run(RECOMMEND, films, "--similar-to", 7, "--column", "user_id", "--k", 3) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-4] == ["rank", "neighbour", "similarity"]
    assert [line[0] for line in lines[-3:]] == ["1", "2", "3"]
    model = keras.saving.load_model(films / "model.keras")
    vocabulary = json.loads((films / "encoders.json").read_text())["user_id"]["values"]
    table = model.get_layer("user_embedding").get_weights()[0]
    units = table / np.linalg.norm(table, axis=1, keepdims=True)
    cosine = units @ units[vocabulary.index(7) + 1]
    cosine[[0, vocabulary.index(7) + 1]] = -2
    assert [int(line[1]) for line in lines[-3:]] == [vocabulary[i - 1] for i in np.argsort(-cosine)[:3]]
    assert [float(line[2]) for line in lines[-3:]] == pytest.approx(np.sort(cosine)[:-4:-1], abs=1e-4)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data", "/nowhere/at/all"], "unknown data source '/nowhere/at/all'"),
        (["--epochs", "0"], "argument --epochs: must be a whole number from 1 to "),
        (["--resume"], "there is no config.json in it"),
    ],
)
@pytest.mark.first_backend
def test_a_wrong_setting_ends_with_2_and_one_line(run, flags, message, tmp_path, capsys):
    assert run(RECIPE, "--out", tmp_path / "out", *flags) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
