import re
from collections import Counter
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from kmodels.errors import ConfigurationError, printable
from kmodels.files import write_json
from kmodels.report import model_card
from kmodels.report.record import RunRecord, Timing, VariantRecord

TIMING = Timing(0.5, 1.25, 83.2, 3, 2.0, 2)
MODEL = VariantRecord("NeuMF", 326_193, {"rmse": 0.883512, "catalogue_ndcg_at_10": 0.101}, {"rmse": 0.881}, TIMING)
RECORD = RunRecord(
    recipe="ratings",
    backend="torch",
    seed=42,
    data={"source": "own<b>.csv", "rows": 99_287, "sha256": "50d2a982", "unit": "points"},
    baselines={"global mean": {"rmse": 1.129}, "biased MF": {"rmse": 0.906}},
    versions={"keras": "3.15.1"},
    model=MODEL,
)
TEMPLATE = """{% extends "model_card.md.j2" %}
{% block description %}Predicts ratings of {{ data.source }}.{% endblock %}
{% block uses %}Research.{% endblock %}
{% block limitations %}Knows few rows.{% endblock %}
{% block inputs %}{{ inputs_table({"user": "row of the table | 0 = unknown"}, "side feature") }}{% endblock %}
{% block output %}(n, 1) points{% endblock %}
{% block data %}Ratings of {{ words }}.{% endblock %}
"""
INPUTS = {"user": ((None,), "int32"), "tags": ((None, 18), "float32")}


@pytest.fixture
def write(tmp_path):
    settings = {"learning_rate": 0.001, "note": "a|b\n<script>", "optimizer": {"name": "adam"}, "bag": None}
    folder = tmp_path / "run"
    folder.mkdir()
    write_json(folder / "config.json", settings)
    (tmp_path / "card.md.j2").write_text(TEMPLATE)

    def written(record, words="people", **context):
        path = model_card.write_model_card(
            folder, tmp_path / "card.md.j2", record, inputs=INPUTS, words=words, **context
        )
        return path.read_text(encoding="utf-8")

    return written


def tables(text):
    """Each table's rows, cells split where a bar is not escaped."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    rows = [[re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines()] for block in blocks]
    return [[[cell.strip() for cell in row] for row in block] for block in rows]


def test_sections_stand_in_order_with_the_recipe_s_words(write):
    text = write(RECORD)
    assert re.findall(r"^#+ (.*)$", text, re.MULTILINE) == [
        "NeuMF",
        "Model details",
        "Uses",
        "Limitations, bias and risks",
        "How to load it",
        "Training data",
        "Training",
        "Evaluation",
        "Environment",
    ]
    assert re.search(r"Predicts ratings.*Research\..*Knows few rows\..*\(n, 1\) points.*of people", text, re.DOTALL)
    assert "synthetic" not in text


def test_every_table_is_whole_and_holds_the_record(write):
    found = tables(write(RECORD))
    assert len(found) == 7
    assert all(len(row) == len(table[0]) for table in found for row in table)
    rows = [row for table in found for row in table]
    for row in (
        ["on the test split", "RMSE (points) ↓"],
        ["**NeuMF**", "0.8835"],
        ["biased MF", "0.9060"],
        ["model on validation", "0.8810"],
        ["on the test split", "NDCG@10 ↑"],
        ["**NeuMF**", "0.1010"],
        ["Parameters", "326,193"],
        ["SHA-256", "`50d2a982`"],
        ["optimizer.name", "adam"],
        ["bag", "none"],
        ["note", "a\\|b &lt;script&gt;"],
        ["`user`", "(any,)", "int32", "row of the table \\| 0 = unknown"],
        ["`tags`", "(any, 18)", "float32", "side feature"],
    ):
        assert row in rows


# What Hugging Face's specification asks of an entry of `model-index`: these keys, and values of these types.
SPECIFIED = {
    "task": {"type": str},
    "dataset": {"type": str, "name": str, "split": str},
    "metrics": {"type": str, "name": str, "value": float},
}


def test_hugging_face_reads_the_metadata_above_the_text(write, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    test = {"rmse": 0.883512, "r2": -0.25, "tiny": 5e-5, "catalogue_ndcg_at_10": None}
    text = write(replace(RECORD, model=replace(MODEL, test=test)), task="tabular-regression")
    card = hub.ModelCard.load(tmp_path / "run" / "MODEL_CARD.md")
    assert card.text.startswith("\n# NeuMF\n")
    found = card.data
    assert (found.license, found.library_name, found.pipeline_tag) == ("unknown", "keras", "tabular-regression")
    assert (found.tags, found.datasets) == (["kmodels", "ratings"], ["own-b"])
    assert found.metrics == ["rmse", "r_squared", "tiny"]
    assert found.model_name == "NeuMF"
    results = {each.metric_type: each for each in found.eval_results}
    assert {name: each.metric_value for name, each in results.items()} == {
        "rmse": 0.883512,
        "r_squared": -0.25,
        "tiny": 5e-5,
    }
    assert {(each.task_type, each.dataset_type, each.dataset_split) for each in found.eval_results} == {
        ("tabular-regression", "own-b", "test")
    }
    assert results["rmse"].metric_name == "RMSE"
    (model,) = hub.repocard.metadata_load(tmp_path / "run" / "MODEL_CARD.md")["model-index"]
    for entry in model["results"]:
        metrics = entry.pop("metrics")
        for name, each in [*entry.items(), *(("metrics", metric) for metric in metrics)]:
            assert {key: type(value) for key, value in each.items()} == SPECIFIED[name]
    assert hub.ModelCard(str(card)).data.to_dict() == found.to_dict()
    assert text.count("\n---\n") == 1


@pytest.mark.parametrize(
    ("data", "license", "name"),
    [
        ({"synthetic": True, "source": "sample"}, "apache-2.0", "kmodels-ratings-sample"),
        ({"source": "/home/somebody/Secret plan/ratings 2026.csv.gz"}, "unknown", "ratings-2026-csv"),
        ({"source": "ml-100k"}, "unknown", "ml-100k"),
        ({"source": "…"}, "unknown", "data"),
    ],
)
def test_data_is_named_without_its_folder_and_only_samples_have_a_licence(write, tmp_path, data, license, name):
    hub = pytest.importorskip("huggingface_hub")
    write(replace(RECORD, data=RECORD.data | data))
    found = hub.ModelCard.load(tmp_path / "run" / "MODEL_CARD.md").data
    assert (found.license, found.datasets, found.pipeline_tag) == (license, [name], None)


@pytest.mark.parametrize(
    "text", ["a: b # c", "---", "'\"\n- x", "\x1b[2J\x00", "{{ a }}", "ü […]", "true", "1e3", "@x"]
)
def test_names_of_models_and_metrics_are_text_in_the_metadata(write, tmp_path, text):
    hub = pytest.importorskip("huggingface_hub")
    write(replace(RECORD, recipe=text, model=replace(MODEL, name=text, test={text: 1.0})))
    found = hub.ModelCard.load(tmp_path / "run" / "MODEL_CARD.md").data
    plain = printable(text)
    assert (found.model_name, found.tags[1], found.metrics) == (plain, plain, [plain])


def test_values_cannot_become_markup(write):
    text = write(RECORD, "<script>")
    assert "<script" not in text
    assert "<b>" not in text


def test_warnings_and_synthetic_data_are_said(write):
    record = replace(RECORD, model=replace(MODEL, warnings=["A\nconstant prediction."]))
    text = write(replace(record, data=RECORD.data | {"synthetic": True}))
    assert "**Warning:** A constant prediction." in text
    assert "**The data is synthetic:**" in text


def test_the_code_that_loads_the_model_feeds_every_input(write):
    (code,) = re.findall(r"```python\n(.*?)```", write(RECORD), re.DOTALL)
    assert "kmodels" not in code
    names = {}
    exec("import numpy as np\n" + re.search(r"^row = \{.*?^\}", code, re.DOTALL | re.MULTILINE).group(0), names)
    shapes = {name: (array.shape, array.dtype.name) for name, array in names["row"].items()}
    assert shapes == {"user": ((1,), "int32"), "tags": ((1, 18), "float32")}


def test_of_variants_the_card_is_the_best_one_s_and_lists_all(write):
    other = VariantRecord("wide", 900_000, {"rmse": 0.87}, {"rmse": 0.88}, TIMING, cost={"latency_ms": 2.0})
    variants = {"small": MODEL, "wide": other}
    text = write(replace(RECORD, model=None, variants=variants, best="small", choice="small was chosen."))
    assert "\n---\n\n# NeuMF\n" in text
    assert "small was chosen." in text
    (table,) = [table for table in tables(text) if table[0][0] == "variant"]
    assert [row[0] for row in table[2:]] == ["**small**", "wide"]
    assert table[3][1:3] == ["3", "900,000"]
    assert table[0][-1] == "time of one prediction (ms)"
    rows = [row for table in tables(text) for row in table]
    for row in (["wide", "0.8700"], ["wide", "0.8800"], ["**small**", "0.8810"]):
        assert row in rows


def test_a_card_without_its_words_is_an_error(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    write_json(folder / "config.json", {})
    with pytest.raises(ConfigurationError, match=r"absent\.j2"):
        model_card.write_model_card(folder, tmp_path / "absent.j2", RECORD, inputs={})


HOSTILE = [
    "<script>alert(1)</script>",
    "[click](http://evil.example)",
    "![x](x.png)",
    "`a` ``b``",
    "a|b",
    "first\n\n# second\n\n- third",
    "**bold** _soft_ ~~gone~~",
    "&lt; <https://evil.example>",
    "\\`x\\` \\",
    "{{ title }}",
    "- item",
    "\x1b[2J\x00",
]


def parsed(text):
    """How often a Markdown parser finds each kind of markup, and the text in it."""
    blocks = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    tokens = [token for block in blocks for token in (block, *(block.children or ()))]
    words = [token.content for token in tokens if token.type in ("text", "code_inline")]
    return Counter(token.type for token in tokens if token.type not in ("text", "code_inline", "softbreak")), words


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_the_data_is_markup(write, text):
    def card(text):
        data = {"source": text, "rows": 9, "sha256": text, "unit": text}
        record = replace(RECORD, data=data, baselines={text: {"rmse": 1.0}}, warnings=[text], versions={text: text})
        return parsed(write(record, text))

    (expected, _), (found, words) = card("text"), card(text)
    assert found == expected
    assert "\n".join(words).count(printable(" ".join(text.split()))) >= 8
    assert "://" not in "".join(write(replace(RECORD, warnings=[text])).split("```python")[0])


def test_what_is_code_stays_code(write):
    text = write(replace(RECORD, data=RECORD.data | {"source": "my_data/a*b.csv"}))
    assert "| Source | my_data/a\\*b.csv |" in text
    assert "`50d2a982`" in text
