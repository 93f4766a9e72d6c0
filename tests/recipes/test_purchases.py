"""The purchases recipe as a person runs it: on the sample, on a table of their own, on bad input, resumed, tuned."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
RECIPE, DATA = ROOT / "recipes" / "purchases.py", ROOT / "data"
SAMPLE = DATA / "purchases-sample"
WHOLE = "torch"
whole_run = pytest.mark.one_backend(WHOLE)
ERRORS = {"rmse", "mae", "r2"}
CLASSES = {"accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss", "brier", "ece"}
VARIANTS = ["classifier_without_ids", "classifier", "regressor"]
BASELINES = {
    "majority": CLASSES,
    "logistic_regression": CLASSES,
    "logistic_regression_without_ids": CLASSES,
    "gradient_boosting_without_ids": CLASSES,
    "gradient_boosting": CLASSES | ERRORS,
    "mean": ERRORS,
    "ridge": ERRORS,
    "mean_per_product_id": ERRORS,
}


def read(folder):
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture(scope="module")
def here(run_here):
    return partial(run_here, RECIPE)


# --- the sample, with every default; on the other backends a tenth of it, for one epoch


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A tenth of the sample, for runs whose figures do not matter."""
    file = tmp_path_factory.mktemp("small") / "purchases.csv"
    table = pd.read_csv(SAMPLE / "purchases.csv", dtype=str)
    users = table["User_ID"].unique()[:40]
    table[table["User_ID"].isin(users)].to_csv(file, index=False)
    return file


@pytest.fixture(scope="module")
def finished(run_defaults, runs_alone, small):
    short = [] if runs_alone(WHOLE) else ["--data", small, "--epochs", 1]
    return run_defaults(RECIPE, "--similar-to", 1000002, "--n", 4, *short)


@pytest.fixture(scope="module")
def metrics(finished):
    return read(finished[0])


@pytest.fixture(scope="module")
def floors():
    """What can be reached with the recipe's training rows on its test rows of known users and products."""
    from kmodels.datasets import purchases
    from kmodels.preprocessing import splits

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DATA))
        import planted_purchases
        import planted_purchases_floors

        world = planted_purchases.plant(planted_purchases.SAMPLE, planted_purchases.SEED)
        split = splits.kept_back(purchases.load("sample").table[["user_id", "product_id"]], seed=0)
        train, test = (np.isin(np.arange(len(world.amount)), rows) for rows in (split.train, split.test))
        return planted_purchases_floors.floors(world, train, test)


def test_the_output_says_what_was_found(finished):
    out = finished[1]
    for name in (*VARIANTS, "gradient_boosting", "regressor, unseen ids", "Report:"):
        assert any(line.startswith(name) for line in out.splitlines()), name
    assert len([line for line in out.splitlines() if line.startswith("1000002 ")]) == 4
    assert "Traceback" not in finished[2]


@whole_run
def test_the_output_on_the_sample_says_that_it_is_synthetic_and_what_could_be_reached(finished, metrics):
    assert "synthetic" in finished[1].splitlines()[0]
    assert any(line.startswith("generating model") for line in finished[1].splitlines())
    assert metrics["data"]["rows"] == 30_000
    assert all(each["timing"]["epochs"] == 12 for each in metrics["variants"].values())


def test_the_run_folder_is_complete(finished):
    folder = finished[0]
    files = ["metrics.json", "history.csv", "config.json", "model.keras", "encoders.json", "MODEL_CARD.md"]
    for name in [*files, *(f"{variant}/model.keras" for variant in VARIANTS)]:
        assert (folder / name).stat().st_size > 0, name
    plots = list((folder / "plots").glob("*.png"))
    assert {plot.stem for plot in plots} >= {"amounts", "columns", "amount_by_column", "accuracy", "confusion", "loss"}
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(plots)
    for title in ("Exploration", "Spend groups", "Amounts", "Known and unseen ids", "Similar users"):
        assert f"<h2>{title}</h2>" in page
    history = pd.read_csv(folder / "history.csv")
    assert history["variant"].unique().tolist() == VARIANTS


def test_metrics_keep_the_contract(metrics, backend_name):
    assert (metrics["recipe"], metrics["backend"], metrics["seed"]) == ("purchases", backend_name, 0)
    assert metrics["data"]["unit"] == "currency"
    assert list(metrics["variants"]) == VARIANTS
    assert metrics["best"] == "regressor"
    for name, values in metrics["variants"].items():
        expected = ERRORS if name == "regressor" else CLASSES
        assert set(values["test"]) == set(values["validation"]) == set(metrics["unseen_ids"][name]) == expected
        assert values["timing"]["epochs"] > 0
        assert values["timing"]["samples_per_s"] > 0
    assert {name: set(values) for name, values in metrics["baselines"].items()} == BASELINES
    assert {name: set(metrics["unseen_ids"][name]) for name in BASELINES} == BASELINES
    assert sum(metrics["data"]["split"].values()) == metrics["data"]["rows"]


@whole_run
def test_the_regressor_explains_what_can_be_learnt(metrics, floors):
    """At most 2 % of the explainable variance is left above the learnable floor, on the same rows."""
    rmse, learnable = metrics["variants"]["regressor"]["test"]["rmse"], floors["learnable"]
    left = (rmse**2 - learnable**2) / (floors["constant"] ** 2 - learnable**2)
    assert left <= 0.02
    assert rmse > floors["oracle_on_test"]  # nothing can be better, or the test rows were seen
    assert metrics["baselines"]["mean_per_product_id"]["rmse"] == pytest.approx(floors["product_mean"], rel=1e-3)


@whole_run
def test_the_networks_are_ahead_of_the_baselines(metrics, floors):
    variants, baselines = metrics["variants"], metrics["baselines"]
    for name, values in baselines.items():
        if "rmse" in values:
            assert variants["regressor"]["test"]["rmse"] < values["rmse"], name
        if "log_loss" in values:
            assert variants["classifier"]["test"]["log_loss"] < values["log_loss"], name
    accuracy = {name: variants[name]["test"]["accuracy"] for name in VARIANTS[:2]}
    assert baselines["majority"]["accuracy"] + 0.15 < accuracy["classifier_without_ids"] < accuracy["classifier"] - 0.03
    assert accuracy["classifier"] < floors["bayes_accuracy"]


@whole_run
def test_unseen_ids_cost_but_do_not_break(metrics):
    seen, unseen = metrics["variants"]["regressor"]["test"], metrics["unseen_ids"]["regressor"]
    assert seen["rmse"] < unseen["rmse"] < 0.5 * metrics["unseen_ids"]["mean"]["rmse"]


def test_a_gap_means_the_same_at_training_and_from_the_saved_encoder(finished):
    """A missing category is a label of its own in both."""
    from kmodels.datasets import purchases
    from kmodels.preprocessing import load_encoders

    table = purchases.load("sample").table
    encoder = load_encoders(finished[0] / "encoders.json")["table"]
    gaps = table["category_2"].isna().to_numpy()
    ids = encoder.transform(table)["category_2"]
    assert set(ids[gaps]) == {encoder.vocabulary("category_2").size}
    assert ids[~gaps].max() < encoder.vocabulary("category_2").size


@whole_run
def test_similar_users_are_of_the_planted_group(finished):
    import keras

    from kmodels import serving
    from kmodels.preprocessing import load_encoders

    model = keras.saving.load_model(finished[0] / "model.keras")
    users = load_encoders(finished[0] / "encoders.json")["user_id"]
    found = serving.similar(serving.embedding_table(model, "user_id_embedding"), users, users.values, n=10)
    group = pd.read_csv(SAMPLE / "groups.csv").set_index("User_ID")["Group"]
    assert (group[found["value"]].to_numpy() == group[found["neighbour"]].to_numpy()).mean() >= 0.8


# --- resumed, tuned, and another table


@pytest.fixture(scope="module")
def own(small, tmp_path_factory, here, one_seed):
    """A run with a search, on a table with nothing but ids and amounts; its flags."""
    folder = tmp_path_factory.mktemp("own")
    table = pd.read_csv(small, usecols=["User_ID", "Product_ID", "Purchase"])
    table.columns = ["customer", "SKU", "Total"]
    table["City_Category"] = ""  # a column without any value is left out
    table["SKU"] = "=$5_$" + table["SKU"] + "\x1b[2J"
    table.to_csv(file := folder / "a [till](`x`) <b> $$.csv", index=False)
    data = ["--data", file, "--columns", "user=customer,product=SKU,amount=Total", "--currency", "$$"]
    flags = [*data, "--epochs", 2, "--batch-size", 512, "--tune", "random", "--trials", 2]
    assert here("--out", folder / "out", *flags) == 0
    return folder / "out", flags


@pytest.mark.one_backend("jax")
def test_a_search_on_a_table_of_ones_own_with_nothing_but_ids_and_amounts(own):
    metrics = read(own[0])
    assert list(metrics["variants"]) == ["classifier", "regressor"]
    assert metrics["data"]["unit"] == "$$"
    found = metrics["search"]
    assert (found["algorithm"], found["trials"], found["completed"]) == ("random", 2, 2)
    assert len(found["payoff"]) == 2
    tuned = next(run for run in found["payoff"] if (run["settings"], run["seed"]) == ("tuned", 0))
    assert tuned["rmse"] == pytest.approx(metrics["variants"]["regressor"]["test"]["rmse"], rel=1e-5)
    page = (own[0] / "report.html").read_text()
    assert found["verdict"] in page
    for text in ("RMSE ($$)", "<h2>Search</h2>", "l2 root"):
        assert text in page
    assert r"a \[till](\`x\`) &lt;b&gt; \$\$.csv" in (own[0] / "MODEL_CARD.md").read_text()
    history = pd.read_csv(own[0] / "history.csv")
    assert set(history.select_dtypes(exclude="number")) == {"variant"}  # no text of the data, so no formulas


@pytest.mark.one_backend("jax")
def test_a_killed_run_ends_as_the_unbroken_one(own, tmp_path, here):
    """Killed after the classifier: neither that nor the search is repeated, and the regressor is trained."""
    folder = Path(shutil.copytree(own[0], tmp_path / "out"))
    shutil.rmtree(folder / "regressor")
    for name in ("metrics.json", "model.keras", "report.html"):
        (folder / name).unlink()
    assert here("--out", folder, "--resume", *own[1]) == 0
    before, after = read(own[0]), read(folder)
    for name in ("classifier", "regressor"):
        for split in ("test", "validation"):
            assert before["variants"][name][split] == after["variants"][name][split]
    assert before["search"] == after["search"]
    histories = [pd.read_csv(each / "history.csv") for each in (own[0], folder)]
    kept = [history[history["variant"] != "regressor"] for history in histories]
    pd.testing.assert_frame_equal(*kept, check_exact=True)  # the seconds of each epoch too


@whole_run
def test_resuming_a_run_of_other_settings_is_refused(finished, capsys, here):
    before = (finished[0] / "metrics.json").read_bytes()
    assert here("--out", finished[0], "--resume", "--seed", 7) == 2
    assert "seed is 0 there, 7 was asked for" in capsys.readouterr().err
    assert (finished[0] / "metrics.json").read_bytes() == before


# --- bad input


def field(row, column, value):
    def damage(table):
        table.loc[row, column] = value
        return table

    return damage


BAD = {
    "amount is nan": (field(1, "Purchase", "nan"), "line 3, column 'Purchase'"),
    "amount is negative": (field(1, "Purchase", "-5"), "line 3, column 'Purchase': out of range"),
    "amount is text": (field(1, "Purchase", "dear"), "line 3, column 'Purchase'"),
    "unknown age band": (field(1, "Age", "17"), "line 3, column 'Age': unknown age band"),
    "id is missing": (field(1, "User_ID", ""), "line 3, column 'User_ID': the field is empty"),
    "no products": (lambda table: table.drop(columns="Product_ID"), "the required column 'product' is missing"),
    "one spend group": (lambda table: table.assign(Purchase="20"), "all training rows are of one class"),
    "one row": (lambda table: table[:1], "no row is left for training"),
    "few rows": (lambda table: table[:3], "no row is left"),
    "no rows": (lambda table: table[:0], "purchases.csv"),
}


@pytest.mark.parametrize("what", BAD)
def test_damaged_data_ends_with_2_and_says_where(what, small, tmp_path, refused, here):
    damage, place = BAD[what]
    damage(pd.read_csv(small, dtype=str, keep_default_na=False)).to_csv(tmp_path / "purchases.csv", index=False)
    assert place in refused(here, tmp_path / "out", "--data", tmp_path)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data", "/nowhere/at/all"], "unknown data source '/nowhere/at/all'"),
        (["--columns", "product=SKU"], "there is no such column for 'product'"),
        (["--columns", "colour=Product_ID"], "Received: 'colour'"),
        (["--columns", "product=User_ID"], "column 'User_ID' twice"),
        (["--columns", "product=SKU,product=EAN"], "names 'product' twice"),
        (["--similar-to", "42"], "--similar-to: user '42' has no training row"),
        (["--n", "300"], "--n must be below 294"),
        (["--n", "0"], "argument --n: must be a whole number from 1 to "),
        (["--tune", "grid"], "argument --tune: invalid choice: 'grid'"),
        (["--resume"], "there is no config.json in it"),
    ],
)
def test_a_wrong_setting_ends_with_2_and_one_line(flags, message, tmp_path, refused, here):
    assert message in refused(here, tmp_path / "out", *flags)
