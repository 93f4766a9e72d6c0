import argparse
import gc
import importlib.util
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kmodels import cli, folders
from kmodels.errors import ConfigurationError, DataError, TrainingError


def flags(*arguments):
    return cli.parser("movielens", "Rates films.").parse_args(list(arguments))


def installed(monkeypatch, *names):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        cli.importlib.util,
        "find_spec",
        lambda name, *rest: (name in names or None) if name in cli.BACKENDS else find(name, *rest),
    )


def code_and_line(capsys, action) -> tuple[int, str]:
    """The exit code, and the only line on stderr."""
    with pytest.raises(SystemExit) as ended:
        action()
    (line,) = capsys.readouterr().err.strip().splitlines()
    return ended.value.code, line


# --- the backend


def test_without_a_home_nothing_compiled_is_kept_and_downloads_say_why(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("KMODELS_CACHE", "~nobody of this name/cache")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    installed(monkeypatch, "jax")
    assert cli.choose_backend() == "jax"
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
    with pytest.raises(ConfigurationError, match="KMODELS_CACHE"):
        folders.cache_folder()


def test_the_asked_for_backend_is_taken_without_a_word(monkeypatch, capsys):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    installed(monkeypatch, "jax", "torch")
    assert cli.choose_backend() == "torch"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("found", "chosen"), [(("tensorflow", "jax"), "jax"), (("tensorflow", "torch"), "torch"), (("torch",), "torch")]
)
def test_else_the_first_installed_one_is_taken_and_named(monkeypatch, capsys, found, chosen):
    monkeypatch.setenv("KERAS_BACKEND", "")
    installed(monkeypatch, *found)
    assert cli.choose_backend() == chosen == os.environ["KERAS_BACKEND"]
    assert capsys.readouterr().err.startswith(f"Backend: {chosen} (of those installed: ")


def test_tensorflow_says_nothing_of_the_models_that_a_recipe_makes(backend_name, monkeypatch, caplog):
    monkeypatch.setenv("KERAS_BACKEND", backend_name)
    cli.choose_backend()
    if backend_name == "tensorflow":
        import tensorflow as tf

        for i in range(8):
            tf.function(lambda x: x + 1)(tf.zeros(i))
    else:
        logging.getLogger("tensorflow").warning("5 out of the last 5 calls to f triggered tf.function retracing.")
    logging.getLogger("tensorflow").warning("Something else.")
    assert caplog.messages == ["Something else."]


def test_what_jax_compiles_is_kept_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KMODELS_CACHE", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    installed(monkeypatch, "jax")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    cli.choose_backend()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path / "jax")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/elsewhere")
    cli.choose_backend()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "/elsewhere"


@pytest.mark.parametrize(
    ("name", "value", "own"),
    [
        ("TF_NUM_INTRAOP_THREADS", "1", "3"),
        ("XLA_FLAGS", "--xla_backend_optimization_level=2", "--xla_cpu_multi_thread_eigen=false"),
    ],
)
def test_small_operations_change_the_backends_settings_unless_the_user_has_his_own(name, value, own, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    installed(monkeypatch, "tensorflow")
    monkeypatch.setattr(cli, "_become_batch_job", lambda: None)  # which could not be undone
    for other in ("TF_NUM_INTRAOP_THREADS", "XLA_FLAGS"):
        monkeypatch.setenv(other, "0")  # for monkeypatch to undo
        monkeypatch.delenv(other)
    monkeypatch.setenv(name, own)
    cli.choose_backend(small_operations=True)
    assert os.environ[name] == own
    monkeypatch.delenv(name)
    cli.choose_backend()
    assert name not in os.environ
    cli.choose_backend(small_operations=True)
    assert os.environ[name] == value


@pytest.mark.first_backend
@pytest.mark.parametrize(
    ("backend", "before", "small", "after"),
    [
        ("tensorflow", "SCHED_OTHER", True, "SCHED_BATCH"),
        ("tensorflow", "SCHED_OTHER", False, "SCHED_OTHER"),
        ("tensorflow", "SCHED_IDLE", True, "SCHED_IDLE"),
        ("jax", "SCHED_OTHER", True, "SCHED_OTHER"),
    ],
)
def test_small_operations_make_tensorflow_a_batch_job_and_say_so(backend, before, small, after):
    code = f"""
import argparse, os
from kmodels import cli
from kmodels.datasets import download
os.sched_setscheduler(0, os.{before}, os.sched_param(0))  # idle, it would wait for other tests while it imports
def main(_):
    assert os.sched_getscheduler(0) == os.{after}, os.sched_getscheduler(0)
cli.run(main, argparse.Namespace(data="sample"), small_operations={small})
"""
    environment = os.environ | {"KERAS_BACKEND": backend}
    found = subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True, text=True)
    first, *others = found.stdout.splitlines()
    assert "synthetic" in first
    assert ["SCHED_BATCH" in line for line in others] == [True] * (before != after)


@pytest.mark.parametrize(
    ("asked", "found", "message"),
    [
        ("mxnet", ("jax",), "KERAS_BACKEND must be one of jax, torch, tensorflow. Received: KERAS_BACKEND=mxnet"),
        ("torch", ("jax",), "KERAS_BACKEND=torch, but torch is not installed: pip install 'kmodels[torch]'"),
        ("", (), "no backend is installed, install one of them: pip install 'kmodels[jax]'"),
    ],
)
def test_a_backend_that_is_not_there_ends_with_2_and_one_line(monkeypatch, capsys, asked, found, message):
    monkeypatch.setenv("KERAS_BACKEND", asked)
    installed(monkeypatch, *found)
    assert code_and_line(capsys, cli.choose_backend) == (2, f"error: {message}")


# --- the flags


def test_defaults():
    assert vars(flags()) == {
        "data": "sample",
        "epochs": None,
        "batch_size": 512,
        "seed": 0,
        "out": Path("runs/movielens"),
        "resume": False,
        "devices": 1,
        "shard_tables": False,
        "track": None,
        "export": None,
    }


def test_a_format_that_is_none_ends_with_2_and_one_line(capsys):
    assert flags("--export", "litert").export == "litert"
    code, line = code_and_line(capsys, lambda: flags("--export", "pickle"))
    assert code == 2
    assert "--export" in line
    assert "pickle" in line
    assert "onnx" in line


def test_devices_are_a_number_or_all():
    assert (flags("--devices", "4").devices, flags("--devices", "all").devices) == (4, None)


def test_what_shapes_a_run_and_what_a_search_takes():
    parser = cli.parser("movielens", "Rates films.")
    cli.add_search_flags(parser)
    given = parser.parse_args(["--tune", "bayesian", "--trials", "7", "--epochs", "3", "--workers", "2", "--seed", "5"])
    assert cli.settings(given, without=["batch_size"]) == {
        "data": "sample",
        "epochs": 3,
        "seed": 5,
        "tune": "bayesian",
        "trials": 7,
    }
    assert cli.searched(given) == {
        "algorithm": "bayesian",
        "trials": 7,
        "workers": 2,
        "epochs": 3,
        "seed": 5,
        "directory": Path("runs/movielens/search"),
    }


def test_the_command_can_be_pasted_into_a_shell(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setattr(sys, "argv", ["recipes/x.py", "--data", "my table.csv"])
    assert cli.command() == "KERAS_BACKEND=torch python recipes/x.py --data 'my table.csv'"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "argument --epochs: must be a whole number from 1 to 2147483647, not '0'"),
        (["--epochs", "many"], "argument --epochs: must be a whole number from 1 to 2147483647, not 'many'"),
        (["--batch-size", "2.5"], "argument --batch-size: must be a whole number from 1 to 2147483647, not '2.5'"),
        (["--seed", "-1"], "argument --seed: must be a whole number from 0 to 2147483647, not '-1'"),
        (["--speed", "3"], "unrecognized arguments: --speed 3"),
        (["--data"], "argument --data: expected one argument"),
    ],
)
def test_a_wrong_flag_ends_with_2_and_one_line(capsys, arguments, message):
    assert code_and_line(capsys, lambda: flags(*arguments)) == (2, f"error: {message} (see --help)")


def test_help_explains_every_flag(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["recipes/movielens.py"])
    with pytest.raises(SystemExit) as ended:
        flags("--help")
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert text.startswith("usage: python recipes/movielens.py ")
    for action in cli.parser("movielens", "")._actions:
        assert action.help
        assert action.option_strings[-1] in text


# --- the exit codes


def test_a_recipe_that_ends_well_exits_with_0():
    seen = []
    with pytest.raises(SystemExit) as ended:
        cli.run(seen.append, flags("--seed", "4"))
    assert ended.value.code == 0
    assert seen[0].seed == 4


def test_the_garbage_collector_looks_through_everything_again_after_a_recipe():
    during = []
    with pytest.raises(SystemExit):
        cli.run(lambda _: during.append(gc.get_freeze_count()), flags())
    assert during[0] > 0
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigurationError("no such split"), "error: no such split"),
        (DataError("bad", file="a.dat", row=3, received="x"), "error: a.dat, line 3: bad; received 'x'"),
        (TrainingError("the loss is nan"), "error: the loss is nan"),
        (PermissionError(13, "Permission denied", "runs/a"), "error: runs/a: Permission denied"),
        (OSError(28, "No space left on device"), "error: No space left on device"),
        (OSError("cannot write mode F as PNG"), "error: cannot write mode F as PNG"),
    ],
)
def test_bad_input_exits_with_2_and_one_line(capsys, error, line):
    def main(arguments: argparse.Namespace) -> None:
        raise error

    assert code_and_line(capsys, lambda: cli.run(main, flags())) == (2, line)


@pytest.mark.parametrize("seed", ["-1", "2147483648", "9" * 400, "1.5", "x"])
def test_a_seed_outside_the_range_of_all_that_it_seeds_is_refused(capsys, seed):
    code, line = code_and_line(capsys, lambda: flags("--seed", seed))
    assert code == 2
    assert "from 0 to 2147483647" in line
    assert flags("--seed", "2147483647").seed == 2**31 - 1


@pytest.mark.parametrize("resume", [False, True])
def test_ctrl_c_exits_with_130_and_says_how_to_go_on(monkeypatch, capsys, resume):
    def main(arguments: argparse.Namespace) -> None:
        raise KeyboardInterrupt

    arguments = ["--out", "my runs", *(["--resume"] if resume else [])]

    monkeypatch.setattr(cli.sys, "argv", ["recipes/movielens.py", *arguments])
    monkeypatch.setattr(cli.os, "_exit", sys.exit)  # which ends the process on TensorFlow
    code, line = code_and_line(capsys, lambda: cli.run(main, flags(*arguments)))
    assert code == 130
    assert line.endswith("recipes/movielens.py --out 'my runs' --resume")


def cut_off(recipe: str, stdout: int) -> subprocess.CompletedProcess:
    script = (
        "import argparse, os; from kmodels import cli\n"
        "reading, broken = os.pipe(); os.close(reading)\n"
        f"cli.run(lambda _: {recipe}, argparse.Namespace(resume=False))\n"
    )
    command = [sys.executable, "-c", script]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=300)


@pytest.mark.first_backend
@pytest.mark.parametrize("length", [1, 100_000])
def test_output_that_is_cut_off_ends_with_141_and_no_word(length):
    """As `python recipes/... | head` does."""
    reading, writing = os.pipe()
    os.close(reading)
    done = cut_off(f"print('a' * {length})", writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.first_backend
@pytest.mark.parametrize("action", ["cli.run(lambda _: print(text), flags.parse_args([]))", "flags.parse_args(['-h'])"])
def test_what_a_terminal_cannot_print_is_an_escape(action):
    script = f"from kmodels import cli; text = 'R² – ρ'; flags = cli.parser('prices', text, data='x'); {action}"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert r"R\xb2 \u2013 \u03c1" in done.stdout


def test_what_a_wrong_flag_holds_is_no_control_character_and_bounded(capsys):
    code, line = code_and_line(capsys, lambda: flags("--speed\x1b[2J\n", "9" * 10_000))
    assert code == 2
    assert line.startswith(r"error: unrecognized arguments: --speed\x1b[2J\n 999")
    assert len(line) < 700


@pytest.mark.first_backend
def test_another_pipe_that_breaks_is_an_error_as_any_other():
    done = cut_off("os.write(broken, b'a')", subprocess.PIPE)
    assert done.returncode == 1
    assert "BrokenPipeError" in done.stderr


def test_a_mistake_in_the_program_keeps_its_traceback():
    def main(arguments: argparse.Namespace) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cli.run(main, flags())


def test_timed_adds_up_nothing_and_measures(monkeypatch):
    clock = iter([10.0, 12.5])
    monkeypatch.setattr(cli.time, "perf_counter", lambda: next(clock))
    timing = {}
    with cli.timed(timing, "fit_s"):
        pass
    assert timing == {"fit_s": 2.5}


@pytest.mark.parametrize(("text", "value"), [("0", 0.0), ("0.25", 0.25), ("1", 1.0)])
def test_a_share_is_from_0_to_1(text, value):
    assert cli.share(text) == value


@pytest.mark.parametrize("text", ["-0.1", "1.01", "nan", "half", ""])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"must be a number from 0 to 1, not '{text}'"):
        cli.share(text)


@pytest.mark.parametrize("text", ["0", "-1e-3", "inf", "nan", "fast"])
def test_what_is_not_above_0_is_refused(text):
    assert cli.positive("3e-3") == 0.003
    with pytest.raises(argparse.ArgumentTypeError, match=f"must be a number above 0, not '{text}'"):
        cli.positive(text)
