"""Rows of files scored by finished runs: all of them in order, with gaps, new ids, other types; or one clear line."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
PREDICT, RECIPES = ROOT / "recipes" / "predict.py", ROOT / "recipes"
pytestmark = pytest.mark.one_backend("torch")  # the runs' own tests predict from saved files on each backend


@pytest.fixture(scope="module")
def predict(run_here):
    return partial(run_here, PREDICT)


@pytest.fixture(scope="module")
def table():
    rng, rows = np.random.default_rng(0), 300
    age, city = rng.integers(18, 80, rows).astype(float), rng.choice(["Oslo", "Rome", "Bonn"], rows)
    age[::17] = np.nan
    zips, who = [f"0{each:04}" for each in rng.integers(0, 9, rows)], rng.integers(100, 130, rows)
    grade = rng.choice(["1.0", "2.50", "A"], rows)
    score = np.nan_to_num(age, nan=45) / 10 + 3 * (city == "Rome") + rng.normal(0, 1, rows)
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, rows), "D")
    columns = {"who": who, "age": age, "city": city, "zip": zips, "grade": grade, "day": days}
    return pd.DataFrame({**columns, "spent": score.round(2), "buys": np.where(score > 5.5, "yes", "no")})


@pytest.fixture(scope="module")
def runs(run_here, table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    table.to_csv(folder / "train.csv", index=False)
    flags = ["--data", folder / "train.csv", "--epochs", 2, "--columns", "who=id"]
    for target, other in (("spent", "buys"), ("buys", "spent")):
        out = ["--target", target, "--drop", other, "--out", folder / target]
        assert run_here(RECIPES / "tabular.py", *flags, *out) == 0
    return folder


def scored(predict, run, rows, tmp_path, *flags, name="scored.csv", **options):
    """What is written of rows that a person has in a file."""
    rows.to_csv(tmp_path / "new.csv", index=False, **options)
    assert predict(run, tmp_path / "new.csv", "--out", tmp_path / name, *flags) == 0
    return pd.read_csv(tmp_path / name, dtype={"zip": str, "grade": str})


def test_rows_in_are_rows_out_with_all_columns_in_order(predict, runs, table, tmp_path):
    rows = table.drop(columns=["spent", "buys"]).sample(frac=1, random_state=1)
    found = scored(predict, runs / "buys", rows, tmp_path)
    assert list(found) == [*rows, "prediction", "probability_no", "probability_yes"]
    given = pd.read_csv(tmp_path / "new.csv", dtype={"zip": str, "grade": str})
    pd.testing.assert_frame_equal(found[list(rows)], given)
    np.testing.assert_allclose(found["probability_no"] + found["probability_yes"], 1)
    assert (found["prediction"] == np.where(found["probability_yes"] > 0.5, "yes", "no")).all()
    # The same rows in another order have the same predictions.
    again = scored(predict, runs / "buys", table, tmp_path).loc[rows.index]
    np.testing.assert_allclose(found["probability_yes"], again["probability_yes"], rtol=1e-5)


def test_amounts_have_intervals_and_the_figures_of_the_run(predict, runs, table, tmp_path):
    from kmodels.preprocessing import splits

    found = scored(predict, runs / "spent", table, tmp_path)
    metrics, test = json.loads((runs / "spent" / "metrics.json").read_text()), splits.random(300, seed=0).test
    error = (found["prediction"] - table["spent"]).to_numpy()[test]
    assert (error**2).mean() ** 0.5 == pytest.approx(metrics["test"]["rmse"], rel=1e-5)
    held = table["spent"].between(found["prediction_low"], found["prediction_high"]).to_numpy()[test]
    assert held.mean() == pytest.approx(metrics["intervals"]["coverage"])
    width = found["prediction_high"] - found["prediction_low"]
    assert width.max() == pytest.approx(2 * metrics["intervals"]["half_width"], rel=1e-5)


def test_a_threshold_of_the_run_can_decide(predict, runs, table, tmp_path):
    threshold = json.loads((runs / "buys" / "metrics.json").read_text())["at_threshold"]["threshold"]
    found = scored(predict, runs / "buys", table, tmp_path, "--balanced")
    assert (found["prediction"] == np.where(found["probability_yes"] >= threshold, "yes", "no")).all()


def test_new_ids_gaps_and_other_columns_are_taken(predict, runs, table, tmp_path, capsys):
    rows = table.head(6).drop(columns=["spent", "buys"]).astype({"who": object})
    rows.loc[0, "who"], rows.loc[1, "who"], rows.loc[2, "city"] = 999_999, None, "Paris"
    rows.loc[3, ["age", "city", "day"]] = None
    found = scored(predict, runs / "spent", rows.assign(note="hello", weight=3), tmp_path)
    assert len(found) == 6
    assert found["prediction"].notna().all()
    assert found["note"].eq("hello").all()
    warned = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert [line for line in warned if "note, weight" in line] == [
        "warning: columns that the training rows did not have are left out: note, weight"
    ]
    assert "warning: 1 rows without who are predicted as of an unknown one" in warned
    assert any("'Paris'" in line for line in warned)
    # As is known of the rest: a new and a missing id are both unknown.
    rows.loc[1] = rows.loc[0]
    rows.loc[1, "who"] = None
    found = scored(predict, runs / "spent", rows, tmp_path)
    assert found["prediction"][0] == pytest.approx(found["prediction"][1])


def test_other_types_of_the_same_values_change_nothing(predict, runs, table, tmp_path):
    pytest.importorskip("pyarrow")
    some = table["grade"] != "A"  # of these rows, all grades look like numbers
    expected = scored(predict, runs / "spent", table, tmp_path)["prediction"][some]
    rows = table.drop(columns=["spent", "buys"])[some].reset_index(drop=True)
    quoted = scored(predict, runs / "spent", rows.astype(str).replace("nan", ""), tmp_path, quoting=1)["prediction"]
    np.testing.assert_allclose(quoted, expected, rtol=1e-6)
    others = rows.assign(
        who=rows["who"].astype(float),
        age=rows["age"].map("{:.1f}".format, na_action="ignore"),
        zip=rows["zip"].astype("category"),
    )
    others.to_parquet(tmp_path / "new.parquet")
    assert predict(runs / "spent", tmp_path / "new.parquet", "--out", tmp_path / "out.parquet") == 0
    found = pd.read_parquet(tmp_path / "out.parquet")
    np.testing.assert_allclose(found["prediction"], expected, rtol=1e-6)
    assert len(found.columns) == len(rows.columns) + 3


@pytest.mark.first_backend
def test_one_row_and_packed_files(predict, runs, table, tmp_path):
    assert len(scored(predict, runs / "buys", table.head(1), tmp_path, name="one.csv.gz")) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda rows: rows.rename(columns={"age": "Age"}),
            "column 'age': the column is missing; the nearest name is 'Age'",
        ),
        (lambda rows: rows.assign(age="old"), "row 1, column 'age': not a number; received 'old'"),
        (lambda rows: rows.assign(age=["1", "2", "inf"]), "row 3, column 'age': out of range"),
        (lambda rows: rows.assign(day="soon"), "row 1, column 'day': not a date"),
        (lambda rows: rows.assign(prediction=1), "already has what is to be written: prediction"),
        (lambda rows: rows.head(0), "the table has no row"),
    ],
)
@pytest.mark.first_backend
def test_what_cannot_be_scored_is_one_line_and_an_earlier_file_stays(
    predict, runs, table, tmp_path, capsys, change, message
):
    change(table.head(3)).to_csv(tmp_path / "new.csv", index=False)
    out = tmp_path / "scored.csv"
    out.write_text("earlier")
    assert predict(runs / "buys", tmp_path / "new.csv", "--out", out) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert out.read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.csv", "scored.csv"]


@pytest.mark.parametrize(
    ("run", "flags", "message"),
    [
        ("none", [], "encoders.json: cannot be read"),
        ("spent", ["--balanced"], "there is no threshold"),
        ("spent", ["--columns", "a=b"], "--columns is for runs of recipes"),
        ("spent", ["--out", "scored.txt"], "--out must end in .csv, .csv.gz, .parquet"),
        ("spent", ["--out", "nowhere/scored.csv"], "--out: there is no folder nowhere"),
    ],
)
@pytest.mark.first_backend
def test_what_was_asked_for_amiss(predict, runs, table, tmp_path, capsys, monkeypatch, run, flags, message):
    monkeypatch.chdir(tmp_path)
    table.head(3).to_csv("new.csv", index=False)
    assert predict(runs / run, "new.csv", *(["--out", "scored.csv"] if "--out" not in flags else []), *flags) == 2
    assert message in capsys.readouterr().err
    assert not Path("scored.csv").exists()


@pytest.mark.first_backend
def test_the_file_that_is_read_is_never_written(predict, runs, table, tmp_path, capsys):
    table.head(3).to_csv(tmp_path / "new.csv", index=False)
    assert predict(runs / "spent", tmp_path / "new.csv", "--out", tmp_path / "new.csv") == 2
    assert "--out must be another file" in capsys.readouterr().err


# --- runs of other recipes


@pytest.fixture(scope="module")
def till(run_here, tmp_path_factory):
    """A run on a till's own columns."""
    folder = tmp_path_factory.mktemp("till")
    whole = pd.read_csv(ROOT / "data" / "purchases-sample" / "purchases.csv", dtype=str)
    whole = whole[whole["User_ID"].isin(whole["User_ID"].unique()[:30])].rename(columns={"Product_ID": "SKU"})
    whole.to_csv(folder / "till.csv", index=False)
    flags = ["--data", folder / "till.csv", "--columns", "product=SKU", "--epochs", 1, "--out", folder / "run"]
    assert run_here(RECIPES / "purchases.py", *flags) == 0
    return folder / "run", whole


def test_purchases_are_scored_without_amounts(predict, till, tmp_path):
    run, whole = till
    rows = whole.drop(columns="Purchase").head(50).reset_index(drop=True)
    rows.loc[0, "User_ID"], rows.loc[1, "SKU"] = "77", ""
    found = scored(predict, run, rows, tmp_path)
    assert list(found) == [*rows, "prediction", "prediction_low", "prediction_high"]
    assert found["SKU"].isna().tolist() == [False, True] + [False] * 48
    assert (found["prediction_low"] >= 0).all()
    assert found["prediction"].between(found["prediction_low"], found["prediction_high"]).all()
    assert found["prediction"].std() > 100
    named = rows.rename(columns={"SKU": "article"})
    again = scored(predict, run, named, tmp_path, "--columns", "product=article")
    np.testing.assert_allclose(again["prediction"], found["prediction"])


def test_films_are_scored_from_tmdbs_columns(run_here, predict, tmp_path):
    source = ROOT / "data" / "movies-sample"
    whole = pd.read_csv(source / "tmdb_5000_movies.csv", dtype=str)
    whole.head(600).to_csv(tmp_path / "films.csv", index=False)
    flags = ["--data", tmp_path / "films.csv", "--epochs", 1, "--folds", 2, "--out", tmp_path / "run"]
    assert run_here(RECIPES / "movie_profit.py", *flags) == 0
    rows = whole.drop(columns="revenue").iloc[600:640].reset_index(drop=True)
    rows.loc[0, "budget"], rows.loc[1, "genres"] = "0", "[]"
    found = scored(predict, tmp_path / "run", rows, tmp_path)
    assert list(found) == [*rows, "prediction", "probability_no profit", "probability_profit"]
    assert len(found) == 40
    assert set(found["prediction"]) <= {"profit", "no profit"}


def test_a_model_of_pictures_says_so(predict, table, tmp_path, capsys):
    import keras

    from kmodels.preprocessing import Target, save_encoders

    picture = keras.Input((8, 8, 3), name="image")
    model = keras.Model(picture, keras.layers.Dense(2)(keras.layers.Flatten()(picture)))
    model.save(tmp_path / "model.keras")
    save_encoders({"target": Target.classes(["a", "b"])}, tmp_path / "encoders.json")
    table.to_csv(tmp_path / "new.csv", index=False)
    assert predict(tmp_path, tmp_path / "new.csv", "--out", tmp_path / "scored.csv") == 2
    assert "the model reads pictures, not a table alone; received 'image'" in capsys.readouterr().err
