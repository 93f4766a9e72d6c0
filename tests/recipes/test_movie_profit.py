"""The films recipe as a person runs it: on the sample, on a table of their own, on bad input, resumed, tuned."""

import json
import shutil
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
RECIPE, SAMPLE = ROOT / "recipes" / "movie_profit.py", ROOT / "data" / "movies-sample"
WHOLE = "jax"
whole_run = pytest.mark.one_backend(WHOLE)
NAMED = ["profit_batchnorm", "profit_dropout", "profit_l2"]
OURS = "profit_wide_and_deep"
BASELINES = ["majority", "logistic_regression", "gradient_boosting"]
FIGURES = {"accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "pr_auc", "log_loss", "brier", "ece"}


def read(folder):
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture(scope="module")
def here(run_here):
    return partial(run_here, RECIPE)


# --- the sample, with every default; on the other backends with fewest folds and epochs


@pytest.fixture(scope="module")
def folds(runs_alone):
    return 5 if runs_alone(WHOLE) else 2


@pytest.fixture(scope="module")
def finished(tmp_path_factory, here, folds):
    out = tmp_path_factory.mktemp("recipe") / "out"
    short = [] if folds == 5 else ["--folds", folds, "--epochs", 1]
    with redirect_stdout(StringIO()) as printed:
        assert here("--out", out, *short) == 0
    return out, printed.getvalue()


@pytest.fixture(scope="module")
def metrics(finished):
    return read(finished[0])


@whole_run
def test_the_best_net_comes_near_the_bayes_classifier(metrics):
    bayes = json.loads((SAMPLE / "floors.json").read_text())["bayes_auc"]
    auc = metrics["variants"][metrics["best"]]["test"]["roc_auc"]
    assert metrics["best"] == OURS
    assert bayes - 0.02 <= auc < bayes  # above it, the test films were seen
    for name, each in metrics["baselines"].items():
        assert auc > each["roc_auc"], name


@whole_run
@pytest.mark.parametrize("net", NAMED)
def test_each_named_net_beats_the_majority(net, metrics):
    found, majority = metrics["variants"][net]["test"], metrics["baselines"]["majority"]
    assert found["accuracy"] > majority["accuracy"] + 0.015
    assert found["balanced_accuracy"] > 0.55
    assert found["log_loss"] < majority["log_loss"] - 0.03
    ahead = [fold["test"]["roc_auc"] > 0.65 for fold in metrics["folds"][net]]
    assert all(ahead)


@whole_run
def test_nothing_can_be_learnt_from_unscaled_inputs(finished, metrics):
    assert metrics["unscaled"]["unscaled"]["roc_auc"] < 0.55 < metrics["unscaled"]["scaled"]["roc_auc"]
    assert "profit_dropout, unscaled, predicts 'profit' for" in finished[1]


@whole_run
def test_the_split_by_time_costs_nothing_here(metrics):
    """The date has no effect in the sample's rule: the order of the models is that of the random folds."""
    auc = {who: each["roc_auc"] for who, each in metrics["by_time"]["test"].items()}
    assert auc[OURS] > auc["gradient_boosting"] > auc["majority"] == 0.5
    assert metrics["by_time"]["train_until"] < metrics["by_time"]["test_from"]


def test_the_output_says_what_was_found(finished, folds):
    out = finished[1]
    assert "synthetic" in out.splitlines()[0]
    assert "warning: rating" not in out
    for line in (" ± ", f"over {folds} folds", "the best baseline", "Report: "):
        assert line in out


def test_the_run_folder_is_complete(finished, folds):
    folder = finished[0]
    names = ["metrics.json", "history.csv", "config.json", "model.keras", "encoders.json", "MODEL_CARD.md"]
    for name in names:
        assert (folder / name).stat().st_size > 0, name
    plots = {path.stem for path in (folder / "plots").glob("*.png")}
    assert plots >= {"variants", "differences", "pareto", "time_and_size", "calibration", "roc", "accuracy_curves"}
    assert plots >= {"log_loss_curves", "unscaled_log_loss", "budgets", "profit_by_column", "profit_by_genre"}
    assert plots >= {f"curves_{net}" for net in (*NAMED, OURS)}
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(plots)
    for title in ("Decision threshold", "By time", "What scaling is worth", "The films"):
        assert f"<h2>{title}</h2>" in page
    history = pd.read_csv(folder / "history.csv")
    assert history["variant"].unique().tolist() == [*NAMED, OURS]
    assert history["split"].unique().tolist() == [*(f"fold_{number}" for number in range(1, folds + 1)), "by_time"]


def test_metrics_keep_the_contract(metrics, backend_name):
    assert (metrics["recipe"], metrics["backend"], metrics["seed"]) == ("movie_profit", backend_name, 0)
    assert list(metrics["variants"]) == [*NAMED, OURS]
    assert list(metrics["baselines"]) == BASELINES
    for name, each in metrics["variants"].items():
        assert set(each["test"]) == set(each["validation"]) == FIGURES
        assert each["timing"]["samples_per_s"] > 0
        assert each["test"]["roc_auc"] == pytest.approx(
            np.mean([fold["test"]["roc_auc"] for fold in metrics["folds"][name]])
        )
    assert metrics["data"]["inputs"] == ["budget", "runtime", "genres", "director"]
    assert sum(metrics["data"]["split"].values()) == metrics["data"]["rows"] == 4400
    assert set(metrics["by_time"]["test"]) == {*NAMED, OURS, *BASELINES}
    assert set(metrics["unscaled"]) >= {"scaled", "unscaled"}
    assert 0 < metrics["final"]["threshold"] < 1


def test_the_saved_model_is_the_best_one_and_loads(finished):
    import keras

    model = keras.saving.load_model(finished[0] / "model.keras")
    assert model.name == read(finished[0])["best"]
    zeros = {tensor.name: np.zeros((3, tensor.shape[1]), "float32") for tensor in model.inputs}
    assert model.predict(zeros, verbose=0).shape == (3, 2)


# --- a table of one's own, tuned, resumed


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Films under other names, with currency, gaps of all kinds, and no dates."""
    rng = np.random.default_rng(0)
    rows = 305  # without the gaps, two folds of as many films, whose nets share what is compiled
    budget = 10 ** rng.uniform(5.5, 8.0, rows)
    revenue = budget * rng.lognormal(0.5, 1.0, rows)
    table = pd.DataFrame(
        {
            "Movie": [f"Film {number}" for number in range(rows)],
            "Production Budget": [f"${value:,.0f}" for value in budget],
            "Worldwide Gross": [f"${value:,.0f}" for value in revenue],
            "Kinds": rng.choice(["Drama", "Drama;War", "Horror", ""], rows),
            "Minutes": np.where(rng.random(rows) < 0.1, "", rng.integers(80, 150, rows).astype(str)),
            "Director": [""] * rows,
            "Stars": np.where(rng.random(rows) < 0.1, "n/a", rng.uniform(3, 9, rows).round(1).astype(str)),
        }
    )
    table.loc[:4, "Worldwide Gross"] = ["", "0", "$0", "nan", "-"]
    folder = tmp_path_factory.mktemp("own")
    table.to_csv(folder / "films.csv", index=False)
    columns = "title=Movie,budget=Production Budget,revenue=Worldwide Gross,genres=Kinds,runtime=Minutes,rating=Stars"
    columns += ",director=Director"
    return ["--data", folder / "films.csv", "--columns", columns, "--separator", ";"]


@pytest.fixture(scope="module")
def tuned(own, tmp_path_factory, here, one_seed):
    out = tmp_path_factory.mktemp("tuned") / "out"
    flags = ["--all-columns", "--folds", 2, "--epochs", 1, "--tune", "random", "--trials", 2, "--out", out]
    with redirect_stdout(StringIO()) as printed:
        assert here(*own, *flags) == 0
    return out, printed.getvalue(), flags


@pytest.mark.one_backend("torch")
def test_a_table_with_other_names_and_gaps_goes_through(tuned):
    metrics = read(tuned[0])
    assert metrics["data"]["rows"] == 300
    assert metrics["data"]["dropped"] == {"no revenue": 5}
    assert metrics["data"]["inputs"] == ["budget", "runtime", "genres", "director", "rating"]
    assert "column 'director' is left out: no value" in metrics["warnings"]
    assert metrics["by_time"]["left_out"] in tuned[1]
    assert "synthetic" not in tuned[1]


@pytest.mark.one_backend("torch")
def test_all_columns_are_warned_of(tuned):
    sentence = "rating is known only after release"
    assert tuned[1].splitlines()[0].startswith(f"warning: {sentence}")
    assert sentence in read(tuned[0])["warnings"][0]
    assert sentence in (tuned[0] / "report.html").read_text()
    assert sentence in (tuned[0] / "MODEL_CARD.md").read_text()


@pytest.mark.one_backend("torch")
def test_a_search_is_told_with_what_it_brought(tuned):
    metrics = read(tuned[0])
    assert list(metrics["variants"]) == [*NAMED, OURS, "tuned"]
    assert metrics["search"]["trials"] == 2
    assert len(metrics["search"]["payoff"]) == 2
    assert "<h2>Search</h2>" in (tuned[0] / "report.html").read_text()
    # With the default settings and the same seed, the net is the wide and deep one.
    default = next(row for row in metrics["search"]["payoff"] if (row["settings"], row["seed"]) == ("default", 0))
    assert default["roc_auc"] == metrics["folds"][OURS][0]["test"]["roc_auc"]


@pytest.mark.one_backend("torch")
def test_a_killed_run_ends_as_the_unbroken_one(own, tuned, tmp_path, here):
    folder = Path(shutil.copytree(tuned[0], tmp_path / "out"))
    shutil.rmtree(folder / "fold_2" / "profit_l2")
    for name in ("metrics.json", "model.keras", "report.html", "history.csv"):
        (folder / name).unlink()
    assert here(*own, *tuned[2][:-1], folder, "--resume") == 0
    before, after = read(tuned[0]), read(folder)
    for key in ("folds", "unscaled", "final"):
        assert before[key] == after[key]
    histories = [pd.read_csv(each / "history.csv") for each in (tuned[0], folder)]
    again = (histories[0]["variant"] == "profit_l2") & (histories[0]["split"] == "fold_2")
    pd.testing.assert_frame_equal(*(each[~again] for each in histories), check_exact=True)  # the seconds too


# --- bad input


def films(**columns) -> pd.DataFrame:
    plain = {"budget": ["100"] * 40, "revenue": ["50", "500"] * 20}
    return pd.DataFrame({"title": [f"Film {number}" for number in range(40)], **plain, **columns})


BAD = {
    "zero rows after filtering": (films(revenue=["0"] * 40), "no film has both a budget and a revenue"),
    "one class only": (films(revenue=["500"] * 40), "all 40 films made a profit; expected films of both kinds"),
    "text where a number belongs": (films(budget=["100"] * 6 + ["dear"] + ["100"] * 33), "line 8, column 'budget'"),
    "negative runtime": (films(runtime=["90"] * 39 + ["-3"]), "line 41, column 'runtime': below 0"),
    "too few films of a class": (films(revenue=["50"] * 37 + ["500"] * 3), "expected 5 rows of each class or more"),
    "nothing to predict from": (films(runtime=[""] * 40), "no column can be encoded"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_data_ends_with_2_and_says_where(what, tmp_path, refused, here):
    table, place = BAD[what]
    table.to_csv(tmp_path / "films.csv", index=False)
    assert place in refused(here, tmp_path / "out", "--data", tmp_path / "films.csv")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data", "/nowhere/at/all"], "unknown data source '/nowhere/at/all'"),
        (["--columns", "budget=Cost"], "column 'Cost': there is no such column for 'budget'"),
        (["--columns", "colour=id"], "Received: 'colour'"),
        (["--columns", "budget=Worldwide Gross"], "'Worldwide Gross' is part of the revenue"),
        (["--folds", "1"], "argument --folds: must be a whole number from 2 to "),
        (["--all-columns", "--known-before-release"], "not allowed with argument"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
        (["--tune", "grid"], "argument --tune: invalid choice: 'grid'"),
        (["--resume"], "there is no config.json in it"),
    ],
)
def test_a_wrong_setting_ends_with_2_and_one_line(flags, message, tmp_path, refused, here):
    line = refused(here, tmp_path / "out", *flags)
    assert message in line


@whole_run
def test_resuming_a_run_of_other_settings_is_refused(finished, folds, capsys, here):
    before = (finished[0] / "metrics.json").read_bytes()
    assert here("--out", finished[0], "--resume", "--folds", 3) == 2
    assert f"folds is {folds} there, 3 was asked for" in capsys.readouterr().err
    assert (finished[0] / "metrics.json").read_bytes() == before
