import base64
import json
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from kmodels.errors import ConfigurationError, DataError
from kmodels.report import canvas, fragments, html, run_folder

HOSTILE = '<script>alert("x")</script> & $title'


RECORD = {
    "recipe": "movielens",
    "backend": "jax",
    "data": {
        "source": "ml-100k",
        "rows": 1000,
        "sha256": "50d2a982",
        "users": 50,
        "items": 80,
        "synthetic": True,
        "rating_counts": {"1": 100, "5": 900},
        "split_name": "random",
        "split": {"train": 700, "validation": 150, "test": 150},
    },
    "seed": 42,
    "model": {"name": "NeuMF", "parameters": 326_193},
    "test": {
        "rmse": 0.883512,
        "mae": 0.69412,
        "r2": 0.3871,
        "ndcg_at_10": 0.8671,
        "catalogue_ndcg_at_10": 0.101,
        "ndcg_at_10_retrieved_ideal": 0.9571,
        "precision_at_10_of_ten_slots": 0.6506,
    },
    "validation": {"rmse": 0.881, "mae": None},
    "baselines": {
        "global mean": {"rmse": 1.129, "mae": 0.944, "r2": -0.0001},
        "biased MF": {"rmse": 0.906, "mae": 0.68, "r2": 0.36, "ndcg_at_10": 0.8671},
        "popularity": {"ndcg_at_10": 0.79, "catalogue_ndcg_at_10": np.float64(0.12)},
    },
    "timing": {
        "load_s": 0.5,
        "prepare_s": 1.25,
        "fit_s": 83.2,
        "epochs": 3,
        "samples_per_s": 21432.2,
        "evaluate_s": 2,
    },
    "versions": {"keras": "3.15.1", "python": "3.11.7"},
}
HISTORY = pd.DataFrame({"epoch": [1, 2, 3], "loss": [0.9, 0.8, np.nan], "val_loss": [1.0, 0.95, 0.97]})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = run_folder.open_run(
        tmp_path_factory.mktemp("runs") / "run",
        {
            "learning_rate": 0.001,
            "hidden": (64, 32),
            "note": HOSTILE,
            "ema": True,
            "bag": None,
            "a": {"b_c": 1},
        },
        resume=False,
    )
    pictures = []
    for name in ("loss", "errors"):
        path = canvas.save(Figure(figsize=(1, 2)), folder / "plots" / f"{name}.png")
        pictures.append(html.Picture(path, f'The "{name}" picture', HOSTILE))
    path = html.write_report(
        folder,
        RECORD,
        title=f"Ratings {HOSTILE}",
        intro=f"First paragraph.\n\n{HOSTILE}",
        command=f"python recipes/movielens.py --seed 42 {HOSTILE}",
        history=HISTORY,
        layers=f"dense (Dense) │ (None, 64)\n{HOSTILE}",
        pictures=pictures,
        sections=[html.Section("Extra part", "<p>Extra words.</p>")],
    )
    return path, pictures


@pytest.fixture(scope="module")
def page(written, parse):
    return parse(written[0].read_text(encoding="utf-8"))


def test_the_page_needs_nothing_but_itself(written, page):
    outside = [address for address in page.addresses if not address.startswith(("data:", "#"))]
    assert outside == []
    assert "script" not in page.tags
    assert not {"iframe", "object", "embed", "audio", "video"} & page.tags
    text = written[0].read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    style = re.search(r"<style>(.*?)</style>", text, re.S).group(1)
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in style


def test_contents_lead_to_every_section(page):
    anchors = [address[1:] for address in page.addresses if address.startswith("#")]
    assert anchors == page.ids
    assert len(set(anchors)) == len(anchors)
    assert "extra-part" in anchors


def test_every_picture_is_inside_byte_for_byte(written, page):
    _, pictures = written
    assert len(page.images) == len(pictures) == 2
    for image, picture in zip(page.images, pictures, strict=True):
        kind, data = image["src"].split(",", 1)
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data) == picture.path.read_bytes()
        assert image["alt"] == picture.title
        assert (image["width"], image["height"]) == ("144", "288")


def test_text_is_escaped(written, page):
    assert "<script" not in written[0].read_text(encoding="utf-8").lower()
    assert ["note", HOSTILE] in [row for table in page.tables for row in table["rows"]]
    assert f"Ratings {HOSTILE}" in page.words()
    for before in ("First paragraph.", "picture.", "(None, 64)", "--seed 42"):
        assert f"{before} {HOSTILE}" in page.words()


def test_numbers_of_the_comparison_equal_the_record(written, parse):
    page = parse(html.comparison(json.loads(json.dumps(RECORD))))
    assert page.table("Rating error") == [
        [
            "on the test split",
            "RMSE (stars)\N{NO-BREAK SPACE}↓",
            "MAE (stars)\N{NO-BREAK SPACE}↓",
            "R²\N{NO-BREAK SPACE}↑",
        ],
        ["NeuMF", "0.8835", "0.6941", "0.3871"],
        ["global mean", "1.1290", "0.9440", "-0.0001"],
        ["biased MF", "0.9060", "0.6800", "0.3600"],
        ["model on validation", "0.8810", "–", "–"],
    ]
    assert page.table("Ranking the whole catalogue")[1:] == [["NeuMF", "0.1010"], ["popularity", "0.1200"]]
    exact = {value for table in page.tables for value in table["exact"]}
    for values in (RECORD["test"], *RECORD["baselines"].values()):
        assert {float(value) for value in values.values()} <= exact


def test_the_best_test_value_of_each_column_is_bold(parse):
    page = parse(html.comparison(RECORD))
    assert page.bold == {
        ("Rating error", "NeuMF", 1),
        ("Rating error", "biased MF", 2),
        ("Rating error", "NeuMF", 3),
        ("Ranking the rated test items", "NeuMF", 1),
        ("Ranking the whole catalogue", "popularity", 1),
    }


def test_validation_takes_no_part_in_the_contest(parse):
    record = {**RECORD, "validation": {"rmse": 0.1}}
    assert ("Rating error", "NeuMF", 1) in parse(html.comparison(record)).bold


def test_cards_set_the_headline_beside_the_best_baseline(page):
    words = page.words()
    assert "Test RMSE 0.8835 stars 0.0225 better than biased MF (0.9060)" in words
    assert "Test MAE 0.6941 stars 0.0141 worse than biased MF (0.6800)" in words
    assert "Test R² 0.3871 0.0271 better than biased MF (0.3600)" in words
    assert "Test NDCG@10 0.8671 equal to biased MF (0.8671)" in words


def test_a_card_without_value_or_rival():
    assert "no baseline" in fragments.card("rmse", 0.9, {"popularity": {"ndcg_at_10": 0.8}})
    assert "–" in fragments.card("rmse", None, {"mean": {"rmse": 1.1}})


def test_data_settings_training_and_how_to_repeat_it(page):
    rows = [row for table in page.tables for row in table["rows"]]
    for row in (
        ["rows", "1,000"],
        ["users", "50"],
        ["items", "80"],
        ["density", "25.00 % of all user-item pairs"],
        ["sha256", "50d2a982"],
        ["learning_rate", "0.001"],
        ["hidden", "64, 32"],
        ["ema", "yes"],
        ["bag", "none"],
        ["a.b_c", "1"],
        ["fitting", "1 min 23 s"],
        ["reading", "0.50 s"],
        ["samples per second", "21,432"],
        ["backend", "jax"],
        ["seed", "42"],
        ["keras", "3.15.1"],
    ):
        assert row in rows
    assert page.table("Ratings")[1:] == [["1", "100", "", "10.0 %"], ["5", "900", "", "90.0 %"]]
    assert page.table("Split: random")[1] == ["train", "700", "", "70.0 %"]
    words = page.words()
    assert "python recipes/movielens.py --seed 42" in words
    assert "NeuMF, 326,193 parameters" in words
    (epochs,) = [table["rows"] for table in page.tables if table["rows"][0][0] == "epoch"]
    assert epochs == [["epoch", "loss", "val_loss"], *[
        ["1", "0.9000", "1.0000"], ["2", "0.8000", "0.9500"], ["3", "–", "0.9700"]
    ]]  # fmt: skip


def test_synthetic_data_is_announced_and_real_data_is_not(written, page, tmp_path, parse):
    assert "The data is synthetic." in page.words()
    folder = run_folder.open_run(tmp_path / "run", {}, resume=False)
    record = {**RECORD, "data": {"source": "ml-100k", "rows": 1000, "sha256": "50d2"}}
    path = html.write_report(folder, record, title="t", intro="", command="c")
    real = parse(path.read_text(encoding="utf-8"))
    assert "synthetic" not in real.words()
    assert real.images == []
    assert "pictures" not in real.ids
    assert "settings" not in real.ids


def test_the_flattering_figures_are_said_to_flatter(page):
    words = page.words()
    for name in ("precision_at_10_of_ten_slots", "ndcg_at_10_retrieved_ideal"):
        assert re.search(rf"{name} This figure flatters:", words)
    assert page.table("Flattering figures, only to compare with published values")[1] == [
        "NeuMF",
        "0.6506",
        "0.9571",
    ]


def test_only_metrics_shown_are_explained():
    text = html.definitions(["rmse", "catalogue_ndcg_at_10", "catalogue_map_at_10", "novelty"])
    assert re.findall(r"<code>(.*?)</code>", text) == ["rmse", "catalogue_…"]
    assert html.definitions([]) == ""


def test_what_is_missing_is_said(tmp_path):
    texts = {"title": "t", "intro": "", "command": "c"}
    with pytest.raises(ConfigurationError, match="holds no run"):
        html.write_report(tmp_path, RECORD, **texts)
    folder = run_folder.open_run(tmp_path / "run", {}, resume=False)
    with pytest.raises(DataError, match="lacks keys"):
        html.write_report(folder, {**RECORD, "model": {"name": "NeuMF"}}, **texts)
    with pytest.raises(DataError, match=r"loss\.png: there is no such picture"):
        html.write_report(folder, RECORD, pictures=[html.Picture(folder / "loss.png", "", "")], **texts)
    (folder / "loss.png").write_text("not a picture")
    with pytest.raises(DataError, match="not a PNG"):
        html.write_report(folder, RECORD, pictures=[html.Picture(folder / "loss.png", "", "")], **texts)
    assert not (folder / "report.html").exists()
