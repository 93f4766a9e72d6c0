"""The recipe for any table as a person runs it: on the sample, on tables of their own, on bad input, resumed, tuned."""

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "tabular.py"
WHOLE = "jax"  # where small networks train fastest
whole_run = pytest.mark.one_backend(WHOLE)
CLASSES = {"accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "pr_auc", "log_loss", "brier", "ece"}


def read(folder):
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture(scope="module")
def here(run_here):
    return partial(run_here, RECIPE)


@pytest.fixture(scope="module")
def table():
    """People and visits, with every kind of column, gaps, a class and an amount to predict."""
    rng, rows = np.random.default_rng(0), 500
    age = rng.integers(18, 80, rows).astype(float)
    age[rng.random(rows) < 0.05] = np.nan
    city = rng.choice(["Oslo", "Rome", "Bonn", None], rows)
    income = rng.lognormal(3, 0.5, rows).round(2)
    score = (np.nan_to_num(age, nan=45) - 45) / 15 + 1.5 * (city == "Rome") - 0.5 + rng.normal(0, 1, rows)
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, rows), "D")
    inputs = {"age": age, "city": city, "income": income, "zip": [f"0{each:04}" for each in rng.integers(0, 40, rows)]}
    inputs |= {"day": days, "hobbies": rng.choice(["chess;golf", "golf", "yoga;chess", ""], rows)}
    inputs |= {"person": rng.integers(0, 40, rows), "buys": np.where(score > 0, "yes", "no")}
    return pd.DataFrame({**inputs, "spent": (90 + 20 * score + rng.normal(0, 5, rows)).round(2)})


@pytest.fixture(scope="module")
def file(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "visits.csv.gz"
    table.to_csv(path, index=False)
    return path


# --- the sample, with every default


@pytest.fixture(scope="module")
def finished(run_defaults):
    return run_defaults(RECIPE)


@whole_run
def test_the_sample_says_that_it_is_synthetic_and_what_could_be_reached(finished):
    out = finished[1].splitlines()
    assert "synthetic" in out[0]
    for name in ("network", "mean", "ridge", "gradient_boosting", "generating model", "Predictions ±", "Report:"):
        assert any(line.startswith(name) for line in out), name
    assert "Traceback" not in finished[2]


@whole_run
def test_the_network_is_ahead_on_the_sample_and_its_intervals_hold(finished):
    metrics = read(finished[0])
    rmse = metrics["test"]["rmse"]
    floors = metrics["data"]["floors"]
    assert floors["oracle"] < rmse
    assert (rmse**2 - floors["oracle"] ** 2) / (floors["constant"] ** 2 - floors["oracle"] ** 2) < 0.03
    assert all(rmse < each["rmse"] for each in metrics["baselines"].values())
    intervals = metrics["intervals"]
    # Of 4,500 rows, 4 standard errors.
    assert intervals["coverage"] == pytest.approx(0.9, abs=0.025)
    assert intervals["mean_width"] <= 2 * intervals["half_width"]


# --- a table of one's own, for an epoch


@pytest.fixture(scope="module")
def classes(here, file, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "classes"
    kinds = "hobbies=tags, income=log, person=id"
    flags = ["--data", file, "--target", "buys", "--columns", kinds, "--drop", "spent", "--epochs", 2, "--out", out]
    assert here(*flags) == 0
    return out


@pytest.fixture(scope="module")
def amounts(here, file, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "amounts"
    flags = ["--data", file, "--target", "spent", "--group", "person", "--unit", "EUR", "--epochs", 2, "--out", out]
    assert here(*flags) == 0
    return out


def test_the_columns_are_what_was_asked_for_or_found(classes, amounts):
    kinds = {}
    for run in (classes, amounts):
        columns = json.loads((run / "encoders.json").read_text())["table"]["columns"]
        kinds[run] = {name: each["kind"] for name, each in columns.items()}
    found = {"age": "Number", "city": "Category", "income": "Number", "zip": "Category", "day": "Date"}
    assert kinds[classes] == {**found, "hobbies": "Tags", "person": "Id"}
    assert kinds[amounts] == {**found, "hobbies": "Category", "buys": "Category"}
    assert read(classes)["data"]["inputs"] == list(columns_of(classes))


def columns_of(run):
    return json.loads((run / "encoders.json").read_text())["table"]["columns"]


def test_the_run_folder_is_complete(classes, amounts):
    for run, title in ((classes, "Decision threshold"), (amounts, "Intervals")):
        for name in ("metrics.json", "history.csv", "config.json", "model.keras", "encoders.json", "MODEL_CARD.md"):
            assert (run / name).stat().st_size > 0, name
        plots = {plot.stem for plot in (run / "plots").glob("*.png")}
        assert plots >= {"importance", "target_by_column"}
        page = (run / "report.html").read_text()
        assert page.count("data:image/png;base64,") == len(plots)
        for heading in (title, "What the predictions rest on", "Columns"):
            assert f"<h2>{heading}</h2>" in page
    assert (classes / "plots" / "calibration.png").exists()


def test_metrics_keep_the_contract(classes, amounts, backend_name):
    found = read(classes)
    assert (found["recipe"], found["backend"], found["seed"]) == ("tabular", backend_name, 0)
    assert set(found["test"]) == set(found["validation"]) == CLASSES
    assert {name: set(each) for name, each in found["baselines"].items()} == dict.fromkeys(
        ("majority", "logistic_regression", "gradient_boosting"), CLASSES
    )
    assert set(found["at_threshold"]) == {"threshold", "accuracy", "balanced_accuracy", "macro_f1"}
    assert found["data"]["class_counts"] == {"no": 500 - sum_yes(found), "yes": sum_yes(found)}
    found = read(amounts)
    assert set(found["test"]) == {"rmse", "mae", "r2"}
    assert list(found["baselines"]) == ["mean", "ridge", "gradient_boosting"]
    assert (found["data"]["unit"], found["intervals"]["asked"]) == ("EUR", 0.9)
    assert sum(found["data"]["split"].values()) == found["data"]["rows"] == 500


def sum_yes(metrics):
    return metrics["data"]["class_counts"]["yes"]


def test_the_saved_files_predict_the_test_rows_as_the_run_did(classes, amounts, table, file):
    from kmodels import serving
    from kmodels.datasets import frames
    from kmodels.preprocessing import splits

    rows = frames.load(file).table
    test = splits.stratified(table["buys"], seed=0).test
    found = serving.TablePredictor.load(classes).evaluate(rows.iloc[test], table["buys"].iloc[test])
    assert found == pytest.approx(read(classes)["test"], rel=1e-5)
    test, metrics = splits.by_group(table["person"], seed=0).test, read(amounts)
    predictor = serving.TablePredictor.load(amounts)
    assert predictor.evaluate(rows.iloc[test], table["spent"].iloc[test]) == pytest.approx(metrics["test"], rel=1e-5)
    scored, true = predictor.score(rows.iloc[test]), table["spent"].iloc[test]
    held = (scored["prediction_low"] <= true) & (true <= scored["prediction_high"])
    assert held.mean() == pytest.approx(metrics["intervals"]["coverage"])
    assert not set(table["person"].iloc[test]) & set(table["person"].drop(index=test))


@pytest.mark.one_backend("torch")
def test_a_split_by_time_tests_on_the_newest_rows(here, file, table, tmp_path):
    flags = ["--data", file, "--target", "buys", "--time", "day", "--drop", "spent", "--epochs", 1, "--out", tmp_path]
    assert here(*flags) == 0
    newest = table["buys"][np.argsort(table["day"].to_numpy(), kind="stable")[-75:]]
    majority = read(tmp_path)["baselines"]["majority"]["accuracy"]
    assert majority in (pytest.approx((newest == "yes").mean()), pytest.approx((newest == "no").mean()))


@pytest.mark.one_backend("torch")
def test_a_finished_run_is_resumed_without_training(here, classes, file, capsys):
    before = read(classes)["test"]
    kinds = "hobbies=tags, income=log, person=id"
    flags = ["--data", file, "--target", "buys", "--columns", kinds, "--drop", "spent", "--epochs", 2, "--out", classes]
    assert here(*flags, "--resume") == 0
    assert "epoch 1/2" not in capsys.readouterr().out
    assert read(classes)["test"] == pytest.approx(before, rel=1e-5)


@pytest.mark.one_backend("torch")
def test_a_search_chooses_settings(here, file, tmp_path, one_seed):
    flags = ["--data", file, "--target", "spent", "--drop", "buys", "--epochs", 2, "--out", tmp_path / "run"]
    assert here(*flags, "--tune", "random", "--trials", 2) == 0
    found = read(tmp_path / "run")
    assert set(found["search"]["best"]) >= {"learning_rate", "hidden", "dim", "bins", "dropout", "weight_decay"}


# --- odd tables, which no backend sees as they came


def small(path, **columns):
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


@pytest.mark.one_backend("torch")
def test_disguised_targets_are_named_and_kept(here, tmp_path, capsys):
    rng = np.random.default_rng(0)
    amount = rng.normal(50, 9, 300)
    columns = {"age": rng.integers(20, 60, 300), "size": amount + rng.normal(0, 5, 300), "paid": 1.25 * amount}
    data = small(tmp_path / "t.csv", **columns, amount=amount)
    assert here("--data", data, "--target", "amount", "--epochs", 1, "--out", tmp_path / "run") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: column")]
    assert line.startswith("warning: column 'paid' alone says what the target is (rank correlation 1.0000)")
    assert any("'paid'" in text for text in read(tmp_path / "run")["warnings"])
    data = small(tmp_path / "t.csv", **columns, dear=np.where(amount > 50, "dear", "cheap"))
    assert here("--data", data, "--target", "dear", "--epochs", 1, "--out", tmp_path / "classes") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: column")]
    assert "'paid' alone says what the target is (ROC AUC 1.0000)" in line


@pytest.mark.one_backend("torch")
def test_more_columns_than_rows(here, tmp_path):
    rng = np.random.default_rng(0)
    columns = {f"gene {number}": rng.normal(size=50) for number in range(51)}
    data = small(tmp_path / "t.csv", **columns, ill=columns["gene 7"] + 0.3 * rng.normal(size=50) > 0)
    assert here("--data", data, "--target", "ill", "--epochs", 1, "--out", tmp_path / "run") == 0


@pytest.mark.one_backend("torch")
def test_a_column_that_differs_in_nearly_every_row_is_left_out_with_a_notice(here, tmp_path, capsys):
    rng = np.random.default_rng(0)
    columns = {"name": [f"person {number}" for number in range(200)], "x": rng.normal(size=200)}
    data = small(tmp_path / "t.csv", **columns, y=rng.normal(size=200))
    assert here("--data", data, "--target", "y", "--epochs", 1, "--out", tmp_path / "run") == 0
    assert "column 'name' is left out: nearly every value differs" in capsys.readouterr().out
    assert any("'name'" in text for text in read(tmp_path / "run")["warnings"])


# --- bad input: one line, and nothing lost

ROWS = {"x": [*range(40)], "city": ["Rome", "Oslo"] * 20}
AMOUNTS = [each / 3 for each in range(40)]


@pytest.mark.one_backend("torch")
@pytest.mark.parametrize(
    ("target", "flags", "message"),
    [
        (["yes"] * 40, (), "the target is constant; expected two classes or more; received ['yes']"),
        ([2.5] * 40, (), "the target is constant"),
        (["no"] * 39 + ["yes"], (), "class yes with 1"),
        (["no", "yes"] * 20, ("--task", "amounts"), "row 1, column 'y': not a number; received 'no'"),
        ([*AMOUNTS[:9], "", *AMOUNTS[10:]], (), "row 10, column 'y': an amount is missing"),
        ([*AMOUNTS[:9], "inf", *AMOUNTS[10:]], (), "row 10, column 'y': out of range; expected a finite number"),
        (["no", "yes"] * 19 + ["", "no"], (), "row 39, column 'y': a label is missing"),
        (AMOUNTS, ("--target", "z"), "column 'z': the column is missing; the nearest name is"),
        (AMOUNTS, ("--columns", "x=whole"), "--columns takes NAME=KIND, KIND one of number, log, category"),
        (AMOUNTS, ("--columns", "xx=number"), "column 'xx': the column is missing; the nearest name is 'x'"),
        (AMOUNTS, ("--columns", "city=number"), "row 1, column 'city': not a number; received 'Rome'"),
        (AMOUNTS, ("--drop", "cite"), "column 'cite': the column is missing; the nearest name is 'city'"),
        (AMOUNTS, ("--drop", "x,city"), "no column can be encoded"),
        (AMOUNTS, ("--time", "city"), "column 'city': times are not a column of numbers or dates"),
        (AMOUNTS, ("--group", "city"), "too few groups"),
        (AMOUNTS, ("--time", "x", "--group", "x"), "not allowed with argument"),
    ],
)
def test_bad_input_is_one_clear_line_and_nothing_is_lost(here, refused, tmp_path, target, flags, message):
    data, out = small(tmp_path / "t.csv", **ROWS, y=target), tmp_path / "run"
    assert message in refused(here, out, "--data", data, "--target", "y", *flags)
    assert not out.exists()


@pytest.mark.one_backend("torch")
def test_an_infinite_amount_in_parquet_is_refused(here, refused, tmp_path):
    pytest.importorskip("pyarrow")
    pd.DataFrame({**ROWS, "y": [*AMOUNTS[:9], np.inf, *AMOUNTS[10:]]}).to_parquet(tmp_path / "t.parquet")
    line = refused(here, tmp_path / "run", "--data", tmp_path / "t.parquet", "--target", "y")
    assert "row 10, column 'y': out of range; expected a finite number; received inf" in line


@pytest.mark.one_backend("torch")
def test_a_target_must_be_named(here, refused, tmp_path):
    line = refused(here, tmp_path / "run", "--data", small(tmp_path / "t.csv", **ROWS))
    assert re.search("--target must name the column", line)
