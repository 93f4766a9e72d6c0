import json
from pathlib import Path

import numpy as np
import pytest

from kmodels.errors import ConfigurationError, DataError
from kmodels.report import run_folder
from tests.mutation import mutations

CONFIG = {"seed": 1, "epochs": 30, "hidden": (64, 32), "data": Path("ml-1m"), "rate": np.float32(0.5)}


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


@pytest.mark.parametrize(("text", "complaint"), [("{", "not valid JSON"), ("[1]", "received 'list'")])
def test_settings_that_cannot_be_read_are_reported(tmp_path, text, complaint):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(DataError, match=rf"config\.json: .*{complaint}"):
        run_folder.open_run(tmp_path, CONFIG, resume=True)


def test_damaged_settings_are_refused_or_the_same(tmp_path):
    path, refused = run_folder.open_run(tmp_path / "run", CONFIG, resume=False) / "config.json", []
    content, expected = path.read_bytes(), run_folder.read_config(tmp_path / "run")
    for damaged in mutations(content, 300):
        path.write_bytes(damaged)
        try:
            run_folder.open_run(tmp_path / "run", CONFIG, resume=True)
        except (DataError, ConfigurationError) as error:
            refused.append(str(error))
            continue
        assert run_folder.read_config(tmp_path / "run") == expected
    assert len(refused) > 200
    assert all(str(tmp_path / "run") in each for each in refused)


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
    (tmp_path / "config.99.tmp.json").write_text('{"se')
    assert run_folder.open_run(tmp_path, {"seed": 1}, resume=False) == tmp_path
    assert run_folder.read_config(tmp_path) == {"seed": 1}


def test_versions_name_what_is_installed():
    found = run_folder.versions()
    assert found["numpy"] == np.__version__
    assert {"python", "platform", "kmodels", "keras", "pandas", "scikit-learn"} <= set(found)
    assert all(isinstance(version, str) and version for version in found.values())
