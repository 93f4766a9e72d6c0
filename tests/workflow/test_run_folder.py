import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kmodels.errors import ConfigurationError, DataError
from kmodels.report.record import read_config
from kmodels.workflow import run_folder
from tests.mutation import mutations

pytestmark = pytest.mark.first_backend  # files alone

CONFIG = {"seed": 1, "epochs": 30, "hidden": (64, 32), "data": Path("ml-1m"), "rate": np.float32(0.5)}


def open_run(folder, config, *, resume):
    run_folder.open_run(folder, config, resume=resume)
    return folder


def test_a_new_run_has_its_settings_and_a_place_for_pictures(tmp_path):
    out = open_run(tmp_path / "runs" / "movielens", CONFIG, resume=False)
    assert (out / "plots").is_dir()
    expected = {"seed": 1, "epochs": 30, "hidden": [64, 32], "data": "ml-1m", "rate": 0.5}
    assert json.loads((out / "config.json").read_text()) == expected == read_config(out)
    assert sorted(path.name for path in out.iterdir()) == [".kmodels", "config.json", "plots"]


def test_resume_with_the_same_settings_keeps_every_file(tmp_path):
    out = open_run(tmp_path / "run", CONFIG, resume=False)
    (out / "history.csv").write_text("epoch,loss\n1,0.5\n")
    assert run_folder.open_run(out, CONFIG, resume=True) == json.loads((out / "config.json").read_text())
    assert (out / "history.csv").read_text() == "epoch,loss\n1,0.5\n"
    assert not (tmp_path / "run.previous").exists()


def test_resume_with_other_settings_lists_each_difference_and_touches_nothing(tmp_path):
    out = open_run(tmp_path / "run", CONFIG, resume=False)
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
    path, refused = open_run(tmp_path / "run", CONFIG, resume=False) / "config.json", []
    content, expected = path.read_bytes(), read_config(tmp_path / "run")
    for damaged in mutations(content, 300):
        path.write_bytes(damaged)
        try:
            run_folder.open_run(tmp_path / "run", CONFIG, resume=True)
        except (DataError, ConfigurationError) as error:
            refused.append(str(error))
            continue
        assert read_config(tmp_path / "run") == expected
    assert len(refused) > 200
    assert all(str(tmp_path / "run") in each for each in refused)


def test_the_previous_run_is_kept_and_only_the_last_one(tmp_path, capsys):
    for seed in (1, 2, 3):
        out = open_run(tmp_path / "run", {"seed": seed}, resume=False)
        (out / "model.keras").write_text(f"weights of {seed}")
    assert read_config(tmp_path / "run") == {"seed": 3}
    assert read_config(tmp_path / "run.previous") == {"seed": 2}
    assert (tmp_path / "run.previous" / "model.keras").read_text() == "weights of 2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.previous"]
    assert capsys.readouterr().out.count("run.previous") == 2


def foreign(folder):
    """Puts a file of somebody's in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "thesis.tex").write_text("precious")


FOREIGN = {
    "nothing of a run": foreign,
    "settings of something else": lambda folder: (foreign(folder), (folder / "config.json").write_text("{}")),
    "only settings of something else": lambda folder: (folder.mkdir(), (folder / "config.json").write_text("{}")),
    "a run and more": lambda folder: (run_folder.open_run(folder, CONFIG, resume=False), foreign(folder)),
    "a run and more below": lambda folder: foreign(open_run(folder, CONFIG, resume=False) / "plots"),
    "a run in a run": lambda folder: (
        run_folder.open_run(folder, CONFIG, resume=False),
        run_folder.open_run(folder / "variants", CONFIG, resume=False),
    ),
    "a run and a link": lambda folder: (open_run(folder, CONFIG, resume=False) / "plots" / "loss.png").symlink_to(
        folder
    ),
}


def everything(folder):
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_a_folder_with_anything_but_a_run_is_neither_moved_nor_removed(tmp_path, make):
    make(tmp_path / "run")
    before = everything(tmp_path)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"run holds more|run is not"):
            run_folder.open_run(tmp_path / "run", CONFIG, resume=False)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_a_previous_folder_with_anything_but_a_run_is_never_replaced(tmp_path, make):
    make(tmp_path / "run.previous")
    out = open_run(tmp_path / "run", CONFIG, resume=False)
    before = everything(tmp_path)
    with pytest.raises(ConfigurationError, match=r"run\.previous"):
        run_folder.open_run(out, CONFIG, resume=False)
    assert everything(tmp_path) == before


def test_what_a_run_writes_is_known(tmp_path):
    for _ in range(3):
        out = open_run(tmp_path / "run", CONFIG, resume=False)
        for name in (
            "variants/net/checkpoint.npz",
            "search/journal.jsonl",
            "model.keras",
            "model.onnx",
            "model.tflite",
            "model/saved_model.pb",
            "model/variables/variables.index",
        ):
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_text("")
        (out / "plots" / "loss_curves.png").write_text("")
        (out / "variants" / "net" / "checkpoint.77.tmp.npz").write_text("")
        assert run_folder.foreign(out) == []
    assert (tmp_path / "run.previous" / "model.keras").exists()  # moved, not refused


def test_a_link_or_a_mount_point_is_no_folder_for_a_run(tmp_path, monkeypatch):
    run_folder.open_run(tmp_path / "run", CONFIG, resume=False)
    (tmp_path / "link").symlink_to(tmp_path / "run")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("link", "dangling"):
        with pytest.raises(ConfigurationError, match="is a link"):
            run_folder.open_run(tmp_path / name, CONFIG, resume=False)
    assert run_folder.open_run(tmp_path / "link", CONFIG, resume=True)
    monkeypatch.setattr(run_folder.os.path, "ismount", lambda path: Path(path) == tmp_path / "mounted")
    with pytest.raises(ConfigurationError, match="mount point"):
        run_folder.open_run(tmp_path / "mounted", CONFIG, resume=False)


def test_a_folder_belongs_to_one_process_until_that_ends(tmp_path):
    run_folder.open_run(tmp_path / "run", {"seed": 1}, resume=False)
    code = """
import sys
from kmodels.workflow import run_folder
run_folder.open_run(sys.argv[1], {"seed": 2}, resume=False)
print("open", flush=True)
input()
"""
    command = [sys.executable, "-c", code, str(tmp_path / "other")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "open\n"
        for resume in (False, True):
            with pytest.raises(ConfigurationError, match="another run that has not ended"):
                run_folder.open_run(tmp_path / "other", {"seed": 2}, resume=resume)
        process.kill()
    assert run_folder.open_run(tmp_path / "other", {"seed": 2}, resume=True)
    assert run_folder.open_run(tmp_path / "other", {"seed": 2}, resume=False)
    assert run_folder.open_run(tmp_path / "other", {"seed": 2}, resume=True)


def test_a_killed_removal_of_the_previous_run_can_be_ended(tmp_path, monkeypatch):
    for _ in range(2):
        out = open_run(tmp_path / "run", CONFIG, resume=False)
        (out / "model.keras").write_text("")
    with monkeypatch.context() as patch:
        patch.setattr(run_folder.shutil, "rmtree", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run_folder.open_run(tmp_path / "run", CONFIG, resume=False)
    run_folder.open_run(tmp_path / "run", CONFIG, resume=False)


def test_other_spellings_of_a_path_are_the_same_setting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b_small", "b_large"):
        (tmp_path / name).mkdir()
    config = {"data": "b_small", "mode": "b_large", "other": "x"}
    run_folder.open_run("run", config, resume=False)
    for data in ("./b_small", "b_large/../b_small/", str(tmp_path / "b_small")):
        assert run_folder.open_run("run", config | {"data": data}, resume=True)
    for other in ({"data": "b_large"}, {"data": "nowhere"}, {"other": "./x"}):
        with pytest.raises(ConfigurationError, match="other settings"):
            run_folder.open_run("run", config | other, resume=True)


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
    out = open_run(tmp_path / "run", {"seed": 1}, resume=False)
    run_folder.open_run(out, {"seed": 2}, resume=False)
    (out / "config.json").rename(out / "config.99.tmp.json")
    run_folder.open_run(out, {"seed": 3}, resume=False)
    assert read_config(out) == {"seed": 3}
    assert read_config(tmp_path / "run.previous") == {"seed": 1}


def test_what_a_kill_left_half_written_goes_when_the_run_is_resumed(tmp_path):
    folder = tmp_path / "run"
    open_run(folder, {"seed": 0}, resume=False)
    left = [folder / "checkpoint.4711.tmp.npz", folder / "plots" / "loss.4711.tmp.png"]
    own = [folder / "notes.4711.tmp.txt", folder / "plots" / "loss.png"]
    left.append(folder / "model.4711.tmp" / "saved_model.pb")  # a SavedModel is a folder
    own.append(folder / "notes.4711.tmp" / "notes.txt")
    for path in [*left, *own]:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    open_run(folder, {"seed": 0}, resume=True)
    assert [path.exists() for path in [*left, *own]] == [False] * 3 + [True] * 3
    assert not (folder / "model.4711.tmp").exists()


def test_versions_name_what_is_installed():
    found = run_folder.versions()
    assert found["numpy"] == np.__version__
    assert {"python", "platform", "kmodels", "keras", "pandas", "scikit-learn"} <= set(found)
    assert all(isinstance(version, str) and version for version in found.values())
