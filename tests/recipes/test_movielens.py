"""The MovieLens recipe as a person runs it: on the sample, on bad input, and stopped half way."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.reference.histories import as_inputs

ROOT = Path(__file__).parents[2]
RECIPE, SAMPLE = ROOT / "recipes" / "movielens.py", ROOT / "data" / "movielens-sample"
WHOLE = "tensorflow"
whole_run = pytest.mark.one_backend(WHOLE)
FLOORS = json.loads((SAMPLE / "floors.json").read_text())
# What a metric is called, by the contract that every recipe keeps.
ERRORS = {"rmse", "mae", "r2", "rmse_normalised"}
RANKS = {"precision_at_10", "recall_at_10", "hit_rate_at_10", "ndcg_at_10", "map_at_10", "mrr_at_10"}


def command(*flags) -> list[str]:
    return [sys.executable, str(RECIPE), *map(str, flags)]


@pytest.fixture(scope="module")
def here(run_here):
    return partial(run_here, RECIPE)


@pytest.fixture(scope="module")
def epochs(runs_alone):
    return 13 if runs_alone(WHOLE) else 1


@pytest.fixture(scope="module")
def finished(tmp_path_factory, epochs):
    """One run with every default, in a process and a working directory of its own; elsewhere for one epoch."""
    folder, short = tmp_path_factory.mktemp("recipe"), [] if epochs == 13 else ["--epochs", epochs]
    done = subprocess.run(command(*short), cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "movielens", done


@pytest.fixture(scope="module")
def metrics(finished):
    return json.loads((finished[0] / "metrics.json").read_text())


def test_the_first_line_says_that_the_data_is_synthetic(finished):
    assert "synthetic" in finished[1].stdout.splitlines()[0]


def test_the_progress_is_shown_and_nothing_failed(finished, epochs):
    # Not a terminal: a line for each epoch instead of a bar.
    assert re.search(rf"^epoch 1/{epochs}: .*val_rmse 0\.\d+", finished[1].stderr, re.M)
    assert "Traceback" not in finished[1].stderr
    assert "Report: " in finished[1].stdout


def test_the_run_folder_is_complete(finished):
    folder = finished[0]
    for name in ("metrics.json", "history.csv", "config.json", "model.keras", "encoders.json", "report.html"):
        assert (folder / name).stat().st_size > 0, name
    assert (folder / "MODEL_CARD.md").read_text().startswith(("#", "---"))
    plots = list((folder / "plots").glob("*.png"))
    assert len(plots) >= 4
    assert all(plot.read_bytes().startswith(b"\x89PNG") for plot in plots)
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= len(plots)  # self-contained
    assert not list(folder.glob("*.tmp*"))


def test_metrics_keep_the_contract(metrics, finished, backend_name):
    assert metrics["recipe"] == "movielens"
    assert metrics["backend"] == backend_name
    assert metrics["seed"] == 0
    assert metrics["data"]["source"] == "sample"
    assert metrics["data"]["rows"] == 50_676
    assert len(metrics["data"]["sha256"]) == 64
    assert metrics["model"]["name"]
    assert metrics["model"]["parameters"] > 10_000
    assert ERRORS | RANKS | {f"catalogue_{name}" for name in RANKS} <= set(metrics["test"])
    assert set(metrics["validation"]) >= ERRORS | RANKS
    assert set(metrics["baselines"]) == {"global_mean", "biases", "matrix_factorization", "popularity"}
    ranker = metrics["ranking"]
    assert ranker["model"]["name"] == "edlae"
    assert {f"catalogue_{name}" for name in RANKS} <= set(ranker["test"]) & set(ranker["validation"])
    timing = {"load_s", "prepare_s", "fit_s", "epochs", "samples_per_s", "evaluate_s"}
    assert timing <= set(metrics["timing"])
    assert all(metrics["timing"][name] > 0 for name in timing)
    assert {"keras", "numpy", "python", "kmodels"} <= set(metrics["versions"])
    history = pd.read_csv(finished[0] / "history.csv")
    assert metrics["timing"]["epochs"] == len(history)


def test_every_metric_is_a_possible_one(metrics):
    for group in ("test", "validation"):
        for name, value in metrics[group].items():
            low, high = (0, 5) if "rmse" in name or name == "mae" else (0, 1)
            if name.removeprefix("catalogue_") in ERRORS | RANKS:
                assert low <= value <= high, name


@whole_run
def test_the_model_explains_what_can_be_explained(metrics):
    """At most a third of the explainable error that user and film biases leave."""
    floor = FLOORS["oracle"] ** 2
    bias = metrics["baselines"]["biases"]["rmse"] ** 2 - floor
    assert metrics["baselines"]["biases"]["rmse"] == pytest.approx(FLOORS["bias"], abs=0.03)
    assert metrics["test"]["rmse"] ** 2 - floor <= bias / 3
    assert metrics["test"]["rmse"] > FLOORS["oracle"]  # nothing can be better, or the test rows were seen


def test_popularity_ranks_as_the_sample_states(metrics):
    """The same split, candidates and liked items as those of `floors.json`."""
    found = metrics["baselines"]["popularity"]["catalogue_ndcg_at_10"]
    assert found == pytest.approx(FLOORS["popularity_ranking"], abs=1e-4)


def test_the_ranker_finds_what_can_be_found(metrics):
    """At least two thirds of the way from popularity to the generating model."""
    popularity, oracle = FLOORS["popularity_ranking"], FLOORS["oracle_ranking"]
    found = metrics["ranking"]["test"]["catalogue_ndcg_at_10"]
    assert popularity + (oracle - popularity) * 2 / 3 <= found < oracle


@whole_run
def test_the_model_beats_every_baseline(metrics):
    rmse = {name: values["rmse"] for name, values in metrics["baselines"].items() if "rmse" in values}
    assert metrics["test"]["rmse"] < min(rmse.values()), rmse


def test_the_saved_model_gives_the_reported_error(finished, metrics):
    import keras

    from kmodels.preprocessing import load_encoders

    model = keras.saving.load_model(finished[0] / "model.keras")
    known = load_encoders(finished[0] / "encoders.json")
    assert model.get_layer("user_embedding").input_dim == known["user_id"].size
    assert model.count_params() == metrics["model"]["parameters"]


@pytest.mark.one_backend("jax")
def test_a_finished_run_recommends_films(finished, run_here, capsys):
    from kmodels import serving

    folder, user = finished[0], 42
    assert run_here(RECIPE.with_name("recommend.py"), folder, "--user", user, "--k", 4, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    rated = pd.read_csv(SAMPLE / "ratings.dat", sep="::", engine="python", header=None)
    assert not set(rated[rated[0] == user][1]) & {row["item_id"] for row in found}
    expected = serving.Recommender.load(folder).recommend(user, k=4)
    assert [row["item_id"] for row in found] == expected["item_id"].tolist()
    assert [row["title"] for row in found] == expected["title"].tolist()


# --- bad input


@pytest.fixture
def data(tmp_path):
    return Path(shutil.copytree(SAMPLE, tmp_path / "data"))


def edit(name, old, new):
    """Damages the first place where a file has `old`."""

    def damage(folder):
        text = (folder / name).read_bytes()
        assert old in text
        (folder / name).write_bytes(text.replace(old, new, 1))

    return damage


def append(name, line):
    def damage(folder):
        with (folder / name).open("ab") as file:
            file.write(line)

    return damage


def first(name, number=3):
    return (SAMPLE / name).read_bytes().splitlines(keepends=True)[number - 1]


RATING = first("ratings.dat")
FIELDS = RATING.strip().split(b"::")


def rating(position, value):
    return edit("ratings.dat", RATING, b"::".join([*FIELDS[:position], value, *FIELDS[position + 1 :]]) + b"\n")


BAD = {
    "truncated line": (edit("ratings.dat", RATING, RATING[:7] + b"\n"), "ratings.dat, line 3"),
    "wrong separator": (edit("ratings.dat", RATING, RATING.replace(b"::", b",")), "ratings.dat, line 3"),
    "rating is text": (rating(2, b"good"), "ratings.dat, line 3, column 'rating'"),
    "rating too high": (rating(2, b"6"), "ratings.dat, line 3, column 'rating'"),
    "rating is nan": (rating(2, b"nan"), "ratings.dat, line 3, column 'rating'"),
    "duplicate pair": (append("ratings.dat", RATING), "ratings.dat, line 50677"),
    "user absent": (rating(0, b"99999"), "99999"),
    "film absent": (rating(1, b"99999"), "99999"),
    "unknown genre": (edit("movies.dat", first("movies.dat"), b"900000::X (1999)::Opera\n"), "Opera"),
    "empty file": (lambda folder: (folder / "ratings.dat").write_bytes(b""), "ratings.dat"),
    "wrong encoding": (lambda folder: (folder / "ratings.dat").write_text("1::1::5::9\n", "utf-16"), "ratings.dat"),
    "file missing": (lambda folder: (folder / "movies.dat").unlink(), "movies.dat"),
}


@pytest.mark.parametrize("what", BAD)
def test_damaged_data_ends_with_2_and_says_where(what, data, tmp_path, refused, here):
    damage, place = BAD[what]
    damage(data)
    assert place in refused(here, tmp_path / "out", "--data", data)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data", "/nowhere/at/all"], "unknown data source '/nowhere/at/all'"),
        (["--split", "alphabetic"], "argument --split: invalid choice: 'alphabetic'"),
        (["--model", "giant"], "argument --model: invalid choice: 'giant'"),
        (["--engine", "magic"], "argument --engine: invalid choice: 'magic'"),
        (["--epochs", "0"], "argument --epochs: must be a whole number from 1 to "),
        (["--split", "given"], "the data has no split u1"),
        (["--refit", "--model", "enhanced"], "not for --model enhanced"),
        (["--tune", "random", "--model", "enhanced"], "not for --model enhanced"),
        (["--tune", "random", "--weight-decay", "none"], "--tune needs --weight-decay l2"),
        (["--columns", "rating=score"], "go with a file of ratings"),
        (["--resume"], "there is no config.json in it"),
    ],
)
def test_a_wrong_setting_ends_with_2_and_one_line(flags, message, tmp_path, refused, here):
    assert message in refused(here, tmp_path / "out", *flags)


@whole_run
def test_resuming_a_run_of_other_settings_is_refused(finished, capsys, here):
    before = (finished[0] / "metrics.json").read_bytes()
    assert here("--out", finished[0], "--resume", "--seed", 7) == 2
    assert "seed is 0 there, 7 was asked for" in capsys.readouterr().err
    assert (finished[0] / "metrics.json").read_bytes() == before


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A fifth of the sample, for runs whose figures do not matter."""
    folder = Path(shutil.copytree(SAMPLE, tmp_path_factory.mktemp("small") / "data"))
    lines = (SAMPLE / "ratings.dat").read_text().splitlines(keepends=True)
    (folder / "ratings.dat").write_text("".join(line for line in lines if int(line.split("::")[0]) <= 120))
    return folder


@pytest.fixture(scope="module")
def csv_release(small):
    """The same as the newer releases come: CSV files, and nothing known of users."""
    folder = small.parent / "csv"
    folder.mkdir()
    lines = (small / "ratings.dat").read_text().replace("::", ",")
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + lines)
    lines = (small / "movies.dat").read_text("latin-1").replace("Children's", "Children").splitlines()
    rows = "".join('{},"{}",{}\n'.format(*line.split("::")) for line in lines)
    (folder / "movies.csv").write_text("movieId,title,genres\n" + rows, encoding="utf-8")
    return folder


def test_the_enhanced_network_needs_what_csv_releases_do_not_have(csv_release, tmp_path, refused, here):
    line = refused(here, tmp_path / "out", "--data", csv_release, "--model", "enhanced")
    assert "needs gender, age and occupation" in line


@pytest.mark.one_backend("tensorflow")
def test_bad_input_from_the_shell(data, tmp_path):
    rating(2, b"good")(data)
    done = subprocess.run(
        command("--data", data, "--out", tmp_path / "out"), cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 2
    # TensorFlow itself writes lines there when it is imported.
    lines = [line for line in done.stderr.splitlines() if not re.match(r"WARNING: All log|[IWE]\d{4} ", line)]
    assert len(lines) == 1, done.stderr
    assert "line 3, column 'rating'" in lines[0]


# --- other models, data and splits, one epoch each


def ran(folder, model, split):
    """The record of a run without session, whose model and split are checked."""
    import keras

    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["model"]["name"], metrics["data"]["split_name"]) == (f"neumf_{model}", split)
    inputs = {tensor.name for tensor in keras.saving.load_model(folder / "model.keras").inputs}
    assert ("user_history" in inputs, "session" in inputs) == (model == "history", False)
    for file in ("report.html", "MODEL_CARD.md"):
        assert "half hour before" not in (folder / file).read_text()
    return metrics


@pytest.mark.one_backend("jax")
def test_the_enhanced_network_runs_through(small, tmp_path, here):
    flags = ["--model", "enhanced", "--split", "time", "--ranker", "none"]
    assert here("--out", tmp_path, "--data", small, "--epochs", 1, *flags) == 0
    ran(tmp_path, "enhanced", "time")


@pytest.mark.one_backend("jax")
def test_a_csv_release_runs_through(csv_release, tmp_path, here):
    flags = ["--split", "leave-last-out", "--weight-decay", "decoupled", "--engine", "pydataset"]
    flags += ["--ranker", "none"]
    assert here("--out", tmp_path, "--data", csv_release, "--epochs", 1, *flags) == 0
    data = ran(tmp_path, "history", "leave-last-out")["data"]
    assert data["split"]["test"] == data["users"]


@pytest.mark.one_backend("jax")
def test_every_test_row_of_a_given_split_is_evaluated(tmp_path, here):
    """User 1 and film 1 stand in the test alone, film 2 has too few ratings outside it."""
    rng = np.random.default_rng(0)
    pairs = [(user, film) for user in range(1, 16) for film in range(1, 16) if film > 2 or user < 5]
    test = {(user, film) for user, film in pairs if user == 1 or film == 1 or rng.random() < 0.1}
    line = {pair: "{}\t{}\t{}\t{}\n".format(*pair, *rng.integers(1, 6, 2)) for pair in pairs}
    flags = "|".join(["1", *["0"] * 18])
    files = {
        "u.data": "".join(line.values()),
        "u1.base": "".join(text for pair, text in line.items() if pair not in test),
        "u1.test": "".join(text for pair, text in line.items() if pair in test),
        "u.user": "".join(f"{user}|24|F|other|85711\n" for user in range(1, 16)),
        "u.item": "".join(f"{film}|X (1995)|01-Jan-1995||http://x|{flags}\n" for film in range(1, 16)),
    }
    (tmp_path / "ml").mkdir()
    for name, text in files.items():
        (tmp_path / "ml" / name).write_text(text)
    command = ["--data", tmp_path / "ml", "--split", "given", "--batch-size", 16, "--epochs", 1, "--refit"]
    assert here("--out", tmp_path / "out", *command) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    sizes, stars = metrics["data"]["split"], np.array([int(line[pair].split()[2]) for pair in test])
    few = {(user, 2) for user in range(2, 5)} - test
    assert len(few) > 0
    assert sizes["test"] == len(test)
    assert sizes["train"] + sizes["validation"] == len(pairs) - len(test) - len(few) == metrics["refit"]["rows"]
    for found in (metrics["test"], metrics["refit"]["test"], metrics["baselines"]["biases"]):
        assert found["rmse"] ** 2 / (1 - found["r2"]) == pytest.approx(stars.var(), rel=1e-5)


@pytest.fixture(scope="module")
def books(small):
    """The same with other columns, text ids, scores from 2 to 10 and no times; with a table of users."""
    folder = small.parent / "books"
    folder.mkdir()
    names = ["reader", "isbn", "score", "time"]
    table = pd.read_csv(small / "ratings.dat", sep="::", engine="python", names=names).drop(columns="time")
    table["reader"], table["isbn"] = "r" + table["reader"].astype(str), "b-" + table["isbn"].astype(str)
    table.assign(score=2 * table["score"]).to_csv(folder / "books.csv", index=False)
    readers = pd.DataFrame({"reader": table["reader"].unique()})
    readers.assign(age=np.arange(len(readers)) % 50, town=np.resize(["x", "y"], len(readers))).to_csv(
        folder / "readers.csv", index=False
    )
    return folder


@pytest.mark.one_backend("jax")
def test_a_table_of_ones_own_trains_the_default_model_and_predicts_from_its_folder(books, tmp_path, here):
    import keras

    from kmodels import training
    from kmodels.pipelines import Ratings

    flags = ["--columns", "user_id=reader,item_id=isbn,rating=score", "--users", books / "readers.csv"]
    assert here("--out", tmp_path, "--data", books / "books.csv", "--epochs", 2, *flags) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["model"]["name"] == "neumf_history"
    assert set(metrics["data"]["rating_counts"]) == {"2", "4", "6", "8", "10"}
    assert metrics["test"]["rmse"] < metrics["baselines"]["global_mean"]["rmse"]
    assert metrics["test"]["rmse_normalised"] == pytest.approx(metrics["test"]["rmse"] / 10)
    for file in ("report.html", "MODEL_CARD.md"):
        text = (tmp_path / file).read_text()
        assert "MovieLens" not in text
        assert "stars" not in text

    known = pd.read_csv(books / "books.csv").iloc[:3].rename(columns={"reader": "user_id", "isbn": "item_id"})
    model, ratings = keras.saving.load_model(tmp_path / "model.keras"), Ratings.load(tmp_path)
    assert {"age", "town"} >= {feature.name for feature in ratings.features()["user_features"]} - {"user_numbers"}
    pairs = pd.concat([known, pd.DataFrame({"user_id": ["nobody"], "item_id": ["nothing"]})])
    predicted = ratings.in_units(training.predict(model, ratings.new_batches(model, pairs)))
    assert predicted.shape == (4,)
    assert ((predicted >= 2) & (predicted <= 10)).all()


def test_session_needs_times(books, tmp_path, refused, here):
    flags = ["--columns", "user_id=reader,item_id=isbn,rating=score", "--model", "session"]
    assert "needs timestamps" in refused(here, tmp_path / "out", "--data", books / "books.csv", *flags)


# --- ratings as a stream


@pytest.fixture(scope="module")
def parquet(small):
    """The same in three Parquet files, sorted by user, under other names."""
    pytest.importorskip("pyarrow")
    folder = small.parent / "parquet"
    folder.mkdir()
    names = ["reader", "item_id", "score", "time"]
    table = pd.read_csv(small / "ratings.dat", sep="::", engine="python", names=names)
    table = table.sort_values(["reader", "item_id"]).astype({"score": "float32"})
    for number, rows in enumerate(np.array_split(np.arange(len(table)), 3)):
        table.iloc[rows].to_parquet(folder / f"{number}.parquet", row_group_size=500, index=False)
    return folder


STREAM = ["--stream", "--columns", "user_id=reader,rating=score"]


@pytest.mark.one_backend("jax")
def test_a_stream_trains_and_evaluates_what_memory_does(parquet, tmp_path, here, run_here, capsys):
    """The same split and model in memory, of a k-core that is all ratings but a few."""
    assert here("--data", parquet, "--out", tmp_path / "stream", "--epochs", 2, *STREAM) == 0
    metrics = ran(tmp_path / "stream", "factors", "hash")
    table = pd.concat([pd.read_parquet(file) for file in sorted(parquet.iterdir())])
    table.to_csv(tmp_path / "t.csv", index=False)
    columns = ["--columns", "user_id=reader,rating=score", "--model", "factors", "--split", "hash", "--ranker", "none"]
    assert here("--data", tmp_path / "t.csv", "--out", tmp_path / "memory", "--epochs", 2, *columns) == 0
    other = ran(tmp_path / "memory", "factors", "hash")
    assert metrics["data"]["rows"] == len(table)
    for part, rows in other["data"]["split"].items():
        assert rows <= metrics["data"]["split"][part] <= rows + len(table) - other["data"]["rows"]
    for part in ("test", "validation"):
        assert metrics[part]["rmse"] == pytest.approx(other[part]["rmse"], rel=0.03)
        assert set(metrics[part]) == ERRORS
    assert set(metrics["baselines"]) == {"global_mean", "biases"}
    for name, found in metrics["baselines"].items():
        assert found["rmse"] == pytest.approx(other["baselines"][name]["rmse"], rel=0.01)
    assert metrics["timing"]["epochs"] == 2
    assert metrics["data"]["split_name"] == "hash"
    page = (tmp_path / "stream" / "report.html").read_text()
    assert "fewer than 5 training ratings are unknown" in page
    assert "MovieLens" not in page

    # Rankings need what a stream has not; the embeddings are there.
    recommend = ROOT / "recipes" / "recommend.py"
    capsys.readouterr()
    assert run_here(recommend, tmp_path / "stream", "--user", 1) == 2
    assert "holds no recommender" in capsys.readouterr().err
    assert run_here(recommend, tmp_path / "stream", "--similar-to", int(table["item_id"].mode()[0])) == 0


def without_a_column(folder):
    table = pd.read_parquet(folder / "1.parquet")
    table.drop(columns="score").to_parquet(folder / "1.parquet")


def with_another_type(folder):
    table = pd.read_parquet(folder / "2.parquet")
    table.astype({"reader": str}).to_parquet(folder / "2.parquet")


def with_a_large_id(folder):
    table = pd.read_parquet(folder / "1.parquet")
    table.loc[table.index[700], "item_id"] = 2**31
    table.to_parquet(folder / "1.parquet", row_group_size=500, index=False)


def with_a_gap(folder):
    table = pd.read_parquet(folder / "1.parquet")
    table.loc[table.index[700], "score"] = np.nan
    table.to_parquet(folder / "1.parquet", row_group_size=500, index=False)


def cut_short(folder):
    (folder / "2.parquet").write_bytes((folder / "2.parquet").read_bytes()[:-100])


@pytest.mark.first_backend
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_a_column, "1.parquet, column 'score': the file lacks a column"),
        (with_another_type, "2.parquet, column 'reader': another type than in the first file; expected int64"),
        (with_a_large_id, "1.parquet, line 701, column 'item_id': out of range; expected whole numbers from 0 to 2147"),
        (with_a_gap, "1.parquet, line 701, column 'score': a value is missing"),
        (cut_short, "2.parquet: not a Parquet file, or a damaged one"),
    ],
)
def test_damaged_parquet_ends_with_2_and_says_where(damage, message, parquet, tmp_path, refused, here):
    damage(folder := Path(shutil.copytree(parquet, tmp_path / "data")))
    assert message in refused(here, tmp_path / "out", "--data", folder, *STREAM)


@pytest.mark.first_backend
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model", "history"], "--model needs all rows at once, which --stream never has. Received: --model history"),
        (["--split", "time"], "--split needs all rows at once, which --stream never has. Received: --split time"),
        (["--ranker", "edlae"], "--ranker needs all rows at once, which --stream never has. Received: --ranker edlae"),
        (["--tune", "random"], "--tune needs all rows at once, which --stream never has. Received: --tune random"),
        (["--refit"], "--refit needs all rows at once, which --stream never has. Received: --refit"),
        (
            ["--users", "readers.csv"],
            "--users needs all rows at once, which --stream never has. Received: --users readers.csv",
        ),
        (["--data", "sample"], "--stream reads Parquet"),
        (["--columns", "user_id=nobody"], "column 'nobody': the file lacks a column"),
    ],
)
def test_what_needs_all_rows_is_refused_of_a_stream(flags, message, parquet, tmp_path, refused, here):
    assert message in refused(here, tmp_path / "out", "--data", parquet, *STREAM, *flags)


# --- with a search


@pytest.mark.one_backend("torch")
@pytest.mark.usefixtures("one_seed")
def test_the_winner_of_a_search_is_what_is_trained_and_stands_beside_the_default(small, tmp_path, here):
    import keras

    assert (
        here("--out", tmp_path, "--data", small, "--epochs", 1, "--tune", "random", "--trials", 2, "--ranker", "none")
        == 0
    )
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    found = metrics["search"]
    assert (found["algorithm"], found["trials"], found["completed"]) == ("random", 2, 2)
    assert (
        keras.saving.load_model(tmp_path / "model.keras").get_layer("user_embedding").output_dim
        == (found["best"]["dim"])
    )
    runs = {(run["settings"], run["seed"]): run for run in found["payoff"]}
    assert set(runs) == {("default", 0), ("tuned", 0)}
    # The run itself is one of them, on the same rows.
    assert runs["tuned", 0]["rmse"] == pytest.approx(metrics["test"]["rmse"], rel=1e-5)
    assert runs["tuned", 0]["validation_rmse"] == pytest.approx(metrics["validation"]["rmse"], rel=1e-5)
    page = (tmp_path / "report.html").read_text()
    assert "<h2>Search</h2>" in page
    assert found["verdict"] in page


# --- stopped and resumed


@pytest.mark.one_backend("jax")
def test_ctrl_c_exits_with_130_and_resume_ends_as_the_unbroken_run(small, tmp_path, here):
    flags = ["--data", small, "--epochs", 4, "--batch-size", 128, "--model", "session", "--refit"]
    stopped, unbroken = tmp_path / "stopped", tmp_path / "unbroken"
    process = subprocess.Popen(
        command("--out", stopped, *flags), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    deadline = time.monotonic() + 300
    while not (stopped / "history.csv").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.strip().endswith("--resume")
    assert not (stopped / "metrics.json").exists()

    assert here("--out", stopped, *flags, "--resume") == 0
    assert here("--out", unbroken, *flags) == 0
    records = [json.loads((folder / "metrics.json").read_text()) for folder in (stopped, unbroken)]
    for group in ("test", "validation", "baselines", "model", "data", "refit"):
        assert records[0][group] == records[1][group]
    one, other = (pd.read_csv(folder / "history.csv").drop(columns="seconds") for folder in (stopped, unbroken))
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    refit, rows = records[0]["refit"], records[0]["data"]["split"]
    assert refit["rows"] == rows["train"] + rows["validation"]
    assert refit["epochs"] == one["val_rmse"].argmin() + 1
    assert set(refit["test"]) >= ERRORS | RANKS
    again = pd.read_csv(stopped / "refit" / "history.csv")
    assert len(again) == refit["epochs"]
    assert "val_rmse" not in again
    page = (stopped / "report.html").read_text()
    assert "Trained once more with the validation rows" in page
    assert "half hour before" in page
    assert "half hour before" in (stopped / "MODEL_CARD.md").read_text()
    assert by_hand(stopped / "refit", small) == pytest.approx(refit["test"]["rmse"], rel=1e-4)


@pytest.mark.one_backend("tensorflow")
def test_a_stream_goes_on_inside_an_epoch(parquet, tmp_path, here, monkeypatch):
    from kmodels.training import fitting
    from kmodels.workflow import streaming

    monkeypatch.setattr(streaming, "SAVED_ROWS", 1500)
    flags, write = ["--data", parquet, "--epochs", 2, "--batch-size", 50, *STREAM], fitting._Checkpoint._write

    def stop(self, **unfinished):
        write(self, **unfinished)
        if unfinished and len(self.history) == 1:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting._Checkpoint, "_write", stop)
        assert here("--out", tmp_path / "stopped", *flags) == 130
    assert here("--out", tmp_path / "stopped", *flags, "--resume") == 0
    assert here("--out", tmp_path / "unbroken", *flags) == 0
    one, other = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("stopped", "unbroken"))
    for group in ("test", "validation", "baselines", "model", "data"):
        assert one[group] == other[group]
    one, other = (pd.read_csv(tmp_path / name / "history.csv") for name in ("stopped", "unbroken"))
    pd.testing.assert_frame_equal(one.drop(columns="seconds"), other.drop(columns="seconds"), check_exact=True)


def by_hand(folder, source) -> float:
    """The test error of a model of histories: its file and its encoders, the histories made dense from the ratings."""
    import keras

    from kmodels.datasets import movielens
    from kmodels.datasets import ratings as rating_tables
    from kmodels.preprocessing import earlier_surplus, load_encoders, splits

    data = rating_tables.filter_ratings(movielens.load(source), min_ratings=5)
    model = keras.saving.load_model(folder / "model.keras")
    known = load_encoders(folder / "encoders.json")
    users, items, stars = (data.ratings[name] for name in ("user_id", "item_id", "rating"))
    split = splits.random_per_user(users, items, seed=0)
    seen = np.concatenate([split.train, split.validation])
    ids = known["user_id"].transform(users), known["item_id"].transform(items)
    above = np.zeros((known["user_id"].size, known["item_id"].size), "float32")
    rated = np.zeros_like(above)
    above[ids[0][seen], ids[1][seen]] = (stars - stars.iloc[seen].mean()).iloc[seen]
    rated[ids[0][seen], ids[1][seen]] = 1
    inputs = {"user_id": ids[0][split.test], "item_id": ids[1][split.test]}
    for name, values, ones, owner in (
        ("user_history", above, rated, ids[0]),
        ("item_history", above.T, rated.T, ids[1]),
    ):
        weight = 1 / np.sqrt(ones.sum(axis=1, keepdims=True) + 1)
        inputs[name] = (np.concatenate([values, ones], axis=1) * weight)[owner[split.test]]
    for name, table in (("user", data.users), ("item", data.items)):
        of_rows = table.set_index(f"{name}_id").loc[data.ratings[f"{name}_id"].iloc[split.test]]
        inputs |= known[f"{name}s"].transform(of_rows.reset_index())
    inputs["session"] = earlier_surplus(data.ratings, seen)[split.test]
    inputs = as_inputs(inputs)
    said = model.predict_on_batch({tensor.name: inputs[tensor.name] for tensor in model.inputs})[:, 0]
    return float(np.sqrt(np.mean((np.clip(said * 5, 0.5, 5) - stars.iloc[split.test]) ** 2)))
