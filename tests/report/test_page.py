import base64
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from kmodels.errors import ConfigurationError, DataError
from kmodels.files import write_json
from kmodels.report import page
from kmodels.report.metrics import METRICS, Metric
from kmodels.report.record import RunRecord, Timing, VariantRecord

HOSTILE = '<script>alert("x")</script> & {{ title }}'
SETTINGS = {"learning_rate": 0.001, "hidden": (64, 32), "note": HOSTILE, "ema": True, "bag": None, "a": {"b_c": 1}}
TIMING = Timing(0.5, 1.25, 83.2, 3, 21432.2, 2)
MODEL = VariantRecord(
    "NeuMF",
    326_193,
    {"rmse": 0.883512, "mae": 0.69412, "r2": 0.3871, "ndcg_at_10": 0.8671, "catalogue_ndcg_at_10": 0.101},
    {"rmse": 0.1, "mae": None},
    TIMING,
)
RECORD = RunRecord(
    recipe="ratings",
    backend="jax",
    seed=42,
    data={
        "source": "own.csv",
        "rows": 1000,
        "sha256": "50d2a982",
        "users": 50,
        "items": 80,
        "unit": "points",
        "synthetic": True,
        "rating_counts": {"1": 100, "5": 900},
        "split_name": "random",
        "split": {"train": 700, "validation": 150, "test": 150},
    },
    baselines={
        "global mean": {"rmse": 1.129, "mae": 0.944, "r2": -0.0001},
        "biased MF": {"rmse": 0.906, "mae": 0.68, "r2": 0.36, "ndcg_at_10": 0.8671},
        "popularity": {"ndcg_at_10": 0.79, "catalogue_ndcg_at_10": np.float64(0.12)},
    },
    versions={"keras": "3.15.1", "python": "3.11.7"},
    model=MODEL,
    warnings=[HOSTILE],
)
SMALL = VariantRecord("cnn", 900, {"accuracy": 0.8}, {"accuracy": 0.81}, TIMING, cost={"latency_ms": 2.0})
WIDE = VariantRecord(
    "cnn_wide", 90_000, {"accuracy": 0.9}, {"accuracy": 0.91}, TIMING, {"accuracy": 0.99}, {}, ["Slow."]
)
COMPARED = replace(
    RECORD,
    model=None,
    variants={"small": SMALL, "wide": WIDE},
    best="small",
    choice="small was chosen: it is cheap.",
    baselines={"majority": {"accuracy": 0.5}},
)
HISTORY = pd.DataFrame({"epoch": [1, 2, 3], "loss": [0.9, 0.8, np.nan], "val_loss": [1.0, 0.95, 0.97]})
TEMPLATE = """{% extends "report.html.j2" %}
{% block title %}Ratings {{ words }}{% endblock %}
{% block intro %}First paragraph.

{{ words }}{% endblock %}
{% block sections %}
{% call ui.section("Extra & part") %}
{% call ui.gallery() %}{{ ui.figure("errors", 'The "errors"', words) }}{% endcall %}
{{ ui.frame(table, caption="One table", name="class") }}
{{ ui.listing([words], "One text") }}
{% endcall %}
{% call ui.section("Nothing in it") %} {% endcall %}
{% endblock %}
"""


@pytest.fixture
def write(tmp_path):
    folder = tmp_path / "run"
    (folder / "plots").mkdir(parents=True)
    write_json(folder / "config.json", SETTINGS)

    def written(record, template='{% extends "report.html.j2" %}', **options):
        (tmp_path / "page.html.j2").write_text(template)
        return page.write_page(folder, tmp_path / "page.html.j2", record, **options)

    return written


@pytest.fixture
def full(write):
    return write(
        RECORD,
        TEMPLATE,
        figures={"errors": Figure(figsize=(1, 2)), "other": Figure(figsize=(1, 1))},
        histories={"NeuMF": HISTORY},
        layers={"NeuMF": f"dense (Dense) │ (None, 64)\n{HOSTILE}"},
        command=f"python recipes/ratings.py --seed 42 {HOSTILE}",
        words=HOSTILE,
        table=pd.DataFrame({"f1_score": [0.5, np.nan]}, index=["coat", "shirt"]),
    )


def test_the_page_needs_nothing_but_itself(full, parse):
    text = full.read_text(encoding="utf-8")
    found = parse(text)
    assert [address for address in found.addresses if not address.startswith(("data:", "#"))] == []
    assert not {"script", "iframe", "object", "embed", "audio", "video"} & found.tags
    assert "default-src 'none'" in text
    assert not re.search(r"url\(|@import|http", re.search(r"<style>(.*?)</style>", text, re.DOTALL).group(1))


def test_contents_lead_to_every_section_that_has_a_body(full, parse):
    found = parse(full.read_text(encoding="utf-8"))
    assert [address[1:] for address in found.addresses if address.startswith("#")] == found.ids
    assert "extra-part" in found.ids
    assert "nothing-in-it" not in found.ids


def test_figures_are_written_and_embedded_byte_for_byte(full, parse):
    (image,) = parse(full.read_text(encoding="utf-8")).images
    content = (full.parent / "plots" / "errors.png").read_bytes()
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) == content
    assert (image["width"], image["height"], image["alt"]) == ("144", "288", 'The "errors"')
    assert (full.parent / "plots" / "other.png").is_file()


def test_all_text_is_escaped(full, parse):
    found = parse(full.read_text(encoding="utf-8"))
    assert found.words().count(HOSTILE) == 9  # title twice, warning, intro, caption, list, setting, layers, command
    assert ["note", HOSTILE] in [row for table in found.tables for row in table["rows"]]


def test_tables_hold_the_record_to_full_precision(full, parse):
    found = parse(full.read_text(encoding="utf-8"))
    assert found.table("Prediction error") == [
        ["on the test split", "RMSE (points)\xa0↓", "MAE (points)\xa0↓", "R²\xa0↑"],
        ["NeuMF", "0.8835", "0.6941", "0.3871"],
        ["global mean", "1.1290", "0.9440", "-0.0001"],
        ["biased MF", "0.9060", "0.6800", "0.3600"],
        ["model on validation", "0.1000", "–", "–"],
    ]
    assert found.table("Ranking the whole catalogue")[1:] == [["NeuMF", "0.1010"], ["popularity", "0.1200"]]
    assert found.table("One table") == [["class", "f1 score"], ["coat", "0.5000"], ["shirt", "–"]]
    exact = {value for table in found.tables for value in table["exact"]}
    for values in (MODEL.test, *RECORD.baselines.values()):
        assert {float(value) for value in values.values()} <= exact


def test_the_best_test_value_of_a_column_is_bold_and_validation_takes_no_part(full, parse):
    assert parse(full.read_text(encoding="utf-8")).bold == {
        ("Prediction error", "NeuMF", 1),
        ("Prediction error", "biased MF", 2),
        ("Prediction error", "NeuMF", 3),
        ("Ranking the rated test items", "NeuMF", 1),
        ("Ranking the whole catalogue", "popularity", 1),
    }


def test_cards_compare_with_the_best_baseline(full, write, parse):
    words = parse(full.read_text(encoding="utf-8")).words()
    assert "Test RMSE 0.8835 points 0.0225 better than biased MF (0.9060)" in words
    assert "Test MAE 0.6941 points 0.0141 worse than biased MF (0.6800)" in words
    assert "Test NDCG@10 0.8671 equal to biased MF (0.8671)" in words
    words = parse(write(replace(RECORD, baselines={})).read_text(encoding="utf-8")).words()
    assert "no baseline" in words


def test_data_settings_training_and_environment(full, parse):
    found = parse(full.read_text(encoding="utf-8"))
    rows = [row for table in found.tables for row in table["rows"]]
    for row in (
        ["rows", "1,000"],
        ["density", "25.00 % of all user-item pairs"],
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
        ["1", "100", "", "10.0 %"],
        ["train", "700", "", "70.0 %"],
        ["3", "–", "0.9700"],
    ):
        assert row in rows


def test_metrics_of_a_recipe_s_own_are_labelled_and_explained(write, parse, monkeypatch):
    record = replace(RECORD, model=replace(MODEL, test={"lift": 2.0}), baselines={})
    monkeypatch.setitem(METRICS, "lift", Metric("Lift", "higher", "Own figures", "Times better than chance."))
    found = parse(write(record).read_text(encoding="utf-8"))
    assert found.table("Own figures") == [["on the test split", "Lift\xa0↑"], ["NeuMF", "2.0000"]]
    assert "Times better than chance." in found.words()


def test_variants_are_compared_with_what_they_cost(write, parse):
    options = {"histories": {"small": HISTORY, "wide": HISTORY}, "layers": {"wide": "dense"}}
    found = parse(write(COMPARED, **options).read_text(encoding="utf-8"))
    words = found.words()
    assert "2 variants compared, small chosen" in words
    assert "small was chosen: it is cheap." in words
    assert words.count("Slow.") == 2  # at the top and at the variant
    contests = [table["rows"] for table in found.tables if table["caption"] == "Classes"]
    assert contests[0][1:] == [["small", "0.8000"], ["wide", "0.9000"], ["majority", "0.5000"]]
    assert contests[1][1:] == [["small", "0.8100"], ["wide", "0.9100"]]
    assert contests[2][1:] == [["wide", "0.9900"]]
    costs = [table["rows"] for table in found.tables if table["caption"] == "What each costs"]
    assert costs[0][1:] == [["small", "3", "900", "83.2", "2"], ["wide", "3", "90,000", "83.2", "–"]]


@pytest.mark.parametrize(
    ("template", "options", "error", "message"),
    [
        (
            '{% extends "report.html.j2" %}{% block sections %}{{ absent }}{% endblock %}',
            {},
            ConfigurationError,
            "absent",
        ),
        (
            '{% extends "report.html.j2" %}{% block sections %}{{ ui.figure("loss", "") }}{% endblock %}',
            {},
            ConfigurationError,
            "'loss'",
        ),
    ],
)
def test_what_the_page_was_not_given_is_an_error_and_no_page(write, template, options, error, message):
    with pytest.raises(error, match=message):
        write(RECORD, template, **options)
    with pytest.raises(ConfigurationError, match="holds no run"):
        page.write_page("missing", "page.html.j2", RECORD)


def test_two_rows_of_one_name_are_refused(write):
    table = pd.DataFrame({"a": [1, 2]}, index=["x", "x"])
    template = '{% extends "report.html.j2" %}{% block sections %}{{ ui.frame(table) }}{% endblock %}'
    with pytest.raises(DataError, match="same name"):
        write(RECORD, template, table=table)
