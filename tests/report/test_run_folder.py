import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest

from kmodels.errors import ConfigurationError, DataError
from kmodels.report import record, run_folder

CONFIG = {"seed": 1, "epochs": 30, "hidden": (64, 32), "data": Path("ml-1m"), "rate": np.float32(0.5)}
RECORD = {
    "recipe": "movielens",
    "backend": "jax",
    "data": {"source": "ml-100k", "rows": np.int64(100_000), "sha256": "50d2"},
    "seed": 1,
    "model": {"name": "NeuMF", "parameters": 326_193},
    "test": {"rmse": np.float32(0.5), "r2": float("nan")},
    "validation": {"rmse": 0.75},
    "baselines": {"global mean": {"rmse": 1.125, "r2": float("inf")}},
    "timing": {
        "load_s": 0.1,
        "prepare_s": 0.2,
        "fit_s": 3.0,
        "epochs": 5,
        "samples_per_s": 9.0,
        "evaluate_s": 0.4,
    },
    "versions": {"keras": "3.15.1"},
    "notes": {"hidden": (64, 32), "curve": np.arange(3)},
}


def refuse_constant(name):
    raise AssertionError(f"{name} is not JSON")


def test_a_new_run_has_its_settings_and_a_place_for_pictures(tmp_path):
    out = run_folder.open_run(tmp_path / "runs" / "movielens", CONFIG, resume=False)
    assert out == tmp_path / "runs" / "movielens"
    assert (out / "plots").is_dir()
    expected = {"seed": 1, "epochs": 30, "hidden": [64, 32], "data": "ml-1m", "rate": 0.5}
    assert json.loads((out / "config.json").read_text()) == expected == run_folder.read_config(out)
    assert sorted(path.name for path in out.iterdir()) == ["config.json", "plots"]


def test_resume_with_the_same_settings_keeps_every_file(tmp_path):
    out = run_folder.open_run(tmp_path / "run", CONFIG, resume=False)
    (out / "history.csv").write_text("epoch,loss\n1,0.5\n")
    assert run_folder.open_run(out, CONFIG, resume=True) == out
    assert (out / "history.csv").read_text() == "epoch,loss\n1,0.5\n"
    assert not (tmp_path / "run.previous").exists()


def test_resume_with_other_settings_lists_each_difference_and_touches_nothing(tmp_path):
    out = run_folder.open_run(tmp_path / "run", CONFIG, resume=False)
    before = (out / "config.json").read_bytes()
    other = {**CONFIG, "epochs": 40, "hidden": (64, 16), "dropout": 0.3}
    del other["rate"]
    with pytest.raises(ConfigurationError) as caught:
        run_folder.open_run(out, other, resume=True)
    message = str(caught.value)
    assert "epochs is 30 there, 40 was asked for" in message
    assert "hidden is [64, 32] there, [64, 16] was asked for" in message
    assert "dropout is absent there, 0.3 was asked for" in message
    assert "rate is 0.5 there, absent was asked for" in message
    assert "seed" not in message
    assert (out / "config.json").read_bytes() == before


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir], ids=["missing", "empty"])
def test_resume_needs_a_run(tmp_path, make):
    make(tmp_path / "run")
    with pytest.raises(ConfigurationError, match="holds no run"):
        run_folder.open_run(tmp_path / "run", CONFIG, resume=True)


@pytest.mark.parametrize(("text", "complaint"), [("{", "not valid JSON"), ("[1]", "holds a list")])
def test_settings_that_cannot_be_read_are_reported(tmp_path, text, complaint):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigurationError, match=complaint):
        run_folder.open_run(tmp_path, CONFIG, resume=True)


def test_the_previous_run_is_kept_and_only_the_last_one(tmp_path, capsys):
    for seed in (1, 2, 3):
        out = run_folder.open_run(tmp_path / "run", {"seed": seed}, resume=False)
        (out / "model.keras").write_text(f"weights of {seed}")
    assert run_folder.read_config(tmp_path / "run") == {"seed": 3}
    assert run_folder.read_config(tmp_path / "run.previous") == {"seed": 2}
    assert (tmp_path / "run.previous" / "model.keras").read_text() == "weights of 2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.previous"]
    assert capsys.readouterr().out.count("run.previous") == 2


def test_foreign_files_are_never_moved(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("precious")
    with pytest.raises(ConfigurationError, match=r"holds no run.*thesis\.tex"):
        run_folder.open_run(tmp_path / "run", CONFIG, resume=False)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_a_previous_folder_that_is_no_run_is_never_replaced(tmp_path):
    out = run_folder.open_run(tmp_path / "run", CONFIG, resume=False)
    (tmp_path / "run.previous").mkdir()
    (tmp_path / "run.previous" / "thesis.tex").write_text("precious")
    with pytest.raises(ConfigurationError, match=r"run\.previous holds no run"):
        run_folder.open_run(out, CONFIG, resume=False)
    assert (tmp_path / "run.previous" / "thesis.tex").read_text() == "precious"
    assert (out / "config.json").exists()


def test_the_current_folder_is_not_moved_away(tmp_path, monkeypatch):
    run_folder.open_run(tmp_path / "run", CONFIG, resume=False)
    monkeypatch.chdir(tmp_path / "run")
    with pytest.raises(ConfigurationError, match="current folder"):
        run_folder.open_run(".", CONFIG, resume=False)


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(ConfigurationError, match="is a file"):
        run_folder.open_run(tmp_path / "run", CONFIG, resume=False)


def test_a_run_killed_while_writing_its_settings_can_start_again(tmp_path):
    (tmp_path / "config.tmp.json").write_text('{"se')
    assert run_folder.open_run(tmp_path, {"seed": 1}, resume=False) == tmp_path
    assert run_folder.read_config(tmp_path) == {"seed": 1}


def test_metrics_come_back_as_numbers(tmp_path):
    path = run_folder.write_metrics(tmp_path, RECORD)
    text = path.read_text()
    strict = json.loads(text, parse_constant=refuse_constant)
    assert strict == run_folder.read_metrics(tmp_path)
    assert strict["test"] == {"rmse": 0.5, "r2": None}
    assert strict["baselines"] == {"global mean": {"rmse": 1.125, "r2": None}}
    assert strict["data"]["rows"] == 100_000
    assert strict["notes"] == {"hidden": [64, 32], "curve": [0, 1, 2]}
    assert '\n  "seed": 1' in text
    assert math.isnan(RECORD["test"]["r2"])
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


REQUIRED = [(key, inner) for key, inners in record.REQUIRED.items() for inner in (None, *inners)]


@pytest.mark.parametrize(("key", "inner"), REQUIRED)
def test_each_promised_key_is_required(tmp_path, key, inner):
    broken = copy.deepcopy(RECORD)
    del (broken if inner is None else broken[key])[key if inner is None else inner]
    with pytest.raises(DataError, match=key if inner is None else f"{key}.{inner}"):
        run_folder.write_metrics(tmp_path, broken)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"test": 0.9}, "'test'"),
        ({"baselines": {"global mean": 1.1}}, "'baselines.global mean'"),
        ({"baselines": [1.1]}, "'baselines'"),
        ({"validation": {"rmse": "good"}}, "'validation.rmse': not a number"),
        ({"notes": {"model": object()}}, "record.notes.model"),
    ],
)
def test_values_that_do_not_fit_are_refused(tmp_path, change, place):
    with pytest.raises(DataError, match=place):
        run_folder.write_metrics(tmp_path, {**RECORD, **change})


def test_a_failed_write_leaves_the_earlier_file(tmp_path):
    run_folder.write_metrics(tmp_path, RECORD)
    with pytest.raises(DataError):
        run_folder.write_metrics(tmp_path, {**RECORD, "seed": object()})
    assert run_folder.read_metrics(tmp_path)["seed"] == 1


def test_metrics_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        run_folder.read_metrics(tmp_path)
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        run_folder.read_metrics(tmp_path)


def test_versions_name_what_is_installed():
    found = run_folder.versions()
    assert found["numpy"] == np.__version__
    assert {"python", "platform", "kmodels", "keras", "pandas", "scikit-learn"} <= set(found)
    assert all(isinstance(version, str) and version for version in found.values())
