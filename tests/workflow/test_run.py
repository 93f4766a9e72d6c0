"""A small recipe from flags to page: y = 2x, on every backend."""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from kmodels import backend, cli, pipelines, serving, training, workflow
from kmodels.errors import ConfigurationError, DataError
from kmodels.evaluation import regression
from kmodels.preprocessing import splits
from kmodels.report.record import Timing, VariantRecord
from kmodels.workflow.variants import constant_prediction

X = np.linspace(-1, 1, 100, dtype="float32")[:, None]
SPLIT = splits.random(100, seed=0)


def flags(tmp_path, *given):
    parser = cli.parser("line", "A line.")
    cli.add_search_flags(parser)
    return parser.parse_args(["--out", str(tmp_path / "run"), "--epochs", "2", *given])


def build(settings):
    x = keras.Input((1,), name="x")
    model = keras.Model({"x": x}, keras.layers.Dense(1, name="dense")(x), name="line")
    training.compile_model(model, keras.optimizers.Adam(settings["learning_rate"]))
    return model


def batches(seed=0):
    return pipelines.split_batches({"x": X}, 2 * X, SPLIT, batch_size=10, seed=seed)


def scores(model):
    parts = {"test": SPLIT.test, "validation": SPLIT.validation}
    rows = {part: pipelines.Batches({"x": X[rows]}) for part, rows in parts.items()}
    return {
        part: {"rmse": regression.rmse(2 * X[parts[part], 0], training.predict(model, each).ravel())}
        for part, each in rows.items()
    }


def run_all(args, recipe, *, settings=None, callbacks=()):
    """The whole recipe; gives the run, and the fitted model."""
    run = workflow.Run(args, recipe, callbacks)
    with run.timed("load_s"):
        run.open("50d2")
    fitted = run.fit(".", build(settings or {"learning_rate": 0.1}), *batches()[:2])
    with run.timed("evaluate_s"):
        metrics = scores(fitted.model)
    record = run.record(
        data={"rows": 100, "sha256": "50d2", "split": {"test": 15}},
        model=run.variant(fitted, **metrics, warnings=["Only a line."]),
        baselines={"mean": {"rmse": 1.2}},
        note=1,
    )
    run.write(record, {"line": fitted}, figures={}, words="The words.")
    return run, fitted


def test_a_run_leaves_its_files_and_prints_its_figures(recipe, tmp_path, capsys):
    run, fitted = run_all(flags(tmp_path), recipe)
    printed = capsys.readouterr().out
    found = json.loads((run.folder / "metrics.json").read_text())
    assert (found["recipe"], found["seed"], found["note"]) == ("line", 0, 1)
    assert found["data"] | {"source": "sample", "synthetic": True} == found["data"]
    assert found["model"] == {"name": "line", "parameters": 2}
    assert found["timing"]["epochs"] == 2
    assert found["timing"]["samples_per_s"] == pytest.approx(140 / fitted.history["seconds"].sum())
    assert pd.read_csv(run.folder / "history.csv")["epoch"].tolist() == [1, 2]
    assert "The words." in (run.folder / "report.html").read_text()
    assert "\n---\n\n# line\n" in (run.folder / "MODEL_CARD.md").read_text()
    assert "line, 2 parameters" in printed
    assert ["mean", "1.2"] in [line.split() for line in printed.splitlines()]
    assert "warning: Only a line." in printed
    assert printed.endswith(f"Report: {run.folder / 'report.html'}\n")


def test_exports_are_named_in_the_record(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(backend, "check_exporter", lambda form: None)
    exported = []

    def export(model, path, form):
        exported.append((model.name, path.relative_to(tmp_path), form))
        return 1e-7

    monkeypatch.setattr(serving, "export", export)
    plain, fitted = run_all(flags(tmp_path), recipe)
    args = flags(tmp_path, "--export", "litert", "--out", str(tmp_path / "exported"))
    (tmp_path / "exported").mkdir()
    write = workflow.Run.write

    def write_and_save(run, *given, **more):
        for name in ("model", "ranker"):
            training.save(fitted.model, run.folder / f"{name}.keras")
        write(run, *given, **more)

    monkeypatch.setattr(workflow.Run, "write", write_and_save)
    run, _ = run_all(args, recipe)
    files = {f"{name}.tflite": f"{name}.keras" for name in ("model", "ranker")}
    assert exported == [("line", Path("exported") / name, "litert") for name in files]
    assert capsys.readouterr().out.endswith(f"Exported: {run.folder / 'ranker.tflite'}\n")
    found = json.loads((run.folder / "metrics.json").read_text())
    each = {"format": "litert", "largest_difference": 1e-7}
    assert found.pop("exports") == {name: {"of": of, **each} for name, of in files.items()}
    assert found.keys() == json.loads((plain.folder / "metrics.json").read_text()).keys()


def test_an_export_that_is_not_possible_ends_a_run_before_it_begins(recipe, tmp_path, monkeypatch):
    def refuse(form):
        raise ConfigurationError(f"{form} needs a package")

    monkeypatch.setattr(backend, "check_exporter", refuse)
    with pytest.raises(ConfigurationError, match="onnx needs a package"):
        workflow.Run(flags(tmp_path, "--export", "onnx"), recipe)
    assert not (tmp_path / "run").exists()


def test_an_export_that_fails_leaves_a_whole_run_and_no_file_of_its_own(recipe, tmp_path, monkeypatch):
    def fail(form, model, inputs, path):
        path.write_bytes(b"half")
        raise ConfigurationError(f"{path.name} cannot be made")

    monkeypatch.setattr(backend, "check_exporter", lambda form: None)
    monkeypatch.setattr(backend, "convert", fail)
    write = workflow.Run.write

    def save_and_write(run, record, fitted, **more):
        training.save(next(iter(fitted.values())).model, run.folder / "model.keras")
        write(run, record, fitted, **more)

    monkeypatch.setattr(workflow.Run, "write", save_and_write)
    with pytest.raises(ConfigurationError, match="cannot be made"):
        run_all(flags(tmp_path, "--export", "onnx"), recipe)
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"report.html", "metrics.json", "model.keras"} <= files
    assert not [name for name in files if "onnx" in name]
    assert "exports" not in json.loads((tmp_path / "run" / "metrics.json").read_text())


def test_floors_are_found_next_to_the_data_and_sentences_are_kept(recipe, tmp_path, capsys):
    (tmp_path / "floors.json").write_text('{"noise": 0.25}')
    run = workflow.Run(flags(tmp_path), recipe)
    run.warn("Only a line.", "\x1b[2JNo\nword.")
    assert capsys.readouterr().out == "warning: Only a line.\nwarning: \\x1b[2JNo\\nword.\n"
    run.open("50d2", tmp_path / "line.csv")
    fitted = run.fit("net", build({"learning_rate": 0.1}), *batches()[:2])
    record = run.record(
        data={"rows": 100, "sha256": "50d2"},
        split=SPLIT,
        variants={"net": run.variant(fitted, **scores(fitted.model))},
        best="net",
        baselines={},
        warnings=["And few rows."],
    )
    assert record.data["floors"] == {"noise": 0.25}
    assert record.data["split"] == {"train": 70, "validation": 15, "test": 15}
    assert record.warnings == ["Only a line.", "\x1b[2JNo\nword.", "And few rows."]
    history = pd.DataFrame({"epoch": [1], "loss": [2.0]})
    limits = {name: {"rmse": limit} for name, limit in {"noise": "noise", "other": "unknown", "zero": 0.0}.items()}
    options = {"limits": limits, "history": history, "lines": ["bell \a\n\x1b[2J"], "words": ""}
    run.write(record, {"net": fitted}, figures={}, compare="rmse", **options)
    assert (run.folder / "history.csv").read_text() == "epoch,loss\n1,2.0\n"
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "warning" in line] == ["warning: And few rows."]
    assert lines[-4:-1] == ["bell \\x07", "\\x1b[2J", "warning: And few rows."]
    printed = [line.split() for line in lines]
    assert ["noise", "0.25"] in printed
    assert ["zero", "0"] in printed
    assert not any(line[:1] == ["other"] for line in printed)
    assert workflow.Run(flags(tmp_path), recipe).floors is None


@pytest.mark.parametrize("floors", ["[1]", "{", '{"noise": "low"}', '{"noise": NaN}', '{"noise": 1' + "0" * 400 + "}"])
def test_floors_that_are_no_numbers_are_refused_before_any_training(recipe, tmp_path, floors):
    (tmp_path / "floors.json").write_text(floors)
    run = workflow.Run(flags(tmp_path), recipe)
    with pytest.raises(DataError, match=r"floors\.json"):
        run.open("50d2", tmp_path)
    assert not run.folder.exists()


IN_TWO_PROCESSES = """
import sys
from pathlib import Path
from kmodels import cli
from tests.workflow.test_run import flags, run_all
folder = Path(sys.argv[1])
cli.run(lambda args: run_all(args, folder / "line.py"), flags(folder, *sys.argv[2:]))
"""


@pytest.mark.one_backend("torch")
def test_of_two_processes_the_first_one_writes_and_prints(recipe, tmp_path):
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        port = str(each.getsockname()[1])
    root = Path(__file__).parents[2]
    for given in ([], ["--resume"]):
        started = [
            subprocess.Popen(
                [sys.executable, "-c", IN_TWO_PROCESSES, str(tmp_path), *given],
                env=os.environ
                | {"PYTHONPATH": str(root), "RANK": str(i), "WORLD_SIZE": "2"}
                | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for i in range(2)
        ]
        outputs = [each.communicate(timeout=300) for each in started]
        assert [each.returncode for each in started] == [0, 0], outputs
        assert "Report: " in outputs[0][0]
        assert outputs[1][0].strip() == cli.SAMPLE_NOTICE
        assert not list(tmp_path.glob("*.previous"))
    together = json.loads((tmp_path / "run" / "metrics.json").read_text())
    alone, _ = run_all(flags(tmp_path, "--out", str(tmp_path / "alone")), recipe)
    expected = json.loads((alone.folder / "metrics.json").read_text())
    assert together["test"]["rmse"] == pytest.approx(expected["test"]["rmse"], abs=1e-5)
    columns = ["loss", "rmse", "val_loss", "val_rmse"]
    histories = [pd.read_csv(folder / "history.csv")[columns] for folder in (tmp_path / "run", alone.folder)]
    pd.testing.assert_frame_equal(*histories, atol=1e-5, rtol=0)


def test_a_search_runs_in_one_process(recipe, tmp_path, monkeypatch):
    run = workflow.Run(flags(tmp_path, "--tune", "random"), recipe)
    monkeypatch.setattr(backend, "distribution", lambda: backend.Distribution(2, 0, 2))
    with pytest.raises(ConfigurationError, match=r"a search runs in one process\. Received: 2"):
        search(run)


def test_a_finished_run_is_resumed_with_the_same_settings_alone(recipe, tmp_path):
    _, first = run_all(flags(tmp_path), recipe)
    _, again = run_all(flags(tmp_path, "--resume"), recipe)
    np.testing.assert_array_equal(first.model.get_weights()[0], again.model.get_weights()[0])
    with pytest.raises(ConfigurationError, match="seed"):
        run_all(flags(tmp_path, "--resume", "--seed", "1"), recipe)


def test_the_checkpoint_of_another_run_is_refused(recipe, tmp_path):
    for seed in "01":
        run_all(flags(tmp_path, "--out", str(tmp_path / seed), "--seed", seed), recipe)
    (tmp_path / "0" / "checkpoint.npz").write_bytes((tmp_path / "1" / "checkpoint.npz").read_bytes())
    with pytest.raises(ConfigurationError, match="other settings or other data"):
        run_all(flags(tmp_path, "--out", str(tmp_path / "0"), "--resume"), recipe)


def test_ignored_flags_may_change_between_runs(recipe, tmp_path):
    args = argparse.Namespace(**vars(flags(tmp_path)), n=3)
    workflow.Run(args, recipe).open("50d2", ignore=("n",))
    args = argparse.Namespace(**vars(args) | {"n": 4, "resume": True})
    run = workflow.Run(args, recipe)
    run.open("50d2", ignore=("n",))
    assert "n" not in json.loads((run.folder / "config.json").read_text())
    with pytest.raises(ConfigurationError, match="n is"):
        run.open("50d2")


def test_a_model_in_a_folder_of_its_own_has_its_own_seed(recipe, tmp_path, capsys):
    run = workflow.Run(flags(tmp_path), recipe)
    run.open("50d2")
    weights = []
    for name, seed in (("variants/a", None), ("variants/b", 0), ("variants/c", 1)):
        fitted = run.fit(name, build({"learning_rate": 0.1}), *batches()[:2], epochs=1, seed=seed)
        weights.append(fitted.model.get_weights()[0])
        assert (run.folder / name / "checkpoint.npz").is_file()
    assert fitted.name == "c"
    assert fitted.rows == len(SPLIT.train)
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).all()
    assert "variants/c, 2 parameters" in capsys.readouterr().out


@pytest.fixture
def _nothing_compiled_is_kept():
    """A program that JAX writes under a limit of bytes would be found cut off by later tests."""
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    name = "jax_persistent_cache_min_compile_time_secs"
    before = getattr(jax.config, name)
    jax.config.update(name, np.inf)
    yield
    jax.config.update(name, before)


@pytest.fixture
def start(recipe, monkeypatch, capsys, _nothing_compiled_is_kept):
    """Runs the line as a program that can write only so many bytes to a file, or whose folder vanishes."""
    resource = pytest.importorskip("resource", reason="limits of files are of POSIX")

    def start(*given, most=resource.RLIM_INFINITY, vanishes=False):
        def main(args):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, unlimited[1]))
            if vanishes:
                monkeypatch.setattr(sys.modules[__name__], "batches", lambda: shutil.rmtree(args.out) or batches())
            run_all(args, recipe)

        batches, unlimited = globals()["batches"], resource.getrlimit(resource.RLIMIT_FSIZE)
        args = cli.parser("line", "A line.").parse_args(["--epochs", "2", *map(str, given)])
        try:
            with pytest.raises(SystemExit) as ended:
                cli.run(main, args)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        return ended.value.code, [
            line for line in capsys.readouterr().err.splitlines() if not line.startswith("epoch ")
        ]

    return start


def test_a_file_that_cannot_be_written_ends_a_run_with_one_line_and_resume_goes_on(start, tmp_path):
    out = tmp_path / "run"
    for most in (100, 1500, 4000):
        code, (line,) = start("--out", out, "--data", "x", most=most)
        assert code == 2
        assert line.startswith(f"error: {out}")
        assert line.endswith(": File too large")
        assert not list(out.rglob("*.tmp*"))
    assert start("--out", out, "--data", "x", "--resume") == (0, [])
    assert (out / "report.html").is_file()


def test_a_folder_that_cannot_be_made_or_vanishes_ends_a_run_with_one_line(start, tmp_path):
    for out, vanishes in (("/dev/null/run", False), ("/proc/run", False), (tmp_path / "run", True)):
        code, (line,) = start("--out", out, "--data", "x", vanishes=vanishes)
        assert code == 2
        assert line.startswith(f"error: {out}")


def space(hp):
    return {"learning_rate": hp.Float("learning_rate", 1e-3, 0.5, sampling="log", default=1e-3)}


def search(run):
    def score(settings, seed, folder):
        return scores(run.fit(folder, build(settings), *batches(seed)[:2], seed=seed).model)

    options = {"default": {"learning_rate": 1e-3}, "score": score, "metrics": ["rmse"]}
    return run.search(build, space, *batches()[:2], **options)


@pytest.mark.one_backend("torch")
def test_a_search_is_recorded_and_compared_with_the_defaults(recipe, tmp_path):
    pytest.importorskip("keras_tuner")
    args = flags(tmp_path, "--tune", "random", "--trials", "3")
    run = workflow.Run(args, recipe)
    run.open("50d2")
    settings = search(run)
    assert settings["learning_rate"] > 1e-3
    fitted = run.fit(".", build(settings), *batches()[:2])
    record = run.record(
        data={"rows": 100, "sha256": "50d2"}, model=run.variant(fitted, **scores(fitted.model)), baselines={}
    )
    run.write(record, {"line": fitted}, figures={}, words="")
    found = record.to_dict()["search"]
    assert (found["algorithm"], found["trials"], found["objective"]) == ("random", 3, "val_loss")
    assert found["best"]["learning_rate"] == settings["learning_rate"]
    assert [(row["settings"], row["seed"]) for row in found["payoff"]] == [
        (settings, seed) for seed in range(3) for settings in ("default", "tuned")
    ]
    assert set(found["payoff"][0]) == {"settings", "seed", "rmse", "validation_rmse"}
    assert {path.name for path in (run.folder / "payoff").iterdir()} == {
        f"{kind}_{seed}" for seed in range(3) for kind in ("default", "tuned")
    }
    assert found["verdict"] in (run.folder / "report.html").read_text()
    assert (run.folder / "plots" / "search_trials.png").is_file()


def test_a_worker_of_a_search_touches_nothing_of_the_run(recipe, tmp_path, monkeypatch):
    tuning = pytest.importorskip("kmodels.tuning")
    monkeypatch.setattr(tuning.workers, "role", lambda: "worker")
    monkeypatch.setattr(tuning, "search", lambda *args, **options: None)  # its trials are done
    run = workflow.Run(flags(tmp_path, "--tune", "random"), recipe)
    run.open("50d2")
    with pytest.raises(SystemExit) as ended:
        search(run)
    assert ended.value.code == 0
    assert not run.folder.exists()


def variant(accuracy, parameters):
    metrics = {"accuracy": accuracy}
    return VariantRecord("net", parameters, metrics, metrics, Timing(0, 0, 1.0, 1, 1.0, 0))


def test_the_cheapest_of_those_that_cannot_be_told_apart_is_chosen():
    variants = {"small": variant(0.93, 60_000), "wide": variant(0.932, 270_000), "tiny": variant(0.8, 100)}
    name, why = workflow.choose(variants, "accuracy", rows=6000)
    assert name == "small"
    assert "0.9300" in why
    assert "0.9320" in why
    assert workflow.choose(variants, "accuracy", tolerance=0.0)[0] == "wide"


def test_a_constant_prediction_is_warned_of():
    labels, shares = ["loss", "profit"], np.eye(2)
    assert constant_prediction("net", shares[[0, 1] * 50], labels) == []
    (warning,) = constant_prediction("net", shares[[1] * 199 + [0]], labels)
    assert "'profit'" in warning
    assert "99.5 %" in warning


def test_costs_are_those_of_the_saved_model(recipe, tmp_path):
    run = workflow.Run(flags(tmp_path), recipe)
    run.open("50d2")
    fitted = run.fit("net", build({"learning_rate": 0.1}), *batches()[:2])
    training.save(fitted.model, fitted.folder / "model.keras")
    found = workflow.costs(fitted, {"x": X[:1]})
    assert found["file_kib"] == (fitted.folder / "model.keras").stat().st_size / 1024
    assert min(found.values()) > 0
