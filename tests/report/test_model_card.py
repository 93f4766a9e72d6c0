import re

import pytest

from kmodels.errors import ConfigurationError, DataError
from kmodels.report import model_card, run_folder

RECORD = {
    "recipe": "movielens",
    "backend": "torch",
    "data": {"source": "ml-100k", "rows": 99_287, "sha256": "50d2a982", "unit": "stars"},
    "seed": 42,
    "model": {"name": "NeuMF", "parameters": 326_193},
    "test": {"rmse": 0.883512, "catalogue_ndcg_at_10": 0.101, "ndcg_at_10_retrieved_ideal": 0.9571},
    "validation": {"rmse": 0.881},
    "baselines": {"global mean": {"rmse": 1.129}, "biased MF": {"rmse": 0.906}},
    "timing": {
        "load_s": 0.5,
        "prepare_s": 1.25,
        "fit_s": 83.2,
        "epochs": 3,
        "samples_per_s": 2.0,
        "evaluate_s": 2,
    },
    "versions": {"keras": "3.15.1"},
}
INPUTS = [
    model_card.ModelInput("user", (None,), "int32", "row of the table, 0 = unknown"),
    model_card.ModelInput("genres", (None, 18), "float32", "0 or 1 | one column a genre"),
]
TEXTS = {
    "description": "Predicts ratings.",
    "intended_use": "Research on recommendation.",
    "limitations": "Knows only films of the 1990s.",
    "data_summary": "MovieLens-100K, split at random for each user.",
    "inputs": INPUTS,
    "output": "(n, 1) rating / 5",
}


@pytest.fixture
def folder(tmp_path):
    config = {"learning_rate": 0.001, "note": "a|b\n<script>", "optimizer": {"name": "adam"}, "bag": None}
    return run_folder.open_run(tmp_path / "run", config, resume=False)


def tables(text):
    """Each table's rows, cells split where a bar is not escaped."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", text, re.M)
    rows = [[re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines()] for block in blocks]
    return [[[cell.strip() for cell in row] for row in block] for block in rows]


def test_sections_stand_in_order_with_their_texts(folder):
    path = model_card.write_model_card(folder, RECORD, **TEXTS)
    assert path == folder / "MODEL_CARD.md"
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"^#+ (.*)$", text, re.M) == [
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
    for words in ("description", "intended_use", "limitations", "data_summary", "output"):
        assert TEXTS[words] in text
    assert "synthetic" not in text


def test_every_table_is_whole_and_numbers_equal_the_record(folder):
    found = tables(model_card.write_model_card(folder, RECORD, **TEXTS).read_text(encoding="utf-8"))
    assert all(len(row) == len(table[0]) for table in found for row in table)
    rows = [row for table in found for row in table]
    assert ["RMSE (stars) ↓", "0.8835", "0.8810", "1.1290", "0.9060"] in rows
    assert ["Catalogue NDCG@10 ↑", "0.1010", "–", "–", "–"] in rows
    assert ["NDCG@10, retrieved ideal ↑ (flatters)", "0.9571", "–", "–", "–"] in rows
    assert ["metric", "test", "validation", "global mean", "biased MF"] in rows
    assert ["Parameters", "326,193"] in rows
    assert ["SHA-256", "`50d2a982`"] in rows
    assert ["optimizer.name", "adam"] in rows
    assert ["bag", "none"] in rows
    assert ["note", "a\\|b &lt;script>"] in rows
    assert ["`user`", "(any,)", "int32", "row of the table, 0 = unknown"] in rows
    assert ["`genres`", "(any, 18)", "float32", "0 or 1 \\| one column a genre"] in rows


def test_the_code_that_loads_the_model_feeds_every_input(folder, monkeypatch):
    text = model_card.write_model_card(folder, RECORD, **TEXTS).read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    assert 'keras.saving.load_model("model.keras")' in code
    assert "kmodels" not in code
    names = {}
    row = re.search(r"^row = \{.*?^\}", code, re.S | re.M).group(0)
    exec("import numpy as np\n" + row, names)
    assert {name: (array.shape, str(array.dtype)) for name, array in names["row"].items()} == {
        "user": ((1,), "int32"),
        "genres": ((1, 18), "float32"),
    }
    compile(code, "MODEL_CARD.md", "exec")


def test_synthetic_data_is_announced(folder):
    record = {**RECORD, "data": {**RECORD["data"], "synthetic": True}}
    assert "**The data is synthetic:**" in model_card.write_model_card(folder, record, **TEXTS).read_text()


def test_what_is_missing_is_said(tmp_path, folder):
    with pytest.raises(ConfigurationError, match="holds no run"):
        model_card.write_model_card(tmp_path, RECORD, **TEXTS)
    record = {key: value for key, value in RECORD.items() if key != "timing"}
    with pytest.raises(DataError, match="timing"):
        model_card.write_model_card(folder, record, **TEXTS)


def test_of_variants_the_card_is_the_best_ones_and_lists_all(folder):
    common = {key: value for key, value in RECORD.items() if key not in ("model", "test", "validation", "timing")}
    one = {key: RECORD[key] for key in ("model", "test", "validation", "timing")}
    record = {
        **common,
        "variants": {"a_small": one, "c_wide": {**one, "model": {"name": "wide", "parameters": 900_000}}},
        "best": "c_wide",
        "choice": "c_wide was chosen: it is <b>best</b>.",
        "warnings": ["A column of the future was used."],
    }
    text = model_card.write_model_card(folder, record, **TEXTS).read_text(encoding="utf-8")
    assert text.startswith("# wide\n")
    assert "**Warning:** A column of the future was used." in text
    assert "c_wide was chosen: it is &lt;b>best&lt;/b>." in text
    rows = [row for table in tables(text) for row in table]
    assert ["Parameters", "900,000"] in rows
    assert ["a_small", "0.8835", "0.1010", "0.9571", "326,193", "83.20"] in rows
    assert ["**c_wide**", "0.8835", "0.1010", "0.9571", "900,000", "83.20"] in rows
