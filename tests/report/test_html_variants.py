import pandas as pd
import pytest

from kmodels.errors import ConfigurationError
from kmodels.report import html, run_folder

HOSTILE = '<script>alert("x")</script> & $title'
TIMING = {"load_s": 0.5, "prepare_s": 1.25, "fit_s": 83.2, "epochs": 3, "samples_per_s": 21432.2, "evaluate_s": 2}
COMMON = {"recipe": "nets", "backend": "jax", "seed": 42, "versions": {"keras": "3.15.1"}}
HISTORY = pd.DataFrame({"epoch": [1, 2, 3], "loss": [0.9, 0.8, 0.7], "val_loss": [1.0, 0.95, 0.97]})


def of_variants():
    shared = {"timing": TIMING, "validation": {"accuracy": 0.9}}
    small = {"model": {"name": "cnn", "parameters": 60_000}, "test": {"accuracy": 0.93, "ece": 0.02}, **shared}
    wide = {"model": {"name": "cnn", "parameters": 270_000}, "test": {"accuracy": 0.94, "ece": 0.03}, **shared}
    return {
        **COMMON,
        "data": {
            "source": "sample",
            "rows": 100,
            "sha256": "50d2",
            "class_counts": {"coat": 60, "boot": 40},
            "year": 2017,
        },
        "variants": {
            "small": {**small, "cost": {"latency_ms": 0.5}, "train": {"accuracy": 0.99}, "kernels": (32, 64)},
            "wide": {**wide, "cost": {"latency_ms": 1.25}, "warnings": [f"wide learned nothing {HOSTILE}"]},
        },
        "best": "small",
        "choice": f"small was chosen {HOSTILE}",
        "warnings": ["Columns known only after release were used."],
        "baselines": {"majority": {"accuracy": 0.1, "ece": 0.0}},
    }


@pytest.fixture(scope="module")
def compared(tmp_path_factory, parse):
    folder = run_folder.open_run(tmp_path_factory.mktemp("runs") / "run", {"epochs": 3}, resume=False)
    path = html.write_report(
        folder,
        of_variants(),
        title="Nets",
        intro="",
        command="python recipes/nets.py",
        history={"wide": HISTORY},
        layers={"small": "conv (Conv2D)"},
    )
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text.lower()
    return parse(text)


def test_variants_stand_beside_the_baselines_and_the_best_is_justified(compared):
    test, validation, train = [table["rows"] for table in compared.tables if table["caption"] == "Classes"]
    assert test[1:] == [["small", "0.9300"], ["wide", "0.9400"], ["majority", "0.1000"]]
    assert validation[1:] == [["small", "0.9000"], ["wide", "0.9000"]]
    assert train[1:] == [["small", "0.9900"]]
    words = compared.words()
    assert f"small was chosen {HOSTILE}" in words
    assert "2 variants compared, small chosen, on sample, jax backend, seed 42" in words
    assert "Test Accuracy 0.9300 0.8300 better than majority (0.1000)" in words
    assert ("Classes", "wide", 1) in compared.bold
    assert not {place for place in compared.bold if place[0].startswith("Probabilities")}  # majority is calibrated too


def test_each_variant_shows_what_it_costs_and_what_else_its_record_holds(compared):
    assert compared.table("What each costs") == [
        ["variant", "epochs", "parameters", "training time (s)", "time of one prediction (ms)"],
        ["small", "3", "60,000", "83.2", "0.5"],
        ["wide", "3", "270,000", "83.2", "1.25"],
    ]
    rows = [row for table in compared.tables for row in table["rows"]]
    assert ["kernels", "32, 64"] in rows
    words = compared.words()
    assert "small (the chosen one)" in words
    assert "conv (Conv2D)" in words
    assert "All 3 epochs" in words


def test_warnings_stand_at_the_top_escaped(compared):
    words = compared.words()
    top = words[: words.index("The variants beside the baselines")]
    assert "Warning. Columns known only after release were used." in top
    assert f"Warning. wide learned nothing {HOSTILE}" in top


def test_data_without_users_or_ratings_speaks_of_neither(compared):
    words = compared.words()
    for word in ("ratings", "users", "stars", "density"):
        assert word not in words.lower()
    assert compared.table("Rows by class")[1] == ["coat", "60", "", "60.0 %"]
    assert ["year", "2017"] in [row for table in compared.tables for row in table["rows"]]


def test_amounts_are_in_the_datas_own_unit(tmp_path, parse):
    folder = run_folder.open_run(tmp_path / "run", {}, resume=False)
    data = {"source": "x.csv", "rows": 550_068, "sha256": "50d2", "unit": "INR", "products": 12_345}
    metrics = {"test": {"rmse": 0.8835}, "validation": {}, "baselines": {"mean": {"rmse": 1.2}}}
    record = {**COMMON, "data": data, "model": {"name": "net", "parameters": 9}, "timing": TIMING, **metrics}
    page = parse(html.write_report(folder, record, title="t", intro="", command="c").read_text(encoding="utf-8"))
    assert page.table("Prediction error")[0][1] == "RMSE (INR)\N{NO-BREAK SPACE}↓"
    assert "Test RMSE 0.8835 INR" in page.words()
    assert "stars" not in page.words()
    assert ["products", "12,345"] in [row for table in page.tables for row in table["rows"]]


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ({"history": HISTORY}, "history must be a mapping by variant: small, wide"),
        ({"history": {"huge": HISTORY}}, "history of 'huge'"),
        ({"layers": "conv"}, "layers must be a mapping"),
        ({"layers": {"huge": "conv"}}, "layers of 'huge'"),
    ],
)
def test_what_would_not_be_shown_is_refused(tmp_path, extra, complaint):
    folder = run_folder.open_run(tmp_path / "run", {}, resume=False)
    with pytest.raises(ConfigurationError, match=complaint):
        html.write_report(folder, of_variants(), title="t", intro="", command="c", **extra)
    alone = run_folder.variant_record(of_variants())
    with pytest.raises(ConfigurationError, match="does not have as a variant"):
        html.write_report(folder, alone, title="t", intro="", command="c", history={"small": HISTORY})
